import type { Epoch, Generation, NodeEpoch, NodeId, ReplicaId, StoreUuid } from './ids.ts';
import { nextGeneration } from './ids.ts';
import { err, ok } from './result.ts';
import type { Result } from './result.ts';
import type { Replica, ShardDescriptor, SyncStatus } from './shard.ts';
import { inSyncReplicas, replicaById } from './shard.ts';

/** Changes of the IN_SYNC list (R1, R2, R3). Growth is applied at the leader first, shrinkage in the store first. */

/** A leader's proposal, made under the descriptor that it names. */
export interface StatusProposal {
  readonly proposer: { readonly nodeId: NodeId; readonly nodeEpoch: NodeEpoch };
  readonly epoch: Epoch;
  readonly generation: Generation;
  readonly replicaId: ReplicaId;
  /** Node epoch and directory of the replication session (R2). */
  readonly session: { readonly nodeEpoch: NodeEpoch; readonly storeUuid: StoreUuid };
  readonly syncStatus: SyncStatus;
}

export type ReplicationRefusal =
  | { readonly code: 'EPOCH_STALE' }
  | { readonly code: 'GENERATION_STALE' }
  | { readonly code: 'NOT_LEADER' }
  | { readonly code: 'REPLICA_UNKNOWN' }
  | { readonly code: 'NOT_ENOUGH_IN_SYNC'; readonly inSync: number; readonly minInSync: number }
  | { readonly code: 'LEADER_STAYS_IN_SYNC' };

/** Null: the descriptor says so already. */
export type StatusDecision = Result<ShardDescriptor | null, ReplicationRefusal>;

/**
 * Decides a leader's proposal. The proposer must be the leader at its node epoch, by the descriptor's own fields; the
 * proposal's epoch and generation must be the descriptor's (PROTOCOL, transitions "mark IN_SYNC", "mark LAGGING").
 */
export function decideStatusProposal(shard: ShardDescriptor, proposal: StatusProposal): StatusDecision {
  if (proposal.epoch !== shard.epoch) return err({ code: 'EPOCH_STALE' });
  if (shard.leader.nodeId !== proposal.proposer.nodeId || shard.leader.nodeEpoch !== proposal.proposer.nodeEpoch) {
    return err({ code: 'NOT_LEADER' });
  }
  const replica = replicaById(shard, proposal.replicaId);
  if (replica === undefined) return err({ code: 'REPLICA_UNKNOWN' });
  const settled =
    replica.syncStatus === proposal.syncStatus &&
    (proposal.syncStatus !== 'IN_SYNC' ||
      (replica.nodeEpoch === proposal.session.nodeEpoch && replica.storeUuid === proposal.session.storeUuid));
  if (settled) return ok(null);
  if (proposal.generation !== shard.generation) return err({ code: 'GENERATION_STALE' });
  if (proposal.syncStatus !== 'IN_SYNC') return decideShrink(shard, replica, proposal.syncStatus);
  // R2: the entry carries the node epoch of the session in which the leader began to require the replica.
  return ok(
    withReplica(shard, {
      ...replica,
      syncStatus: 'IN_SYNC',
      nodeEpoch: proposal.session.nodeEpoch,
      storeUuid: proposal.session.storeUuid,
    }),
  );
}

/** Takes a replica out of the IN_SYNC list, never below `minInSync`, never the leader (R1, R3). */
export function decideShrink(
  shard: ShardDescriptor,
  replica: Replica,
  syncStatus: Exclude<SyncStatus, 'IN_SYNC'>,
): StatusDecision {
  if (replica.syncStatus === syncStatus) return ok(null);
  if (replica.replicaId === shard.leader.replicaId) return err({ code: 'LEADER_STAYS_IN_SYNC' });
  const inSync = inSyncReplicas(shard).length;
  if (replica.syncStatus === 'IN_SYNC' && inSync - 1 < shard.minInSync) {
    return err({ code: 'NOT_ENOUGH_IN_SYNC', inSync, minInSync: shard.minInSync });
  }
  return ok(withReplica(shard, { ...replica, syncStatus }));
}

function withReplica(shard: ShardDescriptor, changed: Replica): ShardDescriptor {
  return {
    ...shard,
    generation: nextGeneration(shard.generation),
    replicas: shard.replicas.map((replica) => (replica.replicaId === changed.replicaId ? changed : replica)),
  };
}

/**
 * True if an empty copy may be created for a listed replica that its node does not hold. Never for an entry that could be
 * elected: an entry that is IN_SYNC under the node's session epoch claims to hold every acknowledged write (R2, E1).
 */
export function mayRecreateEmpty(
  replica: Replica,
  session: { readonly nodeEpoch: NodeEpoch; readonly storeUuid: StoreUuid },
): boolean {
  return replica.syncStatus !== 'IN_SYNC' || replica.nodeEpoch < session.nodeEpoch;
}
