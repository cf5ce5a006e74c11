import { rebalanceShards } from '../../shared/usecases/rebalance.ts';
import { setRebalanceConfig } from '../../shared/usecases/rebalance-config.ts';
import { cancelOperation, pauseOperation, resumeOperation } from '../../shared/usecases/operations.ts';
import { shardId } from '../../shared/domain/ids.ts';
import { expectSettled, waveStory } from '../support/wave-story.ts';
import type { WaveStory } from '../support/wave-story.ts';

/** rebalance by its real machine: five nodes, then a sixth and seventh that hold nothing. */

type Body = Parameters<typeof rebalanceShards>[2]['body'];
const ask = (told: WaveStory, body: Body = {}) => told.world.call('rebalanceShards', rebalanceShards, { body });

async function started(told: WaveStory, body: Body = {}): Promise<string> {
  const answer = await ask(told, body);
  if (!answer.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`);
  if (answer.value.operation_id === null) throw new Error('nothing was started');
  return answer.value.operation_id;
}

const spreadOf = (counts: Readonly<Record<number, number>>, nodes: readonly number[]): number => {
  const values = nodes.map((node) => counts[node] ?? 0);
  return Math.max(...values) - Math.min(...values);
};

const ALL = [1, 2, 3, 4, 5, 6, 7];

describe('a rebalance', () => {
  test('brings new nodes their share, by moves that are operations of their own', () =>
    waveStory(async (told) => {
      await told.join(6, 7);
      const dry = await ask(told, { dry_run: true });
      if (!dry.ok || dry.value.plan === null) throw new Error('no plan');
      expect(dry.value).toMatchObject({ status: 'initiated', operation_id: null });
      expect(dry.value.rebalanced_shards).toBeGreaterThan(0);
      expect(await told.newest('rebalance')).toBeNull();
      const id = await started(told);
      expect((await told.newest('rebalance'))?.progress.total).toBe(dry.value.rebalanced_shards);
      const ended = await told.ended(id);
      expect(ended).toMatchObject({ status: 'SUCCEEDED', outcome: 'APPLIED', waitingOn: null, error: null });
      expect(ended.progress.done).toBe(ended.progress.total);
      expect(spreadOf(await told.load(), ALL)).toBeLessThanOrEqual(1);
      const parts = await told.parts(id);
      expect(parts.every(({ status }) => status === 'DONE')).toBe(true);
      await expectSettled(told);
    }));

  test('leaders alone: no replica moves', () =>
    waveStory(
      async (told) => {
        const before = await told.load();
        const id = await started(told, { mode: 'leaders' });
        expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
        expect(await told.load()).toEqual(before);
        expect(spreadOf(await told.leaders(), [1, 2, 3, 4, 5])).toBeLessThanOrEqual(1);
        await expectSettled(told);
      },
      { shards: 10 },
    ));

  test('one at a time, and a scatter needs its table', () =>
    waveStory(async (told) => {
      await told.join(6);
      const id = await started(told);
      expect(await ask(told)).toMatchObject({ ok: false, error: { code: 'REBALANCE_RUNNING' } });
      expect(await ask(told, { mode: 'scatter' })).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } });
      expect(await ask(told, { table: 'nothing' })).toMatchObject({ ok: false, error: { code: 'TABLE_NOT_FOUND' } });
      await told.ended(id);
      expect((await ask(told, { mode: 'scatter', table: 'rows' })).ok).toBe(true);
    }));

  test('a plan is applied as it was shown, and refused when a shard has changed', () =>
    waveStory(async (told) => {
      await told.join(6);
      const dry = await ask(told, { dry_run: true });
      if (!dry.ok || dry.value.plan === null) throw new Error('no plan');
      const { plan } = dry.value;
      const id = await started(told, { plan });
      await told.ended(id);
      const parts = await told.parts(id);
      expect(parts).toHaveLength(plan.moves.length + plan.leader_moves.length);
      expect(await ask(told, { plan })).toMatchObject({ ok: false, error: { code: 'PLAN_STALE' } });
    }));

  test('a plan that gives a shard another leader and moves a replica of it is applied (found by fuzzing: 500)', () =>
    waveStory(async (told) => {
      await told.join(6);
      const dry = await ask(told, { dry_run: true });
      if (!dry.ok || dry.value.plan === null) throw new Error('no plan');
      const { leader_moves, moves } = dry.value.plan;
      const shard = (await told.world.directory.locate(shardId(moves[0]!.shard_id)))!.shard;
      const { bytes: _bytes, ...move } = moves[0]!;
      const to = shard.replicas.find(({ nodeId }) => nodeId !== shard.leader.nodeId && nodeId !== move.from)!.nodeId;
      const besides = { ...move, from: shard.leader.nodeId, to, reason: 'BALANCE' };
      const others = leader_moves.filter(({ shard_id }) => shard_id !== move.shard_id);
      const id = await started(told, { plan: { moves: moves.slice(0, 1), leader_moves: [...others, besides] } });
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      expect((await told.parts(id)).map(({ status }) => status)).not.toContain('PLANNED');
      await expectSettled(told);
    }));

  test('a part that hangs holds up no other; a part whose shard is busy is left out and told of', () =>
    waveStory(async (told) => {
      await told.join(6, 7);
      told.nodes.pace(6, 'NEVER');
      const id = await started(told);
      const ended = await told.ended(id);
      expect(ended.status).toBe('SUCCEEDED');
      const parts = await told.parts(id);
      const to6 = parts.filter(({ value }) => (value as { to?: string }).to === 'node-6');
      const others = parts.filter((part) => !to6.includes(part));
      expect(to6.length).toBeGreaterThan(0);
      expect(to6.every(({ status, reason }) => status === 'FAILED' && reason === 'CATCH_UP_TIMEOUT')).toBe(true);
      expect(others.length).toBeGreaterThan(0);
      expect(others.every(({ status }) => status === 'DONE')).toBe(true);
      expect(ended.steps.at(-1)?.detail).toContain('CATCH_UP_TIMEOUT');
      await expectSettled(told);
    }));

  test('keeps to the pace of moves an hour, also from one rebalance to the next', () =>
    waveStory(async (told) => {
      await told.world.call('setRebalanceConfig', setRebalanceConfig, { body: { moves_per_hour: 2 } });
      await told.join(6, 7);
      const id = await started(told);
      await told.wait(120_000);
      const first = (await told.parts(id)).filter(({ status }) => status !== 'PLANNED').length;
      expect(first).toBe(2);
      await told.wait(1_800_000);
      expect((await told.parts(id)).filter(({ status }) => status !== 'PLANNED')).toHaveLength(3);
      const stored = await told.newest('rebalance');
      expect(stored?.waitingOn).toContain('moves_per_hour');
      await told.world.call('cancelOperation', cancelOperation, { params: { operation_id: id } });
      expect(await told.ended(id)).toMatchObject({ status: 'CANCELLED' });
      const again = await started(told);
      await told.wait(60_000);
      const second = (await told.parts(again)).filter(({ value }) => (value as { kind: string }).kind === 'MOVE');
      expect(second.every(({ status }) => status === 'PLANNED')).toBe(true);
    }));
});

describe('its parts follow it', () => {
  test('paused with it, resumed with it', () =>
    waveStory(async (told) => {
      await told.join(6, 7);
      told.nodes.pace(6, 'NEVER');
      told.nodes.pace(7, 'NEVER');
      const id = await started(told);
      await told.wait(20_000);
      await told.world.call('pauseOperation', pauseOperation, { params: { operation_id: id } });
      expect(await told.ended(id)).toMatchObject({ status: 'PAUSED' });
      await told.wait(20_000);
      const children = async () => {
        const running = (await told.parts(id)).flatMap(({ childId }) => childId ?? []);
        const stored = await told.world.records.getMany(
          'operation',
          running.map((operationId) => ({ operationId })),
        );
        return stored.map((child) => child?.value.status);
      };
      const paused = await children();
      expect(paused.length).toBeGreaterThan(0);
      expect(new Set(paused)).toEqual(new Set(['PAUSED']));
      told.nodes.pace(6, 'AT_ONCE');
      told.nodes.pace(7, 'AT_ONCE');
      await told.world.call('resumeOperation', resumeOperation, { params: { operation_id: id } });
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      expect((await told.parts(id)).every(({ status }) => status === 'DONE')).toBe(true);
      await expectSettled(told);
    }));

  test('cancelled with it: what was done stays, the rest is undone', () =>
    waveStory(async (told) => {
      await told.join(6, 7);
      told.nodes.pace(6, 'NEVER');
      const id = await started(told);
      await told.wait(30_000);
      await told.world.call('cancelOperation', cancelOperation, { params: { operation_id: id } });
      expect(await told.ended(id)).toMatchObject({ status: 'CANCELLED', outcome: 'ROLLED_BACK', error: null });
      expect((await told.load())[6]).toBeUndefined();
      expect((await told.load())[7]).toBeGreaterThan(0);
      await expectSettled(told);
    }));
});

describe('whatever dies', () => {
  test.each(['begin', 'execute', 'finish'])('the process before and after %s', (step) =>
    waveStory(async (told) => {
      await told.join(6, 7);
      let left = 2;
      told.around(async (task, run) => {
        if (task.step !== step || left === 0) return run();
        left -= 1;
        if (left === 1) await run();
        await told.restart();
        throw new Error('died');
      });
      const id = await started(told);
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      expect(spreadOf(await told.load(), ALL)).toBeLessThanOrEqual(1);
      await expectSettled(told);
    }),
  );

  test('every step run twice', () =>
    waveStory(async (told) => {
      await told.join(6, 7);
      told.around(async (task, run) => {
        if (task.task_token !== undefined) return run();
        await run();
        return run();
      });
      expect(await told.ended(await started(told))).toMatchObject({ status: 'SUCCEEDED' });
      expect(spreadOf(await told.load(), ALL)).toBeLessThanOrEqual(1);
      await expectSettled(told);
    }));
});

describe('the tick', () => {
  test('starts one when nodes are out of balance, and rests when they are even', () =>
    waveStory(async (told) => {
      await told.world.call('setRebalanceConfig', setRebalanceConfig, { body: { tick: 'on', check_every_seconds: 5 } });
      await told.tick();
      const before = await told.newest('rebalance');
      if (before !== null) await told.ended(before.operationId);
      await told.wait(400_000);
      await told.join(6, 7);
      await told.tick();
      const stored = await told.newest('rebalance');
      if (stored === null) throw new Error('no rebalance was started');
      expect(await told.ended(stored.operationId)).toMatchObject({
        status: 'SUCCEEDED',
        createdBy: 'system:reconciler',
      });
      expect(spreadOf(await told.load(), ALL)).toBeLessThanOrEqual(1);
      await told.wait(400_000);
      await told.tick();
      expect((await told.newest('rebalance'))?.operationId).toBe(stored.operationId);
    }));
});
