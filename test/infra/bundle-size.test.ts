import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BUNDLE_BYTES_MAX, bundleFunction, functionNames } from '../../bench/coldstart/bundles.ts';
import type { Bundle } from '../../bench/coldstart/bundles.ts';

/** Cold starts grow with what is bundled (DESIGN section 10). */
describe('bundles of the functions', () => {
  let directory: string;
  let bundles: readonly Bundle[];
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'shardkeeper-bundles-'));
    bundles = await Promise.all(functionNames().map((name) => bundleFunction(name, directory)));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  test('every function is at most 700 KB with the SDK', () => {
    const sizes = bundles.map(({ name, bytes }) => `${name}: ${(bytes / 1000).toFixed(1)} KB`);
    process.stdout.write(`${sizes.join('\n')}\n`);
    expect(bundles).toHaveLength(17);
    expect(bundles.filter(({ bytes }) => bytes > BUNDLE_BYTES_MAX)).toEqual([]);
  });

  test('each has the clients that it can reach, and no other', () => {
    const withClient = (client: string): readonly string[] =>
      bundles
        .filter(({ inputs }) => inputs.some((path) => path.includes(`/@aws-sdk/${client}/`)))
        .map(({ name }) => name);
    expect(withClient('client-eventbridge')).toEqual(['publish-events']);
    expect(withClient('client-kms')).not.toContain('publish-events');
    expect(withClient('client-kms').length).toBe(bundles.length - 1);
    expect(withClient('client-lambda')).toEqual([]);
    expect(withClient('client-sfn')).not.toContain('publish-events');
  });
});
