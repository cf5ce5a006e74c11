import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { commit } from '../bench/commit.ts';
import { checkRun } from '../test/model/traces.ts';
import type { TraceVerdict } from '../test/model/traces.ts';
import { openProgress } from '../test/support/progress.ts';
import { search, SpinFailed } from './spin.ts';
import type { Found, Search } from './spin.ts';
import { GUARDS, isQuick, MODELS, REDUNDANT } from './suite.ts';

/**
 * `npm run model`: all states of each model, a counterexample for each guard that is removed, and runs of the simulation held against
 * the model (README.md). Exit status 1: a model is broken, a removal goes unnoticed, or a run does not conform. 2: SPIN is missing or gave up.
 * 3: `--seconds` were over before all was done, and the same call with the same `--into` goes on.
 */

/** Runs of the simulation, and their virtual minutes, unless the command line says otherwise. */
const SEEDS = 20;
const MINUTES = 0.5;

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    /** Only what has this in its name. */
    only: { type: 'string', default: '' },
    /** Only what takes a second or two each, and no runs: for .ci/run. */
    quick: { type: 'boolean', default: false },
    /** Prints each counterexample. */
    steps: { type: 'boolean', default: false },
    seeds: { type: 'string', default: String(SEEDS) },
    minutes: { type: 'string', default: String(MINUTES) },
    models: { type: 'boolean', default: true },
    guards: { type: 'boolean', default: true },
    traces: { type: 'boolean', default: true },
    /** A file that keeps what was done, so that calls with `--seconds` make a complete check in parts. */
    into: { type: 'string' },
    /** Nothing new is begun after so many seconds. */
    seconds: { type: 'string', default: 'Infinity' },
  },
  allowNegative: true,
});
const folder = import.meta.dirname;
const progress = openProgress(values.into);
const startedMs = performance.now();
const atCommit = commit();
let failures = 0;
/** Searches and runs that `--seconds` left for another call. */
let left = 0;

const print = (line: string): void => {
  if (!values.json) process.stdout.write(`${line}\n`);
};
const count = (value: number): string => value.toLocaleString('en');
const wanted = (name: string): boolean => name.includes(values.only);
function printSteps(found: Found): void {
  if (values.steps) found.steps.forEach((step, index) => print(`    ${String(index + 1).padStart(3)} ${step}`));
}

/** What was kept under the key, or what `work` gives; null: time is over. */
async function once<T>(key: string, work: () => Promise<T>): Promise<T | null> {
  const known = progress.get<T>(key);
  if (known !== null) return known;
  if (performance.now() - startedMs > Number(values.seconds) * 1_000) {
    left++;
    return null;
  }
  const value = await work();
  progress.add(key, value);
  return value;
}
/** What makes two searches the same one: the text of the model and the switches, whatever else has changed. */
function searchKey({ model, defines, order }: Search): string {
  const text = readFileSync(join(folder, `${model}.pml`), 'utf8');
  return createHash('sha256')
    .update([text, model, order, ...defines].join('\0'))
    .digest('hex')
    .slice(0, 16);
}
const searched = (what: Search): Promise<Found | null> => once(searchKey(what), () => search(folder, what));

async function checkModels(): Promise<object[]> {
  const rows: object[] = [];
  const chosen = MODELS.filter((run) => wanted(run.name) && (!values.quick || isQuick(run.model, run.name)));
  for (const { name, model, defines, bounds } of chosen) {
    const found = await searched({ model, defines, order: 'DEPTH' });
    if (found === null) continue;
    const { states, depth, seconds, memoryMib, errors } = found;
    if (errors > 0) failures++;
    rows.push({ name, bounds, states, depth, seconds, memory_mib: memoryMib, errors });
    const verdict = errors === 0 ? 'holds' : `BROKEN: ${found.broken ?? 'an assertion'}`;
    print(
      `${name.padEnd(26)} ${count(states).padStart(12)} states, depth ${depth}, ${seconds} s, ${memoryMib} MiB: ${verdict}`,
    );
    printSteps(found);
  }
  return rows;
}

