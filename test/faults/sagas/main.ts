import { parseArgs } from 'node:util';
import { commit } from '../../../bench/commit.ts';
import { openProgress } from '../../support/progress.ts';
import { everyWay, pairsOf, singlesOf } from './enumerate.ts';
import type { Way } from './enumerate.ts';
import { FAULT_KINDS, faultNamed, nameOf } from './faults.ts';
import type { Fault } from './faults.ts';
import { machines } from './machines.ts';
import { runSaga } from './run.ts';
import type { SagaRun } from './run.ts';

/**
 * `npm run sagas -- [--pairs] [--no-singles] [--way NAME] [--every N] [--from K] [--seconds S] [--into FILE] [--json]`: every state machine x every
 * state x every fault, then with `--pairs` all pairs. `--every N --from K` takes each Nth case, from the Kth on. After `--seconds` nothing new is begun;
 * `--into` keeps what was done at this commit, so that the same call goes on. `--way NAME --case "State fault@effect, State fault"` runs one case.
 * Exit status 1 if a case is violated, 3 if `--seconds` left some for another call.
 */
const { values } = parseArgs({
  options: {
    pairs: { type: 'boolean', default: false },
    singles: { type: 'boolean', default: true },
    way: { type: 'string' },
    case: { type: 'string' },
    every: { type: 'string', default: '1' },
    from: { type: 'string', default: '0' },
    seconds: { type: 'string', default: 'Infinity' },
    into: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
  allowNegative: true,
});

const print = (line: string): void => void (values.json ? process.stderr : process.stdout).write(`${line}\n`);
const startedMs = performance.now();
const secondsMax = Number(values.seconds);
const every = Number(values.every);
const from = Number(values.from);
const isOver = (): boolean => (performance.now() - startedMs) / 1000 > secondsMax;

const atCommit = commit();
const progress = openProgress(values.into);
const totals = { cases: 0, pairs: 0, unmet: 0, left: 0, violations: 0 };
const ends = new Map<string, number>();
const reached = new Map<string, Set<string>>();
const violated: { case: string; problems: readonly string[] }[] = [];

const caseName = (way: Way, faults: readonly Fault[]): string => `${way.name}: ${faults.map(nameOf).join(', ')}`;

/** What is kept of a run. */
interface Outcome {
  readonly end: string;
  readonly allFired: boolean;
  readonly reached: readonly string[];
  readonly problems: readonly string[];
}

const outcomeOf = ({ end, allFired, reached: states, problems }: SagaRun): Outcome => ({
  end,
  allFired,
  reached: [...states],
  problems,
});

function take(way: Way, faults: readonly Fault[], { end, reached: states, problems }: Outcome): void {
  const known = reached.get(way.machine.type) ?? new Set<string>();
  reached.set(way.machine.type, known);
  for (const state of states) known.add(state);
  ends.set(end, (ends.get(end) ?? 0) + 1);
  if (problems.length === 0) return;
  totals.violations++;
  violated.push({ case: caseName(way, faults), problems });
  print(`VIOLATED ${caseName(way, faults)} -> ${end}`);
  for (const problem of problems) print(`    ${problem.slice(0, 600)}`);
}

async function runAll(way: Way, cases: readonly (readonly Fault[])[], count: 'cases' | 'pairs'): Promise<void> {
  for (const [index, faults] of cases.entries()) {
    if (index % every !== from % every) continue;
    const key = `${atCommit} ${count} ${caseName(way, faults)}`;
    let outcome = progress.get<Outcome>(key);
    if (outcome === null) {
      if (isOver()) {
        totals.left++;
        continue;
      }
      outcome = outcomeOf(await runSaga(way.machine, way.saga, faults));
      progress.add(key, outcome);
    }
    totals[outcome.allFired ? count : 'unmet']++;
    take(way, faults, outcome);
  }
}

const ways = everyWay().filter(({ name }) => values.way === undefined || name === values.way);
if (ways.length === 0)
  throw new Error(
    `no way ${values.way}: one of ${everyWay()
      .map(({ name }) => name)
      .join(', ')}`,
  );
for (const way of ways) {
  const beganMs = performance.now();
  const before = { ...totals };
  if (values.case !== undefined) {
    await runAll(
      way,
      [
        values.case
          .split(',')
          .filter((one) => one.trim() !== '')
          .map(faultNamed),
      ],
      'cases',
    );
  } else {
    const undisturbed = await runSaga(way.machine, way.saga, []);
    take(way, [], outcomeOf(undisturbed));
    if (values.singles) await runAll(way, singlesOf(undisturbed), 'cases');
    if (values.pairs) await runAll(way, pairsOf(undisturbed), 'pairs');
  }
  const seconds = Math.round((performance.now() - beganMs) / 100) / 10;
  print(
    `${way.name}: ${totals.cases - before.cases} cases, ${totals.pairs - before.pairs} pairs, ${totals.unmet - before.unmet} whose fault never met its state, ${totals.violations - before.violations} violations, ${seconds} s`,
  );
}

const present = machines.filter(({ type }) => reached.has(type));
const missing = present.flatMap(({ type, states }) =>
  [...states.keys()].filter((state) => reached.get(type)?.has(state) !== true).map((state) => `${type} ${state}`),
);
print(`states that no case reached: ${missing.length === 0 ? 'none' : missing.join(', ')}`);
const summary = {
  name: 'sagas',
  commit: atCommit,
  pass: totals.violations === 0 && totals.left === 0,
  machines: present.length,
  states: present.reduce((sum, { states }) => sum + states.size, 0) - missing.length,
  states_not_reached: missing,
  faults: Object.keys(FAULT_KINDS).length,
  ...totals,
  ends: Object.fromEntries([...ends].sort()),
  seconds: Math.round((performance.now() - startedMs) / 100) / 10,
  violated: violated.slice(0, 50),
};
process.stdout.write(`${JSON.stringify(summary, null, values.json ? undefined : 2)}\n`);
process.exitCode = totals.violations > 0 ? 1 : totals.left > 0 ? 3 : 0;
