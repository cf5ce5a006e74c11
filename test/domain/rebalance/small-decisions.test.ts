import { nodeId } from '../../../shared/domain/ids.ts';
import { checkDrain } from '../../../shared/domain/rebalance/drain-check.ts';
import { targetForReplica } from '../../../shared/domain/rebalance/replica-target.ts';
import { NO_RULE } from '../../../shared/domain/rebalance/rules.ts';
import { MIB, node, shard, snapshotOf } from './cluster.ts';

describe('drain check', () => {
  const shards = [shard('s', ['a1', 'b1']), shard('busy', ['a1', 'b1'], { activity: 'BUSY' })];

  test('fits elsewhere in the zone; what is busy waits and is no obstacle; nothing changes', () => {
    const snapshot = snapshotOf({ nodes: [node('a1', 'a'), node('a2', 'a'), node('b1', 'b')], shards });
    expect(checkDrain(snapshot, [nodeId('a1')])).toEqual({
      fits: true,
      replicas: 2,
      bytes: 200 * MIB,
      waiting: 1,
      refused: 0,
      obstacles: [],
    });
    expect(snapshot.nodes[0]).toMatchObject({ state: 'AVAILABLE' });
  });

  test('says why it does not fit', () => {
    const snapshot = snapshotOf({
      nodes: [node('a1', 'a'), node('a2', 'a', { state: 'CORDONED' }), node('b1', 'b')],
      shards,
    });
    expect(checkDrain(snapshot, [nodeId('a1')])).toMatchObject({
      fits: false,
      refused: 1,
      obstacles: [{ shardId: 's', reasons: [{ reason: 'NODE_CORDONED' }, { reason: 'HOLDS_REPLICA' }] }],
    });
  });

  test('two nodes drained together do not count on each other', () => {
    const snapshot = snapshotOf({ nodes: [node('a1', 'a'), node('a2', 'a')], shards: [shard('s', ['a1'])] });
    expect(checkDrain(snapshot, [nodeId('a1')]).fits).toBe(true);
    expect(checkDrain(snapshot, [nodeId('a1'), nodeId('a2')]).fits).toBe(false);
  });
});

describe('target of one replica', () => {
  const wanted = { bytes: 100 * MIB, rule: NO_RULE, keptOn: [nodeId('a1'), nodeId('b1')], replaces: null };
  const at = (
    name: string,
    zone: string,
    replicas: number,
    fields = {},
  ): Parameters<typeof targetForReplica>[1][number] => ({
    ...node(name, zone, fields),
    replicas,
  });

  test('a zone without the shard first, then the node that holds least for its weight', () => {
    const choice = targetForReplica(wanted, [
      at('a1', 'a', 5),
      at('a2', 'a', 0),
      at('b1', 'b', 5),
      at('c1', 'c', 6),
      at('c2', 'c', 8, { weight: 2 }),
      at('c3', 'c', 1, { disk: { capacityBytes: 100 * MIB, usedBytes: 0 } }),
    ]);
    expect(choice.nodeId).toBe('c2');
    expect(choice.rejected).toEqual([
      { nodeId: 'a1', reason: 'HOLDS_REPLICA' },
      { nodeId: 'a2', reason: 'ZONE_RULE' },
      { nodeId: 'b1', reason: 'HOLDS_REPLICA' },
      { nodeId: 'c3', reason: 'NO_CAPACITY' },
    ]);
  });

  test('without a third zone an even zone may share; nobody at all is an answer with reasons', () => {
    expect(targetForReplica(wanted, [at('a1', 'a', 5), at('b1', 'b', 5), at('b2', 'b', 1)]).nodeId).toBe('b2');
    const nobody = targetForReplica(wanted, [
      at('a1', 'a', 5),
      at('b1', 'b', 5),
      at('c1', 'c', 1, { state: 'DRAINING' }),
    ]);
    expect(nobody.nodeId).toBeNull();
    expect(nobody.rejectedByReason[0]).toEqual({ reason: 'NODE_DRAINING', count: 1 });
  });
});
