import { tableName } from '../../../shared/domain/ids.ts';
import { DEFAULT_PLAN_OPTIONS, REPLICAS, WIDTH } from '../../../shared/domain/rebalance/options.ts';
import { planRebalance } from '../../../shared/domain/rebalance/plan.ts';
import { NO_RULE } from '../../../shared/domain/rebalance/rules.ts';
import type { PlacementRule } from '../../../shared/domain/rebalance/rules.ts';
import { computeShares } from '../../../shared/domain/rebalance/shares.ts';
import { SnapshotBuilder } from '../../../shared/domain/rebalance/snapshot.ts';
import type { PlanSnapshot, SnapshotNode, SnapshotShard } from '../../../shared/domain/rebalance/snapshot.ts';
import { node, shard } from './cluster.ts';

/** Shares of nodes where placement rules keep tables from some of them: two tables, one of which lies on SSDs alone. */

const FAST = tableName('fast');
const REST = tableName('rest');
const only = (disk: string): PlacementRule => ({ ...NO_RULE, required: [{ key: 'disk', values: [disk] }] });
const ssd = { labels: { disk: 'ssd' } };

function snapshot(nodes: readonly SnapshotNode[], shards: readonly SnapshotShard[], rest = NO_RULE): PlanSnapshot {
  const builder = new SnapshotBuilder();
  for (const one of nodes) builder.addNode(one);
  builder.setRule(FAST, only('ssd'));
  builder.setRule(REST, rest);
  for (const one of shards) builder.addShard(one);
  return builder.build();
}

const on = (table: typeof FAST, count: number, holder: string): SnapshotShard[] =>
  Array.from({ length: count }, (_, index) => shard(`${table}-${index}`, [holder], { table }));

/** What each node should hold, in replicas, to two digits. */
const replicas = (of: PlanSnapshot): number[] => {
  const { share } = computeShares(of, DEFAULT_PLAN_OPTIONS);
  return of.nodes.map((_, index) => Math.round((share[index * WIDTH + REPLICAS] as number) * 100) / 100);
};

const four = [node('n1', 'a', ssd), node('n2', 'a', ssd), node('n3', 'a'), node('n4', 'a')];

test.each<[string, SnapshotShard[], number[]]>([
  ['few shards under the rule: the others even it out', [...on(FAST, 4, 'n1'), ...on(REST, 12, 'n3')], [4, 4, 4, 4]],
  ['many: the others get all the rest', [...on(FAST, 20, 'n1'), ...on(REST, 6, 'n3')], [10, 10, 3, 3]],
  ['nothing but those: the others get none', on(FAST, 6, 'n1'), [3, 3, 0, 0]],
  ['no shard under the rule: as without it', on(REST, 8, 'n1'), [2, 2, 2, 2]],
])('%s', (_what, shards, wanted) => {
  expect(replicas(snapshot(four, shards))).toEqual(wanted);
});

test('rules that part the nodes part the shares', () => {
  const nodes = [
    node('n1', 'a', ssd),
    node('n2', 'a', { labels: { disk: 'hdd' } }),
    node('n3', 'a', { labels: { disk: 'hdd' } }),
  ];
  const shards = [...on(FAST, 9, 'n1'), ...on(REST, 4, 'n2')];
  expect(replicas(snapshot(nodes, shards, only('hdd')))).toEqual([9, 2, 2]);
});

test('a weight counts among those that a rule allows', () => {
  const nodes = [node('n1', 'a', { ...ssd, weight: 3 }), node('n2', 'a', ssd), node('n3', 'a')];
  expect(replicas(snapshot(nodes, [...on(FAST, 8, 'n1'), ...on(REST, 2, 'n3')]))).toEqual([6, 2, 2]);
});

test('a zone without a node that the rule allows gets nothing of it', () => {
  const nodes = [node('n1', 'a', ssd), node('n2', 'b'), node('n3', 'c')];
  expect(replicas(snapshot(nodes, [...on(FAST, 6, 'n1'), ...on(REST, 6, 'n2')]))).toEqual([6, 3, 3]);
});

test('a cordoned node keeps what it holds; what lies where the rule forbids it is shared out to the others', () => {
  const nodes = [node('n1', 'a', ssd), node('n2', 'a', ssd), node('n3', 'a', { state: 'CORDONED' }), node('n4', 'a')];
  const shards = [...on(FAST, 4, 'n4'), ...on(REST, 3, 'n3')];
  expect(replicas(snapshot(nodes, shards))).toEqual([2, 2, 3, 0]);
});

test('a plan leaves a cluster alone that is as even as its rules let it be', () => {
  const shards = [
    ...Array.from({ length: 20 }, (_, index) => shard(`f${index}`, [index % 2 === 0 ? 'n1' : 'n2'], { table: FAST })),
    ...Array.from({ length: 6 }, (_, index) => shard(`r${index}`, [index % 2 === 0 ? 'n3' : 'n4'], { table: REST })),
  ];
  expect(planRebalance(snapshot(four, shards)).moves).toEqual([]);
  // And brings it there, as near as the tolerance asks: what may lie anywhere leaves the nodes that the rule fills.
  const uneven = [...on(FAST, 20, 'n1'), ...on(REST, 6, 'n2')];
  const moves = planRebalance(snapshot(four, uneven)).moves;
  expect(
    moves.filter(({ shardId }) => shardId.startsWith('rest')).every(({ toNodeId }) => ['n3', 'n4'].includes(toNodeId)),
  ).toBe(true);
  expect(moves.filter(({ shardId }) => shardId.startsWith('rest')).length).toBeGreaterThanOrEqual(5);
  expect(moves.filter(({ shardId }) => shardId.startsWith('fast')).length).toBeGreaterThanOrEqual(9);
});
