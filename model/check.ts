import { parseArgs } from 'node:util';
import { checkRun } from '../test/model/traces.ts';
import { search, SpinFailed } from './spin.ts';
import type { Found } from './spin.ts';
import { GUARDS, MODELS, REDUNDANT } from './suite.ts';

/**
 * `npm run model`: all states of each model, a counterexample for each guard that is removed, and runs of the simulation held against
 * the model (README.md). Exit status 1: a model is broken, a removal goes unnoticed, or a run does not conform. 2: SPIN is missing or gave up.
 */

/** Runs of the simulation, and their virtual minutes, unless the command line says otherwise. */
const SEEDS = 20;
const MINUTES = 0.5;

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    /** Only what has this in its name. */
    only: { type: 'string', default: '' },
    /** Prints each counterexample. */
    steps: { type: 'boolean', default: false },
    seeds: { type: 'string', default: String(SEEDS) },
    minutes: { type: 'string', default: String(MINUTES) },
    models: { type: 'boolean', default: true },
    guards: { type: 'boolean', default: true },
    traces: { type: 'boolean', default: true },
  },
  allowNegative: true,
});
const folder = import.meta.dirname;
let failures = 0;

const print = (line: string): void => {
  if (!values.json) process.stdout.write(`${line}\n`);
};
const count = (value: number): string => value.toLocaleString('en');
const wanted = (name: string): boolean => name.includes(values.only);
function printSteps(found: Found): void {
  if (values.steps) found.steps.forEach((step, index) => print(`    ${String(index + 1).padStart(3)} ${step}`));
}

async function checkModels(): Promise<object[]> {
  const rows: object[] = [];
  for (const { name, model, defines, bounds } of MODELS.filter((run) => wanted(run.name))) {
    const found = await search(folder, { model, defines, order: 'DEPTH' });
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
  for (const { rule, guard, model, defines, without } of GUARDS.filter((run) => wanted(`${run.model} ${run.guard}`))) {
    const found = await search(folder, { model, defines: [`NO_${guard}`, ...defines], order: 'BREADTH' });
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
  for (const { rule, guard, model, defines, without, why } of REDUNDANT.filter((run) =>
    wanted(`${run.model} ${run.guard}`),
  )) {
    const { states, broken } = await search(folder, { model, defines: [`NO_${guard}`, ...defines], order: 'DEPTH' });
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
  const seeds = wanted('traces') ? Number(values.seeds) : 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const verdict = await checkRun({ seed, minutes: Number(values.minutes) });
    events += verdict.events;
    if (verdict.refused === null && verdict.problems.length === 0) continue;
    failures++;
    nonconforming.push({ seed, refused: verdict.refused, problems: verdict.problems });
    print(`seed ${seed}: ${JSON.stringify(verdict.refused ?? verdict.problems)}`);
  }
  print(
    `${seeds} runs of the simulation, ${count(events)} events, ${nonconforming.length} runs that the model does not allow`,
  );
  return { traces_checked: seeds, events_checked: events, nonconforming };
}

try {
  const models = values.models ? await checkModels() : [];
  const counterexamples = values.guards ? await removeGuards() : [];
  const redundant = values.guards ? await removeRedundant() : [];
  const traces = values.traces ? await checkTraces() : { traces_checked: 0, events_checked: 0, nonconforming: [] };
  const pass = failures === 0;
  const summary = {
    name: 'model',
    pass,
    models,
    guards_removed: counterexamples.length,
    counterexamples,
    redundant,
    ...traces,
  };
  if (values.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
  else
    print(
      `${models.length} models, ${counterexamples.length} guards removed, ${traces.traces_checked} runs: ${pass ? 'all hold' : `${failures} FAILED`}`,
    );
  process.exitCode = pass ? 0 : 1;
} catch (error) {
  if (!(error instanceof SpinFailed)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
