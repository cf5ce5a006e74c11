import { nodeId } from '../../../shared/domain/ids.ts';
import { lowerBound } from '../../../shared/domain/rebalance/lower-bound.ts';
import { planLeaderBalance, planRebalance } from '../../../shared/domain/rebalance/plan.ts';
import { applied, leadersByNode, MIB, node, replicasByNode, shard, snapshotOf } from './cluster.ts';
import type { Cluster } from './cluster.ts';

const plan = (cluster: Cluster): ReturnType<typeof planRebalance> => planRebalance(snapshotOf(cluster));

/** `count` shards of three replicas on a1, b1, c1. */
const crowded = (count: number): Cluster['shards'] =>
  Array.from({ length: count }, (_, i) =>
    shard(
      `s${i}`,
      [
        ['a1', 'b1', 'c1'],
        ['b1', 'c1', 'a1'],
        ['c1', 'a1', 'b1'],
      ][i % 3]!,
    ),
  );
const zones = (perZone: number): Cluster['nodes'] =>
  ['a', 'b', 'c'].flatMap((zone) => Array.from({ length: perZone }, (_, i) => node(`${zone}${i + 1}`, zone)));

describe('a rebalance plan', () => {
  test('scale-out: new nodes get their share inside their zone, with as few moves as possible; nothing is left to do then', () => {
    const before: Cluster = { nodes: zones(2), shards: crowded(12) };
    expect(lowerBound(snapshotOf(before))).toBe(18);
    // A plan changes a shard once: 18 moves of 12 shards take two.
    const first = plan(before);
    const between = applied(before, first);
    const second = plan(between);
    const after = applied(between, second);
    expect(replicasByNode(after)).toEqual({ a1: 6, a2: 6, b1: 6, b2: 6, c1: 6, c2: 6 });
    expect(first.moves.length + second.moves.length).toBe(18);
    const third = plan(after);
    expect(third.moves).toEqual([]);
    expect(leadersByNode(applied(after, third))).toEqual({ a1: 2, a2: 2, b1: 2, b2: 2, c1: 2, c2: 2 });
  });

  test('a node of twice the weight gets twice as much', () => {
    const before: Cluster = { nodes: [node('a1', 'a'), node('a2', 'a', { weight: 2 })], shards: crowdedOn('a1', 30) };
    expect(replicasByNode(applied(before, plan(before)))).toEqual({ a1: 10, a2: 20 });
  });

  test('an even cluster within whole replicas is left alone', () => {
    const planned = plan({ nodes: zones(2), shards: crowdedEvenly(7) });
    expect(planned).toMatchObject({ moves: [], rejected: [] });
  });

  test('zones first: two replicas in one zone part, although numbers are even', () => {
    const before: Cluster = {
      nodes: [node('a1', 'a'), node('a2', 'a'), node('b1', 'b'), node('c1', 'c')],
      shards: [shard('s', ['a1', 'a2', 'b1'])],
    };
    const planned = plan(before);
    expect(planned.moves).toMatchObject([{ shardId: 's', fromNodeId: 'a2', toNodeId: 'c1', reason: 'ZONE_RULE' }]);
    expect(planned.summary).toMatchObject({ zoneViolationsBefore: 1, zoneViolationsAfter: 0 });
  });

  test('a draining node is emptied; leadership goes along; the last node of a zone may share another', () => {
    const before: Cluster = {
      nodes: [...zones(1), node('a2', 'a')].map((n) => (n.nodeId === 'c1' ? { ...n, state: 'DRAINING' } : n)),
      shards: [shard('s', ['c1', 'a1', 'b1'])],
    };
    const planned = plan(before);
    expect(planned.moves).toMatchObject([{ fromNodeId: 'c1', toNodeId: 'a2', reason: 'DRAIN', leaderTo: 'a2' }]);
  });

  test.each([
    ['NODE_CORDONED', { state: 'CORDONED' as const }],
    ['NODE_UNHEALTHY', { state: 'UNHEALTHY' as const }],
    ['NODE_MAINTENANCE', { state: 'MAINTENANCE' as const }],
    ['NODE_SLOW', { pace: 'SLOW' as const }],
    ['NO_CAPACITY', { disk: { capacityBytes: 1000 * MIB, usedBytes: 750 * MIB } }],
    ['LABEL_RULE', { labels: { disk: 'hdd' } }],
  ])('why a drain does not move: %s', (reason, fields) => {
    const planned = plan({
      nodes: [node('a1', 'a', { state: 'DECOMMISSIONING' }), node('a2', 'a', fields)],
      shards: [shard('s', ['a1'])],
      rule: { required: [], forbidden: [{ key: 'disk', values: ['hdd'] }], leaderPreference: null },
    });
    expect(planned.moves).toEqual([]);
    expect(planned.rejected[0]).toEqual({ goal: 'DRAIN', nodeId: 'a1', shardId: 's', reasons: [{ reason, count: 1 }] });
  });

  test('the zone rule stands above a drain while the zone has other nodes', () => {
    const nodes = [
      node('a1', 'a', { state: 'DRAINING' }),
      node('a2', 'a', { disk: { capacityBytes: MIB, usedBytes: 0 } }),
      node('b1', 'b'),
      node('b2', 'b'),
    ];
    const planned = plan({ nodes, shards: [shard('s', ['a1', 'b1'])] });
    expect(planned.moves).toEqual([]);
    expect(planned.rejected[0]!.reasons.map(({ reason }) => reason)).toEqual([
      'NO_CAPACITY',
      'ZONE_RULE',
      'HOLDS_REPLICA',
    ]);
  });

  test('busy shards stay, moves in flight count as done', () => {
    const [first, ...rest] = crowdedOn('a1', 4);
    const inFlight = { ...first!, inFlight: { from: nodeId('a1'), to: nodeId('a2') } };
    const cluster: Cluster = { nodes: [node('a1', 'a'), node('a2', 'a')], shards: [inFlight, ...rest] };
    expect(plan(cluster).moves).toHaveLength(1);
    const busy = { ...cluster, shards: rest.map((s) => ({ ...s, activity: 'BUSY' as const })) };
    expect(plan(busy).moves).toEqual([]);
    expect(plan(busy).rejected[0]).toMatchObject({ nodeId: 'a1', reasons: [{ reason: 'SHARD_BUSY', count: 3 }] });
  });

  test('a disk above the watermark is relieved, largest replicas first', () => {
    const planned = plan({
      nodes: [node('a1', 'a', { disk: { capacityBytes: 1000 * MIB, usedBytes: 900 * MIB } }), node('a2', 'a')],
      shards: [shard('small', ['a1'], { bytes: MIB }), shard('large', ['a1'], { bytes: 200 * MIB })],
    });
    expect(planned.moves[0]).toMatchObject({ shardId: 'large', reason: 'DISK_WATERMARK' });
  });

  test('one hot shard that no move would cool stays where it is', () => {
    const hot = shard('hot', ['a1'], { load: 10_000, leaderLoad: 0 });
    const planned = plan({ nodes: [node('a1', 'a'), node('a2', 'a')], shards: [hot] });
    expect(planned.moves).toEqual([]);
  });
});

