import { nodeId } from '../../shared/domain/ids.ts';
import { drainNode } from '../../shared/usecases/drain-node.ts';
import { cordonNode } from '../../shared/usecases/node-care.ts';
import { mergeShards } from '../../shared/usecases/merge-shards.ts';
import { moveShard } from '../../shared/usecases/move-replica.ts';
import { rebalanceShards } from '../../shared/usecases/rebalance.ts';
import { setRebalanceConfig } from '../../shared/usecases/rebalance-config.ts';
import { createTable } from '../../shared/usecases/tables.ts';
import { setTableReplication } from '../../shared/usecases/change-replication.ts';
import { label, rule, setRules, SSD, ssdOnly } from '../support/placement-story.ts';
import { expectSettled, numberOf, waveStory } from '../support/wave-story.ts';
import type { WaveStory } from '../support/wave-story.ts';

/** Placement rules, labels and weights in force: five nodes, each in a zone of its own, and a table of six shards with three copies. What is stored: placement-config.test.ts. */

/** A rebalance moves one copy of a shard at a time: as many of them as it takes. */
const rebalanced = async (told: WaveStory): Promise<void> => {
  for (let left = 4; left > 0; left--) {
    const answer = await told.world.call('rebalanceShards', rebalanceShards, { body: {} });
    if (!answer.ok || answer.value.operation_id === null) throw new Error('nothing was started');
    expect(await told.ended(answer.value.operation_id)).toMatchObject({ status: 'SUCCEEDED' });
    if (answer.value.rebalanced_shards === 0) return;
  }
  throw new Error('rebalances never ended');
};
/** Ticks as the schedule has them, until the tick starts nothing for longer than it rests after a rebalance. */
const ticked = async (told: WaveStory): Promise<number> => {
  let started = 0;
  let last = (await told.newest('rebalance'))?.operationId;
  for (let quiet = 0; quiet < 6; quiet++) {
    await told.wait(60_000);
    await told.tick();
    const newest = await told.newest('rebalance');
    if (newest === null || newest.operationId === last) continue;
    expect(newest.createdBy).toBe('system:reconciler');
    await told.ended(newest.operationId);
    last = newest.operationId;
    started += 1;
    quiet = 0;
  }
  return started;
};
const nodesOf = (counts: Readonly<Record<number, number>>): number[] => Object.keys(counts).map(Number);

describe('rebalancing', () => {
  test('a rule moves every replica of its table to the nodes that it allows', () =>
    waveStory(async (told) => {
      expect(nodesOf(await told.load())).toEqual([1, 2, 3, 4, 5]);
      await ssdOnly(told);
      await rebalanced(told);
      expect(await told.load()).toEqual({ 1: 6, 2: 6, 3: 6 });
      await expectSettled(told);
    }));

  test('a preference moves leaders, and no replica', () =>
    waveStory(async (told) => {
      const before = await told.load();
      const [shard] = await told.shards();
      const wished = shard!.replicas.find(({ nodeId: id }) => id !== shard!.leader.nodeId)!.nodeId;
      await setRules(told, rule({ leader_preference: { nodes: [wished], zones: [] } }));
      await rebalanced(told);
      expect(await told.load()).toEqual(before);
      for (const { leader, replicas } of await told.shards())
        expect(leader.nodeId === wished || !replicas.some(({ nodeId: id }) => id === wished)).toBe(true);
      await expectSettled(told);
    }));

  test('a new node of weight 3 gets three times the share of the others', () =>
    waveStory(
      async (told) => {
        await told.join(6);
        await label(told, 6, { capacity_weight: 3 });
        await rebalanced(told);
        // 24 replicas over weights 1, 1, 1, 1, 1 and 3.
        expect(await told.load()).toEqual({ 1: 3, 2: 3, 3: 3, 4: 3, 5: 3, 6: 9 });
        await expectSettled(told);
      },
      { shards: 12, replicationFactor: 2 },
    ));

  test('the tick brings the cluster to a new rule, then lets it be, and looks again when a label changes', () =>
    waveStory(
      async (told) => {
        await told.world.call('setRebalanceConfig', setRebalanceConfig, {
          body: { tick: 'on', check_every_seconds: 5 },
        });
        await ssdOnly(told);
        expect(await ticked(told)).toBeGreaterThan(0);
        expect(await told.load()).toEqual({ 1: 3, 2: 3, 3: 3 });
        // It came to rest although nodes 4 and 5 hold nothing: the rule wants it so.
        await label(told, 4, { labels: { disk: 'ssd' } });
        await label(told, 3, { labels: { disk: 'hdd' } });
        expect(await ticked(told)).toBe(1);
        expect(await told.load()).toEqual({ 1: 3, 2: 3, 4: 3 });
        await expectSettled(told);
      },
      { shards: 3 },
    ));
});

