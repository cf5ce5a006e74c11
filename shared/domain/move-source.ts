import type { NodeId } from './ids.ts';
import type { Replica, ShardDescriptor } from './shard.ts';

/** Which replica leaves when a move names a target only. */

/** What is known of the node of a replica. */
export interface SourceNode {
  readonly nodeId: NodeId;
  /** Null: the node has no record. */
  readonly zone: string | null;
  /** Alive, and neither cordoned nor leaving. */
  readonly wanted: boolean;
  readonly alive: boolean;
  /** Bytes of all shards on it; null: unknown. */
  readonly bytes: number | null;
}

/**
 * The replica whose loss helps most, in this order: one in the target's own zone (else two copies would share it, I-7), one on a dead
 * node, one on a node that is being emptied, a follower rather than the leader, one on the node that holds most; last by node id.
 */
export function chooseSource(
  shard: ShardDescriptor,
  targetZone: string,
  nodes: ReadonlyMap<NodeId, SourceNode>,
): Replica | null {
  const rank = (replica: Replica): readonly number[] => {
    const node = nodes.get(replica.nodeId);
    return [
      node?.zone === targetZone ? 0 : 1,
      node?.alive === true ? 1 : 0,
      node?.wanted === true ? 1 : 0,
      replica.replicaId === shard.leader.replicaId ? 1 : 0,
      -(node?.bytes ?? 0),
    ];
  };
  const ranked = [...shard.replicas].sort((a, b) => compareRanks(rank(a), rank(b)) || (a.nodeId < b.nodeId ? -1 : 1));
  return ranked[0] ?? null;
}

/** Ranks by their first difference; negative: `left` comes first. */
export function compareRanks(left: readonly number[], right: readonly number[]): number {
  for (const [index, value] of left.entries()) {
    const difference = value - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
