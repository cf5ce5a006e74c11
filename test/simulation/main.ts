import { execFileSync } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { simulate } from './cluster.ts';
import type { SimulationResult } from './cluster.ts';
import { PACES } from './pace.ts';
import type { PaceName } from './pace.ts';
import { reportPlanted } from './mistakes/report-planted.ts';

/**
 * `npm run sim -- --seeds N [--seed S] [--minutes M] [--nodes N] [--trace FILE] [--json]`: seeds S, S+1, ...; exit status 1 if one fails.
 * `npm run sim -- --planted [--seeds N] [--only TEXT] [--json]`: looks for planted mistakes (mistakes/planted.ts).
 */
const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '1' },
    nodes: { type: 'string', default: '5' },
    pace: { type: 'string', default: 'dense' },
    trace: { type: 'string' },
    json: { type: 'boolean', default: false },
    planted: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
});
if (values.planted) process.exit(await reportPlanted(values));

const number = (name: string, text: string, min: number): number => {
  const value = Number(text);
  if (!Number.isFinite(value) || value < min) throw new Error(`--${name} must be a number of at least ${min}`);
  return value;
};

/** Operations that ended, however they did; those of the set-up apart. */
const operationsOf = ({ counts }: SimulationResult): number =>
  Object.entries(counts).reduce(
    (sum, [name, count]) => (name.startsWith('operation: ') && !name.includes('create-table') ? sum + count : sum),
    0,
  );

const print = (line: string): void => {
  if (values.json) process.stderr.write(`${line}\n`);
  else process.stdout.write(`${line}\n`);
};

function explain(result: SimulationResult): void {
  print(`seed ${result.seed} FAILED:`);
  for (const problem of result.problems) print(`  ${problem}`);
  print(`last of ${result.traceLines} trace lines:`);
  for (const line of result.traceTail) print(`  ${line.slice(0, 400)}`);
  print(`replay: npm run sim -- --seed ${result.seed} --seeds 1 --minutes ${values.minutes} --nodes ${values.nodes} --pace ${values.pace}`);
}

const paceOf = (name: string): PaceName => {
  if (!Object.hasOwn(PACES, name)) throw new Error(`--pace is one of ${Object.keys(PACES).join(', ')}`);
  return name as PaceName;
};
const first = number('seed', values.seed, 0);
const seeds = number('seeds', values.seeds ?? '20', 1);
const options = { minutes: number('minutes', values.minutes, 0), nodes: number('nodes', values.nodes, 3), pace: paceOf(values.pace) };
const startedMs = performance.now();
let virtualMs = 0;
const failed: number[] = [];
const totals = new Map<string, number>();
for (let seed = first; seed < first + seeds; seed++) {
  const startMs = performance.now();
  const file = values.trace === undefined ? null : openSync(values.trace, 'w');
  const onTrace = file === null ? {} : { onTrace: (line: string) => void writeSync(file, `${line}\n`) };
  const result = await simulate({ seed, ...options, ...onTrace });
  if (file !== null) closeSync(file);
  const seconds = (performance.now() - startMs) / 1000;
  virtualMs += result.virtualMs;
  for (const [name, count] of Object.entries(result.counts)) totals.set(name, (totals.get(name) ?? 0) + count);
  if (!result.pass) {
    failed.push(seed);
    explain(result);
  } else {
    print(
      `seed ${seed} ok: ${(result.virtualMs / 1000).toFixed(0)} s of virtual time in ${seconds.toFixed(1)} s, ${result.events} events, ${result.counts['leaderChanges'] ?? 0} leader changes, ${operationsOf(result)} operations, ${result.counts['acknowledged'] ?? 0} writes, trace ${result.traceHash.slice(0, 16)}`,
    );
  }
}
const wallMs = performance.now() - startedMs;
const sorted = [...totals].sort(([left], [right]) => (left < right ? -1 : 1));
for (const [name, count] of sorted)
  if (/^(operation|request): /.test(name)) print(`${String(count).padStart(7)}  ${name}`);
const summary = {
  name: 'simulation',
  commit: commit(),
  pass: failed.length === 0,
  seeds,
  first_seed: first,
  failed_seeds: failed,
  virtual_seconds: Math.round(virtualMs / 1000),
  wall_seconds: Math.round(wallMs / 100) / 10,
  times_real_time: Math.round(virtualMs / wallMs),
  totals: Object.fromEntries(sorted),
};
if (values.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
else print(JSON.stringify(summary, null, 2));
process.exitCode = failed.length === 0 ? 0 : 1;

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}