describe('in the way of requests', () => {
  test('a move to a node that the rule bars is refused with the rule', () =>
    waveStory(async (told) => {
      await ssdOnly(told);
      await rebalanced(told);
      const [shard] = await told.shards();
      const answer = await told.world.call('moveShard', moveShard, {
        params: { shard_id: shard!.shardId },
        body: { target_node_id: 'node-4' },
      });
      expect(answer).toMatchObject({
        ok: false,
        error: { kind: 'CONFLICT', code: 'PLACEMENT_RULE' },
      });
      if (!answer.ok) expect(answer.error.message).toContain('placement rule 1 (tables rows; requires disk=ssd)');
      expect((await told.shards())[0]).toEqual(shard);
    }));

  test('a drain that only barred nodes could take is blocked; one that an allowed node can take goes there', () =>
    waveStory(async (told) => {
      await ssdOnly(told);
      await rebalanced(told);
      const drain = () => told.world.call('drainNode', drainNode, { params: { node_id: 'node-1' }, body: undefined });
      const blocked = await drain();
      expect(blocked).toMatchObject({ ok: false, error: { code: 'DRAIN_BLOCKED' } });
      if (!blocked.ok) expect(blocked.error.message).toContain('LABEL_RULE');
      await label(told, 5, { labels: { disk: 'ssd' } });
      const started = await drain();
      if (!started.ok || started.value.operation_id === null) throw new Error('not started');
      expect(await told.ended(started.value.operation_id)).toMatchObject({ status: 'SUCCEEDED' });
      expect(await told.load()).toEqual({ 2: 6, 3: 6, 5: 6 });
      await expectSettled(told);
    }));

  test('more copies than the rule has nodes for are refused; with one more node they go there', () =>
    waveStory(async (told) => {
      await ssdOnly(told);
      await rebalanced(told);
      const raise = () =>
        told.world.call('setTableReplication', setTableReplication, {
          params: { table: 'rows' },
          body: { replication_factor: 4 },
        });
      const refused = await raise();
      expect(refused).toMatchObject({
        ok: false,
        error: { code: 'NOT_ENOUGH_NODES', detail: { needed: 4, available: 3 } },
      });
      await label(told, 4, { labels: { disk: 'ssd' } });
      const started = await raise();
      if (!started.ok || started.value.operation_id === null) throw new Error('not started');
      expect(await told.ended(started.value.operation_id)).toMatchObject({ status: 'SUCCEEDED' });
      expect(await told.load()).toEqual({ 1: 6, 2: 6, 3: 6, 4: 6 });
      await expectSettled(told);
    }));

  test('a repair goes to a node that the rule allows, and waits while there is none', () =>
    waveStory(async (told) => {
      await ssdOnly(told);
      await rebalanced(told);
      await told.world.call('setRebalanceConfig', setRebalanceConfig, { body: { repair_after_seconds: 60 } });
      await told.nodes.kill(1);
      await told.wait(61_000);
      await told.tick();
      expect(await told.newest('repair-shards')).toBeNull();
      await label(told, 4, { labels: { disk: 'ssd' } });
      await told.tick();
      const repair = await told.newest('repair-shards');
      expect(await told.ended(repair!.operationId)).toMatchObject({ status: 'SUCCEEDED' });
      expect(await told.load()).toEqual({ 2: 6, 3: 6, 4: 6 });
      await expectSettled(told, [1]);
    }));
});