async function removeGuards(): Promise<object[]> {
  const rows: object[] = [];
  const chosen = GUARDS.filter(
    (run) => wanted(`${run.model} ${run.guard}`) && (!values.quick || isQuick(run.model, run.guard)),
  );
  for (const { rule, guard, model, defines, without } of chosen) {
    const found = await searched({ model, defines: [`NO_${guard}`, ...defines], order: 'BREADTH' });
    if (found === null) continue;
    const { states, seconds, broken, steps } = found;
    if (broken === null) failures++;
    rows.push({ rule, guard, model, without, invariant: broken, steps: steps.length, states, seconds });
    const verdict = broken === null ? `NOT FOUND in ${count(states)} states` : `${broken} in ${steps.length} steps`;
    print(`${rule.padEnd(6)} ${guard.padEnd(16)} ${verdict.padEnd(18)} ${without}`);
    printSteps(found);
  }
  return rows;
}

async function removeRedundant(): Promise<object[]> {
  const rows: object[] = [];
  const chosen = REDUNDANT.filter(
    (run) => wanted(`${run.model} ${run.guard}`) && (!values.quick || isQuick(run.model, run.guard)),
  );
  for (const { rule, guard, model, defines, without, why } of chosen) {
    const found = await searched({ model, defines: [`NO_${guard}`, ...defines], order: 'DEPTH' });
    if (found === null) continue;
    const { states, broken } = found;
    if (broken !== null) failures++;
    rows.push({ rule, guard, model, without, why, states, invariant: broken });
    print(
      `${rule.padEnd(6)} ${guard.padEnd(16)} ${broken === null ? 'nothing breaks' : `BROKEN ${broken}`}     ${without}: ${why}`,
    );
  }
  return rows;
}

async function checkTraces(): Promise<{ traces_checked: number; events_checked: number; nonconforming: object[] }> {
  const nonconforming: object[] = [];
  let events = 0;
  let checked = 0;
  const seeds = wanted('traces') && !values.quick ? Number(values.seeds) : 0;
  const minutes = Number(values.minutes);
  for (let seed = 1; seed <= seeds; seed++) {
    const verdict = await once<TraceVerdict>(`${atCommit} ${seed} ${minutes}`, () => checkRun({ seed, minutes }));
    if (verdict === null) continue;
    checked++;
    events += verdict.events;
    if (verdict.refused === null && verdict.problems.length === 0) continue;
    failures++;
    nonconforming.push({ seed, refused: verdict.refused, problems: verdict.problems });
    print(`seed ${seed}: ${JSON.stringify(verdict.refused ?? verdict.problems)}`);
  }
  if (seeds > 0)
    print(
      `${checked} runs of the simulation, ${count(events)} events, ${nonconforming.length} runs that the model does not allow`,
    );
  return { traces_checked: checked, events_checked: events, nonconforming };
}

try {
  const models = values.models ? await checkModels() : [];
  const counterexamples = values.guards ? await removeGuards() : [];
  const redundant = values.guards ? await removeRedundant() : [];
  const traces = values.traces ? await checkTraces() : { traces_checked: 0, events_checked: 0, nonconforming: [] };
  const pass = failures === 0 && left === 0;
  const summary = {
    name: 'model',
    commit: atCommit,
    pass,
    models,
    guards_removed: counterexamples.length,
    counterexamples,
    redundant,
    ...traces,
    left,
    // Of this call; searches and runs tell their own.
    seconds: Math.round((performance.now() - startedMs) / 100) / 10,
  };
  if (values.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
  else if (left > 0) print(`${left} searches and runs are left: the same call goes on with them`);
  else
    print(
      `${models.length} models, ${counterexamples.length} guards removed, ${traces.traces_checked} runs: ${pass ? 'all hold' : `${failures} FAILED`}`,
    );
  process.exitCode = failures > 0 ? 1 : left > 0 ? 3 : 0;
} catch (error) {
  if (!(error instanceof SpinFailed)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
