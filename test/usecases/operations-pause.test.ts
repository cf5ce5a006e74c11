import { getOperation, pauseOperation } from '../../shared/usecases/operations.ts';
import { rebalanceShards } from '../../shared/usecases/rebalance.ts';
import { PAUSE_MS_DEFAULT } from '../../shared/domain/operation.ts';
import { reconcileOnce } from '../../shared/usecases/reconcile.ts';
import { asked, create, expectTable } from '../support/table-operations.ts';
import { operationStory } from '../support/virtual-operations.ts';
import type { Operations } from '../support/virtual-operations.ts';
import { expectSettled, waveStory } from '../support/wave-story.ts';

/** A pause has an end: a paused operation holds its shards. */

const HOUR_MS = 3_600_000;
const TICK_MS = 60_000;

const pausedAt = async (operations: Operations, step: string, seconds?: number): Promise<string> => {
  operations.around(async (task, run) => {
    if (task.step === step)
      await operations.world.call('pauseOperation', pauseOperation, {
        params: { operation_id: task.operation_id },
        body: seconds === undefined ? undefined : { seconds },
      });
    return run();
  });
  const id = await create(operations);
  expect(await operations.idle(id)).toMatchObject({ status: 'PAUSED' });
  operations.around((_task, run) => run());
  return id;
};
const shown = async ({ world }: Operations, id: string) => {
  const answer = await world.call('getOperation', getOperation, { params: { operation_id: id } });
  if (!answer.ok) throw new Error(answer.error.message);
  return answer.value;
};

test('it tells when it goes on by itself, and then does', () =>
  operationStory(async (operations) => {
    const id = await pausedAt(operations, 'build-directory', 1_800);
    const { waiting_on, paused_until } = await shown(operations, id);
    expect(waiting_on).toBe(`it is paused: resume or cancel it, or it goes on by itself at ${paused_until}`);
    await operations.wait(1_800_000 - TICK_MS);
    await reconcileOnce(operations.world.deps);
    expect(await operations.idle(id)).toMatchObject({ status: 'PAUSED' });
    await operations.wait(TICK_MS);
    await reconcileOnce(operations.world.deps);
    expect(await operations.idle(id)).toMatchObject({ status: 'SUCCEEDED', pausedUntilMs: null });
    expect(await shown(operations, id)).toMatchObject({ paused_until: null, waiting_on: null });
    const audit = await operations.world.records.query('audit', {
      partition: { entity: `operation:${id}` },
      order: 'forward',
      limit: 1000,
    });
    expect(audit.items.map(({ value }) => value.action)).toContain('OPERATION_PAUSE_EXPIRED');
    await expectTable(operations);
  }));

test('asked for again it is longer; a resume ends it at once', () =>
  operationStory(async (operations) => {
    const id = await pausedAt(operations, 'plan', 60);
    const longer = { params: { operation_id: id }, body: { seconds: 1_200 } };
    expect((await operations.world.call('pauseOperation', pauseOperation, longer)).ok).toBe(true);
    await operations.wait(600_000);
    await reconcileOnce(operations.world.deps);
    expect(await operations.idle(id)).toMatchObject({ status: 'PAUSED' });
    await asked(operations, 'resumeOperation', id);
    expect(await operations.idle(id)).toMatchObject({ status: 'SUCCEEDED' });
  }));

test('without a time it is a day', () =>
  operationStory(async (operations) => {
    const id = await pausedAt(operations, 'plan');
    const until = Date.parse((await shown(operations, id)).paused_until ?? '');
    expect(Math.abs(until - operations.world.deps.clock.wallMs() - PAUSE_MS_DEFAULT)).toBeLessThan(HOUR_MS);
    await asked(operations, 'cancelOperation', id);
    expect(await operations.idle(id)).toMatchObject({ status: 'CANCELLED', outcome: 'ROLLED_BACK' });
  }));

test('a part rests as long as its parent', () =>
  waveStory(
    async (told) => {
      await told.join(6);
      // Its copies come into being and are not in sync: the moves can't end.
      told.nodes.pace(6, 'NEVER');
      const started = await told.world.call('rebalanceShards', rebalanceShards, { body: {} });
      const id = started.ok ? started.value.operation_id : null;
      if (id === null) throw new Error('nothing was started');
      const moves = async () =>
        (await told.world.records.query('operation', { partition: {}, order: 'backward', limit: 100 })).items
          .map(({ value }) => value)
          .filter(({ type, parentId }) => type === 'move-replica' && parentId === id);
      while ((await moves()).length === 0) await told.wait(200);
      const pause = { params: { operation_id: id }, body: { seconds: 1_200 } };
      await told.world.call('pauseOperation', pauseOperation, pause);
      await told.idle(id);
      while ((await moves()).some(({ status }) => status !== 'PAUSED')) await told.wait(1_000);
      for (const { operationId } of await moves())
        await told.world.call('pauseOperation', pauseOperation, {
          params: { operation_id: operationId },
          body: { seconds: 60 },
        });
      told.nodes.pace(6, 'AT_ONCE');
      await told.wait(300_000);
      await told.tick();
      await told.wait(1_000);
      const statuses = (await moves()).map(({ status }) => status);
      expect(statuses.length).toBeGreaterThan(0);
      expect(new Set(statuses)).toEqual(new Set(['PAUSED']));
      await told.wait(1_000_000);
      expect(await told.ended(id)).toMatchObject({ status: 'PAUSED' });
      await told.tick();
      while ((await told.idle(id)).status === 'RUNNING') await told.wait(1_000);
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      await expectSettled(told);
    },
    { shards: 6 },
  ));