test('of two neighbours the copies go where the rule lets them be, whichever is smaller', () =>
  waveStory(async (told) => {
    const shards = await told.shards();
    const where = (index: number): string[] => shards[index]?.replicas.map(({ nodeId: id }) => id).sort() ?? [];
    const at = shards.findIndex((_shard, index) => index > 0 && where(index).join() !== where(index - 1).join());
    const [left, right] = [shards[at - 1], shards[at]];
    if (left === undefined || right === undefined) throw new Error('all shards are on the same nodes');
    const planned = async () => {
      const answer = await told.world.call('mergeShards', mergeShards, {
        params: { shard_id: left.shardId },
        body: { dry_run: true },
      });
      if (!answer.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`);
      return [...answer.value.plan.nodes].sort();
    };
    // Of two of the same size the right one moves.
    expect(await planned()).toEqual(where(at - 1));
    for (const id of where(at)) await label(told, numberOf(id), { labels: { disk: 'ssd' } });
    await setRules(told, rule({ required: [SSD] }));
    expect(await planned()).toEqual(where(at));
  }));

describe('a new table', () => {
  const create = (told: WaveStory) =>
    told.world.call('createTable', createTable, { body: { table: 'orders', pre_split: ['g', 'p'] } });
  const placed = async (told: WaveStory): Promise<Set<number>> => {
    const nodes = await Promise.all(
      [1, 2, 3, 4, 5].map(async (node) => {
        const { replicas } = await told.world.directory.replicasOn(nodeId(`node-${node}`), { limit: 1000 });
        const located = await told.world.directory.resolve(replicas);
        return located.some((one) => one?.shard.table === 'orders') ? [node] : [];
      }),
    );
    return new Set(nodes.flat());
  };

  test('is placed by the rule that waited for it, its leaders where they are preferred', () =>
    waveStory(async (told) => {
      for (const node of [1, 3, 5]) await label(told, node, { labels: { disk: 'ssd' } });
      await setRules(
        told,
        rule({ tables: ['orders'], required: [SSD], leader_preference: { nodes: [], zones: ['z3'] } }),
      );
      const answer = await create(told);
      if (!answer.ok) throw new Error(answer.error.message);
      expect(await told.ended(answer.value.operation_id)).toMatchObject({ status: 'SUCCEEDED' });
      expect(await placed(told)).toEqual(new Set([1, 3, 5]));
      const { replicas } = await told.world.directory.replicasOn(nodeId('node-3'), { limit: 1000 });
      const located = await told.world.directory.resolve(replicas);
      const orders = located.flatMap((one) =>
        one?.shard.table === 'orders' ? [numberOf(one.shard.leader.nodeId)] : [],
      );
      expect(orders).toEqual([3, 3, 3]);
    }));

  test('is refused when its rule has too few nodes for its copies', () =>
    waveStory(async (told) => {
      await label(told, 1, { labels: { disk: 'ssd' } });
      await setRules(told, rule({ tables: ['orders'], required: [SSD] }));
      const answer = await create(told);
      expect(answer).toMatchObject({
        ok: false,
        error: { code: 'NOT_ENOUGH_NODES', detail: { needed: 3, available: 1 } },
      });
      if (!answer.ok) expect(answer.error.message).toContain('placement rule of table orders');
    }));

  const judged = (told: WaveStory, node: number, pace: 'NORMAL' | 'SLOW', disk: 'OK' | 'FULL') =>
    told.world.records.observe({
      kind: 'put',
      entity: 'nodePace',
      value: { nodeId: nodeId(`node-${node}`), pace, against: 0, judgedAtMs: 0, disk, reason: null },
      when: [{ kind: 'absent' }],
    });

  test('keeps off a slow node while there are others, and takes it where there are none', () =>
    waveStory(async (told) => {
      await judged(told, 2, 'SLOW', 'OK');
      const answer = await create(told);
      if (!answer.ok) throw new Error(answer.error.message);
      await told.ended(answer.value.operation_id);
      expect(await placed(told)).toEqual(new Set([1, 3, 4, 5]));
      for (const node of [1, 3])
        await told.world.call('cordonNode', cordonNode, { params: { node_id: `node-${node}` } });
      const second = await told.world.call('createTable', createTable, { body: { table: 'late' } });
      if (!second.ok) throw new Error(second.error.message);
      expect(await told.ended(second.value.operation_id)).toMatchObject({ status: 'SUCCEEDED' });
    }));

  test('keeps off cordoned nodes and full disks', () =>
    waveStory(async (told) => {
      await told.world.call('cordonNode', cordonNode, { params: { node_id: 'node-4' } });
      await judged(told, 5, 'NORMAL', 'FULL');
      const answer = await create(told);
      if (!answer.ok) throw new Error(answer.error.message);
      expect(await told.ended(answer.value.operation_id)).toMatchObject({ status: 'SUCCEEDED' });
      expect(await placed(told)).toEqual(new Set([1, 2, 3]));
    }));
});
