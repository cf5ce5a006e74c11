import type { NodeId } from '../ids.ts';
import { compareRanks } from '../move-source.ts';
import type { Replica, ShardDescriptor } from '../shard.ts';

/** Which replicas leave when a shard has more than its replication factor asks for. */

/** What is known of the node of a replica. */
export interface HolderView {
  readonly zone: string | null;
  readonly alive: boolean;
  /** Neither cordoned nor leaving. */
  readonly wanted: boolean;
  /** Replicas on the node. */
  readonly replicas: number;
}

/**
 * The `count` replicas whose loss costs least, never the leader's, in this order: on a dead node, not in sync, on a node that is being
 * emptied, in a zone that holds more of the shard than another, on the fuller node; last by node id. Chosen one after the other, since each loss
 * changes what the zones hold.
 */
export function chooseRemovals(
  shard: ShardDescriptor,
  count: number,
  holders: ReadonlyMap<NodeId, HolderView>,
): readonly Replica[] {
  const chosen: Replica[] = [];
  while (chosen.length < count) {
    const left = shard.replicas.filter((replica) => !chosen.includes(replica));
    const zoneOf = (replica: Replica): string => holders.get(replica.nodeId)?.zone ?? '';
    const inZone = (zone: string): number => left.filter((replica) => zoneOf(replica) === zone).length;
    const rank = (replica: Replica): readonly number[] => {
      const holder = holders.get(replica.nodeId);
      return [
        holder?.alive === true ? 1 : 0,
        replica.syncStatus === 'IN_SYNC' ? 1 : 0,
        holder?.wanted === true ? 1 : 0,
        -inZone(zoneOf(replica)),
        -(holder?.replicas ?? 0),
      ];
    };
    const [next] = left
      .filter((replica) => replica.replicaId !== shard.leader.replicaId)
      .sort((a, b) => compareRanks(rank(a), rank(b)) || (a.nodeId < b.nodeId ? -1 : 1));
    if (next === undefined) return chosen;
    chosen.push(next);
  }
  return chosen;
}
