import { reconcileOnce } from '../../shared/usecases/reconcile.ts';
import { createTable } from '../../shared/usecases/tables.ts';
import { crashRun } from '../support/crash-points.ts';
import type { Scenario } from '../support/crash-points.ts';
import { detectorRun } from '../support/detector-run.ts';
import type { MortalWorld } from '../support/mortal-world.ts';
import { checkAuditNumbers, checkHistory, checkInvariants } from '../support/world-checks.ts';
import { calls, createRows, operations } from './scenarios.ts';

/** EventBridge, Lambda and Step Functions deliver at least once, late, and beside each other. */

/** Milliseconds between two runs of a step; one call to the store takes 2: from side by side, over interleaved, to long after. */
const AGAIN_AFTER_MS = [0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 25, 60, 400, 5_000];

describe.each(Object.entries(operations))('%s: every step invoked twice', (_name, scenario) => {
  test.each(AGAIN_AFTER_MS)(
    'the second run %i ms after the first: one outcome, no trace of the other',
    async (stepsAgainAfterMs) => {
      const run = await crashRun(
        scenario,
        null,
        async (world) => [...checkHistory(world.base.committed, world.receipts), ...(await scenario.outcome(world))],
        { stepsAgainAfterMs },
      );
      expect(run.problems).toEqual([]);
    },
    20_000,
  );
});

test('steps do run twice', async () => {
  const scenario: Scenario = { run: createRows };
  const none = (): Promise<string[]> => Promise.resolve([]);
  const once = await crashRun(scenario, null, none);
  const twice = await crashRun(scenario, null, none, { stepsAgainAfterMs: 400 });
  expect(twice.calls).toBeGreaterThan(once.calls + 10);
});

describe('the same event twice at once', () => {
  const check = (world: MortalWorld): Promise<string[]> =>
    Promise.resolve(checkHistory(world.base.committed, world.receipts));
  const twoTicks = (world: MortalWorld): Promise<unknown> =>
    Promise.all([0, 1].map(() => world.invoke('reconcile', reconcileOnce)));

  test('two reconcile ticks over a transfer that its own request left behind', async () => {
    const transfer = calls['setLeader'];
    if (transfer === undefined) throw new Error('no scenario');
    // The request dies at each of its calls in turn; two ticks at once pick up what it left.
    for (let call = 1; call <= 12; call++) {
      const scenario: Scenario = {
        ...(transfer.prepare === undefined ? {} : { prepare: transfer.prepare }),
        run: async (world) => {
          const request = transfer.run(world);
          await world.base.deps.timers.sleep(3_000);
          await twoTicks(world);
          await request;
        },
      };
      const run = await crashRun(scenario, { call, side: 'AFTER' }, async (world) => [
        ...(await check(world)),
        ...(await transfer.outcome(world)),
      ]);
      expect({ call, problems: run.problems }).toEqual({ call, problems: [] });
    }
  }, 30_000);

  test('two reconcile ticks over an operation that was stored and never started: it runs once', async () => {
    const scenario: Scenario = {
      run: async (world) => {
        await world.invoke('api', (deps) =>
          createTable(
            { ...deps, operations: { ...deps.operations, start: () => Promise.reject(new Error('no answer')) } },
            { kind: 'admin', name: 'test' },
            { params: {}, query: {}, body: { table: 'rows', pre_split: ['h'], replication_factor: 3 } },
          ),
        );
        await world.base.deps.timers.sleep(10_500);
        await twoTicks(world);
        await createRows(world); // the table is there: this waits until it is active
      },
    };
    const created = operations['create-table'];
    if (created === undefined) throw new Error('no scenario');
    const run = await crashRun(scenario, null, async (world) => [
      ...(await check(world)),
      ...(await created.outcome(world)),
    ]);
    expect(run.problems).toEqual([]);
  }, 20_000);

  test('the rule of the detector fires twice at once, and once more a day late: one fence for each node that died', async () => {
    const run = await detectorRun({ nodes: 6, zones: 3 });
    try {
      run.startDetector();
      run.startDetector();
      run.stopNodeAt(1, 12_300);
      await run.until(30_000);
      // An event that was on its way since yesterday: one loop more than there should be.
      run.startDetector();
      run.stopNodeAt(2, 36_700);
      await run.until(60_000);
      expect(run.fences().map(({ node }) => node)).toEqual(['node-1', 'node-2']);
      const leaders = await run.leaders();
      expect(leaders).not.toContain('node-1');
      expect(leaders).not.toContain('node-2');
      expect([...checkInvariants(run.commits()), ...checkAuditNumbers(run.commits())]).toEqual([]);
    } finally {
      run.close();
    }
  });
});
