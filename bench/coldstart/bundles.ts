import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { BUNDLE_OPTIONS } from '../../infra/constructs/bundling.ts';

/** Bundles of the Lambda functions, made as the stacks make them. */

const ROOT = resolve(import.meta.dirname, '../..');

/** Bytes of one function's minified bundle, SDK included (DESIGN section 10: 700 KB, of 1,000 bytes each). */
export const BUNDLE_BYTES_MAX = 700_000;

export interface Bundle {
  /** `api/nodes`, `authorizer`, ... */
  readonly name: string;
  readonly bytes: number;
  /** Where it was written. */
  readonly file: string;
  /** Sources, from the root, of which something is in it. */
  readonly inputs: readonly string[];
}

/** Names of all functions: every source under `functions` is an entry. */
export function functionNames(): readonly string[] {
  return readdirSync(join(ROOT, 'functions'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => path.slice(0, -'.ts'.length))
    .toSorted();
}

/** Bundles one function into `directory`. The size is that of the code; its source map is read only for a stack trace. */
export async function bundleFunction(name: string, directory: string): Promise<Bundle> {
  const file = join(directory, name, 'index.js');
  const { metafile } = await build({
    ...BUNDLE_OPTIONS,
    absWorkingDir: ROOT,
    entryPoints: [join('functions', `${name}.ts`)],
    outfile: file,
    metafile: true,
    logLevel: 'warning',
  });
  const output = Object.entries(metafile.outputs).find(([path]) => path.endsWith('index.js'))?.[1];
  if (output === undefined) throw new Error(`esbuild wrote no bundle of ${name}`);
  const inputs = Object.entries(output.inputs)
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([path]) => path);
  return { name, bytes: output.bytes, file, inputs };
}
