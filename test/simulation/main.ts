import { closeSync, openSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { simulate } from './cluster.ts';
import type { SimulationOptions, SimulationResult } from './cluster.ts';
import { PACES } from './pace.ts';
import type { PaceName } from './pace.ts';
import { reportPlanted } from './mistakes/report-planted.ts';
import { useQuickSignatures } from './quick-signatures.ts';
import { summaryOf } from './summary.ts';
import { commit } from '../../bench/commit.ts';

const USAGE = `npm run sim -- [--seeds N] [--seed S] [--minutes M] [--nodes N] [--pace steady|dense] [--replay SHARE] [--trace FILE] [--json]
  runs seeds S, S+1, ... one after the other in one thread; exit status 1 if one fails
  --seeds N          how many; 20
  --seed S           the first; 1
  --minutes M        of virtual time under faults, each; 20 steady, 1 dense
  --nodes N          data nodes; 5
  --pace NAME        steady: many minutes, cheaply; dense: faults on top of one another
  --replay SHARE     of the seeds runs a second time, whose trace must be equal; 0.1
  --trace FILE       every line of the trace
  --json             the last line is one JSON object; all others go to standard error
npm run sim -- --planted [--seeds N] [--only TEXT] [--into FILE] [--seconds S] [--json]
  looks for planted mistakes: all, or those whose names hold TEXT, by up to N seeds each
  --into FILE        keeps what was done, so that calls with --seconds S make a complete search in parts
`;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    nodes: { type: 'string', default: '5' },
    pace: { type: 'string', default: 'steady' },
    replay: { type: 'string', default: '0.1' },
    trace: { type: 'string' },
    json: { type: 'boolean', default: false },
    planted: { type: 'boolean', default: false },
    only: { type: 'string' },
    help: { type: 'boolean', default: false },
    into: { type: 'string' },
    seconds: { type: 'string' },
  },
});
if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
useQuickSignatures();
if (values.planted) process.exit(await reportPlanted(values));

/** Minutes of virtual time under faults, for each seed; set-up and recovery come on top. */
const MINUTES: Readonly<Record<PaceName, number>> = { steady: 20, dense: 1 };

const number = (name: string, text: string, min: number): number => {
  const value = Number(text);
  if (!Number.isFinite(value) || value < min) throw new Error(`--${name} must be a number of at least ${min}`);
  return value;
};
const paceOf = (name: string): PaceName => {
  if (!Object.hasOwn(PACES, name)) throw new Error(`--pace is one of ${Object.keys(PACES).join(', ')}`);
  return name as PaceName;
};

const print = (line: string): void => {
  if (values.json) process.stderr.write(`${line}\n`);
  else process.stdout.write(`${line}\n`);
};

const pace = paceOf(values.pace);
const first = number('seed', values.seed, 0);
const seeds = number('seeds', values.seeds ?? '20', 1);
const minutes = number('minutes', values.minutes ?? String(MINUTES[pace]), 0);
const nodes = number('nodes', values.nodes, 3);
const replayShare = number('replay', values.replay, 0);

function explain(result: SimulationResult): void {
  print(`seed ${result.seed} FAILED:`);
  for (const problem of result.problems) print(`  ${problem}`);
  print(`last of ${result.traceLines} trace lines:`);
  for (const line of result.traceTail) print(`  ${line.slice(0, 400)}`);
  print(`replay: npm run sim -- --seed ${result.seed} --seeds 1 --minutes ${minutes} --nodes ${nodes} --pace ${pace}`);
  print('        (--trace FILE writes all of the trace, and errors tell where they were made)');
}

async function runOnce(options: SimulationOptions): Promise<SimulationResult> {
  if (values.trace === undefined) return simulate(options);
  const file = openSync(values.trace, 'w');
  const result = await simulate({ ...options, onTrace: (line) => void writeSync(file, `${line}\n`) });
  closeSync(file);
  return result;
}

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

// Refusals are errors, and noting where each was made costs more than the error. A run with a trace notes it, for who looks into a seed.
if (values.trace === undefined) Error.stackTraceLimit = 0;

const results: SimulationResult[] = [];
const replays: { readonly seed: number; readonly equal: boolean; readonly virtualMs: number }[] = [];
for (let seed = first; seed < first + seeds; seed++) {
  const startMs = performance.now();
  const options = { seed, minutes, nodes, pace };
  const result = await runOnce(options);
  results.push(result);
  const seconds = (performance.now() - startMs) / 1000;
  const { virtualMs, events, counts, traceHash } = result;
  if (!result.pass) explain(result);
  else
    print(
      `seed ${seed} ok: ${(virtualMs / 1000).toFixed(0)} s of virtual time in ${seconds.toFixed(1)} s, ${events} events, ${counts['leaderChanges'] ?? 0} leader changes, ${counts['acknowledged'] ?? 0} writes, trace ${traceHash.slice(0, 16)}`,
    );
  if (Math.floor((seed - first + 1) * replayShare) === Math.floor((seed - first) * replayShare)) continue;
  const again = await simulate(options);
  const equal = again.traceHash === traceHash && again.traceLines === result.traceLines;
  replays.push({ seed, equal, virtualMs: again.virtualMs });
  if (!equal) print(`seed ${seed} FAILED: a second run gave another trace, ${again.traceHash.slice(0, 16)}`);
}

const summary = {
  name: 'simulation',
  commit: commit(),
  pace,
  minutes,
  first_seed: first,
  // From the start of this process, its modules' loading included.
  ...summaryOf(results, replays, { realMs: performance.now(), cpuMs: cpuMs() }),
};
for (const [name, count] of Object.entries(summary.totals))
  if (/^(operation|request|fault): /.test(name)) print(`${String(count).padStart(7)}  ${name}`);
if (values.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
else print(JSON.stringify({ ...summary, totals: undefined }, null, 2));
process.exitCode = summary.pass ? 0 : 1;
