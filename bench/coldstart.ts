import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { FUNCTION_NODE_OPTIONS } from '../infra/constructs/bundling.ts';
import type { FunctionEnvironment } from '../shared/runtime/environment.ts';
import { BUNDLE_BYTES_MAX, bundleFunction, functionNames } from './coldstart/bundles.ts';
import type { Bundle } from './coldstart/bundles.ts';
import { percentile, rounded } from './load/statistics.ts';

/**
 * Cold starts: bundles every Lambda function as the stacks do and loads each in fresh Node processes, with the environment
 * that a function has. What is measured is the work of Lambda's INIT phase, all modules with the SDK; the start of Node itself
 * and of the microVM are Lambda's and not in it.
 */
export interface ColdstartFigures {
  readonly pass: boolean;
  readonly functions: readonly { readonly name: string; readonly bundle_kb: number; readonly init_ms: number }[];
  readonly bundle_kb_max: number;
  readonly init_ms_max: number;
}

/** Median over this many processes a function, after one that brings its file into the page cache. */
const RUNS = 7;
const INIT_MS_MAX = 150;
const PROBE_MS_MAX = 30_000;
const PROBE = join(import.meta.dirname, 'coldstart', 'init-probe.ts');

const FUNCTION_ENVIRONMENT: FunctionEnvironment = {
  TABLE_TOPOLOGY: 'shardkeeper-topology',
  TABLE_LIVENESS: 'shardkeeper-liveness',
  TABLE_CATALOG: 'shardkeeper-catalog',
  TABLE_OPERATIONS: 'shardkeeper-operations',
  TABLE_ACCESS: 'shardkeeper-access',
  TABLE_EVENTS: 'shardkeeper-events',
  STATE_MACHINE_ARN_PREFIX: 'arn:aws:states:eu-central-1:123456789012:stateMachine:shardkeeper-',
  EVENT_BUS_NAME: 'shardkeeper',
  ROOT_KEY_IDS: 'arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555',
  LEASE_PROFILE: 'standard',
  PUSH_TO_NODES: 'false',
  DEFAULT_REPLICATION_FACTOR: '3',
};

/** Nothing of the caller's environment: what a function does not get must not help it here. */
const environment = {
  ...FUNCTION_ENVIRONMENT,
  NODE_OPTIONS: FUNCTION_NODE_OPTIONS,
  AWS_REGION: 'eu-central-1',
  AWS_LAMBDA_FUNCTION_NAME: 'shardkeeper-bench',
  AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '512',
  AWS_ACCESS_KEY_ID: 'bench',
  AWS_SECRET_ACCESS_KEY: 'bench',
};

export async function runColdstart(say: (line: string) => void): Promise<ColdstartFigures> {
  const directory = await mkdtemp(join(tmpdir(), 'shardkeeper-coldstart-'));
  try {
    const bundles: Bundle[] = [];
    for (const name of functionNames()) bundles.push(await bundleFunction(name, directory));
    const samples = await measure(bundles);
    const functions = bundles.map(({ name, bytes }) => ({
      name,
      bundle_kb: Math.ceil(bytes / 100) / 10,
      init_ms: rounded(percentile(samples.get(name) ?? [], 50)) ?? Infinity,
    }));
    for (const { name, bundle_kb, init_ms } of functions) say(`${name}: ${bundle_kb} KB, init ${init_ms} ms`);
    const initMsMax = Math.max(...functions.map(({ init_ms }) => init_ms));
    return {
      pass: bundles.every(({ bytes }) => bytes <= BUNDLE_BYTES_MAX) && initMsMax <= INIT_MS_MAX,
      functions,
      bundle_kb_max: Math.max(...functions.map(({ bundle_kb }) => bundle_kb)),
      init_ms_max: initMsMax,
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** One process at a time, function after function, so that a busy moment of the machine falls on one sample of each. */
async function measure(bundles: readonly Bundle[]): Promise<ReadonlyMap<string, readonly number[]>> {
  const samples = new Map<string, number[]>(bundles.map(({ name }) => [name, []]));
  for (let run = 0; run <= RUNS; run++) {
    for (const { name, file } of bundles) {
      const initMs = await initOnce(file);
      if (run > 0) samples.get(name)?.push(initMs);
    }
  }
  return samples;
}

async function initOnce(file: string): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, [PROBE, file], {
    env: environment,
    timeout: PROBE_MS_MAX,
  });
  const initMs = Number(stdout);
  if (!(initMs > 0)) throw new Error(`the probe of ${file} answered ${JSON.stringify(stdout)}`);
  return initMs;
}