describe('leaders alone', () => {
  test('leave slow nodes and nodes in maintenance, prefer the named zone, and spread', () => {
    const before: Cluster = {
      nodes: zones(1),
      shards: Array.from({ length: 6 }, (_, i) => shard(`s${i}`, ['a1', 'b1', 'c1'])),
    };
    const spread = planLeaderBalance(snapshotOf(before));
    expect(spread.moves).toEqual([]);
    expect(leadersByNode(applied(before, spread))).toEqual({ a1: 2, b1: 2, c1: 2 });

    const slow = {
      ...before,
      nodes: before.nodes.map((n) => (n.nodeId === 'a1' ? { ...n, pace: 'SLOW' as const } : n)),
    };
    expect(leadersByNode(applied(slow, planLeaderBalance(snapshotOf(slow))))).toEqual({ a1: 0, b1: 3, c1: 3 });

    const preferred = {
      ...before,
      rule: { required: [], forbidden: [], leaderPreference: { nodes: [], zones: ['c'] } },
    };
    const planned = planLeaderBalance(snapshotOf(preferred));
    expect(new Set(planned.leaderMoves.map(({ reason }) => reason))).toEqual(new Set(['PREFERENCE']));
    expect(leadersByNode(applied(preferred, planned))).toEqual({ a1: 0, b1: 0, c1: 6 });
  });

  test('a follower that is behind never leads (E2)', () => {
    const behind = shard('s', ['a1', 'b1'], {
      replicas: [
        { nodeId: nodeId('a1'), sync: 'IN_SYNC' },
        { nodeId: nodeId('b1'), sync: 'BEHIND' },
      ],
    });
    const planned = planLeaderBalance(
      snapshotOf({ nodes: [node('a1', 'a', { state: 'MAINTENANCE' }), node('b1', 'b')], shards: [behind] }),
    );
    expect(planned.leaderMoves).toEqual([]);
    const reasons = [{ reason: 'NOT_IN_SYNC', count: 1 }];
    expect(planned.rejected[0]).toEqual({ goal: 'LEADERS', nodeId: 'a1', shardId: 's', reasons });
  });
});

function crowdedOn(name: string, count: number): Cluster['shards'] {
  return Array.from({ length: count }, (_, i) => shard(`s${i}`, [name]));
}

/** Shards alternate between the first and the second node of each zone. */
function crowdedEvenly(count: number): Cluster['shards'] {
  return Array.from({ length: count }, (_, i) =>
    shard(
      `s${i}`,
      [
        ['a', 'b', 'c'],
        ['b', 'c', 'a'],
        ['c', 'a', 'b'],
      ][i % 3]!.map((zone) => `${zone}${(i % 2) + 1}`),
    ),
  );
}
