import { generation, nodeId, shardId, tableName } from '../../../shared/domain/ids.ts';
import type { RebalancePlan } from '../../../shared/domain/rebalance/plan.ts';
import type { PlacementRule } from '../../../shared/domain/rebalance/rules.ts';
import { SnapshotBuilder } from '../../../shared/domain/rebalance/snapshot.ts';
import type { PlanSnapshot, SnapshotNode, SnapshotShard } from '../../../shared/domain/rebalance/snapshot.ts';

/** A cluster in words: nodes and shards as a test names them. */
export interface Cluster {
  readonly nodes: readonly SnapshotNode[];
  readonly shards: readonly SnapshotShard[];
  readonly rule?: PlacementRule;
}

export const TABLE = tableName('t');
export const MIB = 1024 * 1024;

export const node = (name: string, zone: string, fields: Partial<SnapshotNode> = {}): SnapshotNode => ({
  nodeId: nodeId(name),
  zone,
  state: 'AVAILABLE',
  ...fields,
});

/** A shard of `replicas`, the first of which leads. */
export const shard = (
  name: string,
  replicas: readonly string[],
  fields: Partial<SnapshotShard> = {},
): SnapshotShard => ({
  shardId: shardId(name),
  table: TABLE,
  generation: generation(1),
  bytes: 100 * MIB,
  load: 10,
  leaderLoad: 10,
  replicas: replicas.map((name) => ({ nodeId: nodeId(name), sync: 'IN_SYNC' })),
  leader: nodeId(replicas[0] ?? ''),
  activity: 'IDLE',
  ...fields,
});

export function snapshotOf(cluster: Cluster): PlanSnapshot {
  const builder = new SnapshotBuilder();
  for (const node of cluster.nodes) builder.addNode(node);
  if (cluster.rule !== undefined) builder.setRule(TABLE, cluster.rule);
  for (const shard of cluster.shards) builder.addShard(shard);
  return builder.build();
}

/** The cluster once every move of the plan is done; generations rise. */
export function applied(cluster: Cluster, plan: RebalancePlan): Cluster {
  const shards = new Map(cluster.shards.map((shard) => [shard.shardId, shard]));
  for (const move of plan.moves) {
    const shard = shards.get(move.shardId)!;
    if (shard.generation !== move.generation)
      throw new Error(`${move.shardId} is planned twice or from a stale generation`);
    shards.set(move.shardId, {
      ...shard,
      generation: generation(shard.generation + 1),
      replicas: shard.replicas.map((replica) =>
        replica.nodeId === move.fromNodeId ? { nodeId: move.toNodeId, sync: 'IN_SYNC' } : replica,
      ),
      leader: move.leaderTo ?? shard.leader,
    });
  }
  for (const move of plan.leaderMoves) {
    const shard = shards.get(move.shardId)!;
    if (shard.generation !== move.generation)
      throw new Error(`${move.shardId} is planned twice or from a stale generation`);
    if (shard.leader !== move.fromNodeId) throw new Error(`${move.fromNodeId} does not lead ${move.shardId}`);
    shards.set(move.shardId, { ...shard, generation: generation(shard.generation + 1), leader: move.toNodeId });
  }
  return { ...cluster, shards: [...shards.values()] };
}

/** Replicas by node, for a table in an expectation. */
export function replicasByNode(cluster: Cluster): Record<string, number> {
  const counts: Record<string, number> = Object.fromEntries(cluster.nodes.map((node) => [node.nodeId, 0]));
  for (const shard of cluster.shards)
    for (const { nodeId } of shard.replicas) counts[nodeId] = (counts[nodeId] ?? 0) + 1;
  return counts;
}

export function leadersByNode(cluster: Cluster): Record<string, number> {
  const counts: Record<string, number> = Object.fromEntries(cluster.nodes.map((node) => [node.nodeId, 0]));
  for (const { leader } of cluster.shards) if (leader !== null) counts[leader] = (counts[leader] ?? 0) + 1;
  return counts;
}
