import { stateMachines } from '../../state-machines/registry.ts';
import { everyWay, faultsOf, pairsOf, singlesOf } from './sagas/enumerate.ts';
import type { Way } from './sagas/enumerate.ts';
import { FAULT_KINDS, faultNamed, nameOf } from './sagas/faults.ts';
import type { Fault } from './sagas/faults.ts';
import { FOUND } from './sagas/found.ts';
import { runSaga } from './sagas/run.ts';
import type { SagaRun } from './sagas/run.ts';
import { saga } from './scenario-kit.ts';

/**
 * Every state machine of the registry, with faults at its states (docs/testing.md). Here a part of the cases, evenly spread and another one for
 * each state and kind; `npm run sagas -- --pairs` runs them all.
 */

/** Cases of one way that run here: some 30 ms each. */
const SINGLES = 16;
const PAIRS = 8;
const WAY_MS_MAX = 120_000;

const ways = everyWay();

/** `count` of the cases, evenly spread. An odd stride meets every kind: they stand in the same order for each state. */
const spread = <T>(cases: readonly T[], count: number): readonly T[] => {
  const stride = Math.floor(cases.length / count) | 1;
  return cases.filter((_, index) => index % stride === 0);
};

const problemsOf = ({ faults, end, problems }: SagaRun): string[] =>
  problems.map((problem) => `${faults.map(nameOf).join(', ')} -> ${end}: ${problem}`);

const run = (way: Way, faults: readonly Fault[]): Promise<SagaRun> => runSaga(way.machine, way.saga, faults);

describe.each(ways.map((way) => [way.name, way] as const))('%s', (_name, way) => {
  test(
    'comes to an end that holds, whatever fails on the way',
    async () => {
      const undisturbed = await run(way, []);
      expect([undisturbed.end, undisturbed.problems]).toEqual(['SUCCEEDED APPLIED', []]);
      const cases = [...spread(singlesOf(undisturbed), SINGLES), ...spread(pairsOf(undisturbed), PAIRS)];
      const problems: string[] = [];
      for (const faults of cases) problems.push(...problemsOf(await run(way, faults)));
      expect(problems).toEqual([]);
    },
    WAY_MS_MAX,
  );
});

test.each(FOUND.map((found) => [found.way, found.faults, found.was] as const))('%s: %s (%s)', async (name, faults) => {
  const way = ways.find((one) => one.name === name);
  if (way === undefined) throw new Error(`no way ${name}`);
  const { allFired, problems } = await run(way, faults.split(',').map(faultNamed));
  expect({ allFired, problems }).toEqual({ allFired: true, problems: [] });
});

test('every operation of the registry is enumerated, at every Task state that its scenarios pass, with every kind of fault', async () => {
  expect(new Set(ways.map(({ machine }) => machine.type))).toEqual(new Set(stateMachines.map(({ type }) => type)));
  const way = ways[0]!;
  const faults = faultsOf(await run(way, []));
  expect(new Set(faults.map(({ kind }) => kind))).toEqual(new Set(Object.keys(FAULT_KINDS)));
});

describe('the enumeration finds', () => {
  const created = ways.find(({ name }) => name === 'create-table')!;

  test('an outcome that is not what was asked for', async () => {
    const wrong = saga({ ...created.saga, outcome: () => Promise.resolve(['wrong']) });
    expect((await runSaga(created.machine, wrong, [])).problems).toEqual(['wrong']);
  });

  test('what a roll-back leaves behind', async () => {
    // Somebody changes the world while the operation is undone: it is not as before.
    const meddling = saga({
      ...created.saga,
      tend: async (world) => {
        const stored = await world.base.records.get('config', { configKey: 'meddled' });
        if (stored !== null) return;
        await world.base.records.commit({
          writes: [
            {
              kind: 'put',
              entity: 'config',
              value: { configKey: 'meddled', configValue: 1, updatedAtMs: 0 },
              when: [{ kind: 'absent' }],
            },
          ],
          audit: [{ entity: 'config:meddled', number: 1, action: 'SET', principal: 'test', detail: {} }],
          events: [],
        });
      },
    });
    const { end, problems } = await runSaga(created.machine, meddling, [{ state: 'Plan', kind: 'cancelled' }]);
    expect(end).toBe('CANCELLED ROLLED_BACK');
    expect(problems).toEqual([expect.stringContaining('I-10 not as before: catalog')]);
  });
});
