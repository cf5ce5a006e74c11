import { calls } from '../../shared/contracts/api/index.ts';
import { probes } from './store-boundary/probes.ts';
import { distinctCalls, runBoundary } from './store-boundary/run.ts';
import { callSites } from './store-boundary/sites.ts';
import { stories } from './store-boundary/stories.ts';
import type { Story } from './store-boundary/stories.ts';

/**
 * Every call of the store that operations and requests make is found by running them, and goes wrong in every way that it can (docs/testing.md).
 * Here a part of the runs, evenly spread; `npm run store-faults` does them all.
 */

/** Runs of one operation and of one call of the API that are done here: 10 to 60 ms each. */
const RUNS_OF_OPERATION = 4;
const RUNS_OF_UNDOING = 1;
const RUNS_OF_CALL = 1;
const STORIES_MS_MAX = 180_000;

async function problemsOf(story: Story, runsMax: number): Promise<string[]> {
  const undisturbed = await runBoundary(story, null);
  const problems = undisturbed.problems.map((problem) => `${story.name}, undisturbed: ${problem}`);
  const targets = distinctCalls(undisturbed.seen).flatMap(({ number, kinds }) =>
    kinds.map((fault) => ({ call: number, fault })),
  );
  const stride = Math.ceil(targets.length / runsMax) | 1;
  for (const target of targets.filter((_, index) => index % stride === 0)) {
    const run = await runBoundary(story, target);
    for (const problem of run.problems) problems.push(`${story.name}, call ${target.call} ${target.fault}: ${problem}`);
  }
  return problems;
}

const all = stories();
const isCall = ({ name }: Story): boolean => name.startsWith('call ');

test.each(all.filter((story) => !isCall(story)).map((story) => [story.name, story] as const))(
  '%s: whatever call of the store goes wrong, it comes to the same end',
  async (_name, story) => {
    expect(await problemsOf(story, story.around === undefined ? RUNS_OF_OPERATION : RUNS_OF_UNDOING)).toEqual([]);
  },
  STORIES_MS_MAX,
);

test(
  'every call of the API: a clear answer, and a retry that reaches the end',
  async () => {
    const problems: string[] = [];
    for (const story of all.filter(isCall)) problems.push(...(await problemsOf(story, RUNS_OF_CALL)));
    expect(problems).toEqual([]);
  },
  STORIES_MS_MAX,
);

/**
 * A step of the undoing stands still at a read, Step Functions runs it again, the operation ends and is redriven; then the first one goes on, with what
 * it was about to put back. Found by all faults at all calls.
 */
test.each(['drain-node/2, redriven at Execute', 'change-replication-factor, redriven at Execute'])(
  '%s: a step that stood still puts nothing back',
  async (name) => {
    const story = all.find((one) => one.name === name);
    if (story === undefined) throw new Error(`no story ${name}`);
    const { seen, ...undisturbed } = await runBoundary(story, null);
    const problems = [...undisturbed.problems];
    const reads = distinctCalls(seen).filter(
      ({ kinds, callers }) =>
        kinds.includes('stale') && callers.some((caller) => caller.startsWith('state-machines/waves-')),
    );
    expect(reads.length).toBeGreaterThan(5);
    for (const { number } of reads)
      problems.push(...(await runBoundary(story, { call: number, fault: 'stale' })).problems);
    expect(problems).toEqual([]);
  },
  STORIES_MS_MAX,
);

test('every call of the API has a probe', () => {
  expect(Object.keys(probes).sort()).toEqual(Object.keys(calls).sort());
});

test('call sites are found in the source', () => {
  const sites = callSites();
  expect(sites.size).toBeGreaterThan(200);
  expect([...sites].some((site) => site.startsWith('shared/usecases/start-operation.ts:'))).toBe(true);
});
