import { stateMachines } from '../../state-machines/registry.ts';
import { crashRun, everyCrashPoint } from '../support/crash-points.ts';
import type { CrashRun, Scenario } from '../support/crash-points.ts';
import { checkHistory } from '../support/world-checks.ts';
import { calls, createRows, operations, waves } from './scenarios.ts';

/** A Lambda killed at every await (docs/invariants.md, I-9 to I-11): nothing is lost, nothing done twice, nothing left lying about. */

/** A run takes some 30 ms, a scenario has up to some 200 crash points. */
const SCENARIO_MS_MAX = 120_000;

describe.each(Object.entries({ ...operations, ...calls }))('%s', (_name, scenario) => {
  test(
    'killed at every call, before and after its effect: repeated, it comes to the same end',
    async () => {
      const runs = await everyCrashPoint(scenario, async (world) => [
        ...checkHistory(world.base.committed, world.receipts),
        ...(await scenario.outcome(world)),
      ]);
      expect(runs.flatMap(problemsOf)).toEqual([]);
      expect(runs.length).toBeGreaterThan(5);
    },
    SCENARIO_MS_MAX,
  );
});

/** Operations without a scenario: known gaps, each closed by adding its scenario to scenarios.ts and taking it off here. */
const UNTRIED: readonly string[] = [];

test('every operation of the registry has its crash points tried, or is a known gap', () => {
  const tried = { ...operations, ...waves };
  const missing = stateMachines.map(({ type }) => type as string).filter((type) => !Object.hasOwn(tried, type));
  expect(missing.filter((type) => !UNTRIED.includes(type))).toEqual([]);
});

test('the harness finds a step that is not safe to repeat', async () => {
  // Two commits where one is needed: dead between them, the second run is refused.
  const broken: Scenario = {
    run: async (world) => {
      const put = (entity: string): Promise<unknown> =>
        world.invoke('broken', async (deps) => {
          for (const configKey of [`${entity}-1`, `${entity}-2`]) {
            const committed = await deps.records.commit({
              writes: [
                {
                  kind: 'put',
                  entity: 'config',
                  value: { configKey, configValue: 1, updatedAtMs: 0 },
                  when: [{ kind: 'absent' }],
                },
              ],
              audit: [{ entity: `config:${configKey}`, number: 1, action: 'SET', principal: 'test', detail: {} }],
              events: [],
            });
            if (!committed.ok) throw new Error('refused');
          }
        });
      await put('a').catch(() => put('a'));
    },
  };
  const runs = await everyCrashPoint(broken, () => Promise.resolve([]));
  expect(runs.filter(({ problems }) => problems.length > 0).map(({ point }) => point)).toEqual([
    { call: 2, side: 'BEFORE' },
    { call: 1, side: 'AFTER' },
    { call: 2, side: 'AFTER' },
  ]);
});

test('without a death nothing dies, and a run can be repeated exactly', async () => {
  const scenario: Scenario = { run: createRows };
  const first = await crashRun(scenario, null, () => Promise.resolve([]));
  const second = await crashRun(scenario, null, () => Promise.resolve([]));
  expect(first).toMatchObject({ died: null, problems: [] });
  expect(second).toEqual(first);
});

const problemsOf = ({ point, died, problems }: CrashRun): string[] =>
  problems.map((problem) => `died ${point?.side ?? ''} call ${point?.call ?? 0} (${died ?? 'nowhere'}): ${problem}`);
