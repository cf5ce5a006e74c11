import { fileURLToPath } from 'node:url';
import type { BuildOptions } from 'esbuild';

/**
 * How every Lambda function is bundled, in the terms of esbuild's API: the stacks (lambda.ts), the test on sizes and the
 * benchmark of cold starts read it here.
 */
export const BUNDLE_OPTIONS = {
  bundle: true,
  platform: 'node',
  // Not ESM: there an import of `node:http` touches all of its exports, which loads undici, a quarter of the whole start (Node 24).
  format: 'cjs',
  target: 'node24',
  minify: true,
  sourcemap: true,
  sourcesContent: false,
  // Of packages that come in both forms the modules are taken: of those esbuild drops what nothing uses.
  mainFields: ['module', 'main'],
  // `lambda` imports the SDK statically (`#lambda-deps` in package.json). To name a condition unsets `module`, the default.
  conditions: ['lambda', 'module'],
  alias: { '@aws-sdk/credential-provider-node': fileURLToPath(new URL('lambda-credentials.ts', import.meta.url)) },
} satisfies BuildOptions;

/** Options of a function's Node process. */
export const FUNCTION_NODE_OPTIONS = '--enable-source-maps';
