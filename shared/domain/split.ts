import type { EncodedKey, Epoch, Generation, NodeEpoch, NodeId, OperationId, ReplicaId, ShardId } from './ids.ts';
import { nextEpoch, nextGeneration } from './ids.ts';
import { compareKeys } from './keys.ts';
import { err, invariant, ok } from './result.ts';
import type { Result } from './result.ts';
import { inSyncReplicas } from './shard.ts';
import type { Replica, ShardDescriptor, SplittingState } from './shard.ts';

/** Split of a shard (S1): intent in the descriptor, key by the leader, fork prepared on every IN_SYNC replica, one commit. */

/** A leader's choice of where its SPLITTING shard is divided. Null: no key would leave rows on both sides. */
export interface SplitKeyProposal {
  readonly proposer: { readonly nodeId: NodeId; readonly nodeEpoch: NodeEpoch };
  readonly epoch: Epoch;
  readonly generation: Generation;
  readonly operationId: OperationId;
  readonly splitKey: EncodedKey | null;
}

export type SplitKeyRefusal =
  | { readonly code: 'EPOCH_STALE' }
  | { readonly code: 'GENERATION_STALE' }
  | { readonly code: 'NOT_LEADER' }
  /** The shard is not SPLITTING for the operation, or its key is chosen already. */
  | { readonly code: 'NO_SPLIT_ASKED' }
  | { readonly code: 'KEY_OUT_OF_RANGE' };

/** True if `key` divides the shard: above its start and below its end. */
export const divides = (shard: ShardDescriptor, key: EncodedKey): boolean =>
  compareKeys(key, shard.startKey) > 0 && (shard.endKey === null || compareKeys(key, shard.endKey) < 0);

/**
 * Takes the leader's key into the intent. With a null key the shard goes back to ACTIVE: the operation finds that it lost the
 * shard, and ends. Conditions as for every proposal of a leader: its epoch, node epoch and generation are the descriptor's.
 */
export function decideSplitKey(
  shard: ShardDescriptor,
  proposal: SplitKeyProposal,
): Result<ShardDescriptor | null, SplitKeyRefusal> {
  if (proposal.epoch !== shard.epoch) return err({ code: 'EPOCH_STALE' });
  if (shard.leader.nodeId !== proposal.proposer.nodeId || shard.leader.nodeEpoch !== proposal.proposer.nodeEpoch)
    return err({ code: 'NOT_LEADER' });
  const { state } = shard;
  if (state.kind !== 'SPLITTING' || state.operationId !== proposal.operationId) return err({ code: 'NO_SPLIT_ASKED' });
  if (state.splitKey !== null) return state.splitKey === proposal.splitKey ? ok(null) : err({ code: 'NO_SPLIT_ASKED' });
  if (proposal.generation !== shard.generation) return err({ code: 'GENERATION_STALE' });
  const generation = nextGeneration(shard.generation);
  if (proposal.splitKey === null) return ok({ ...shard, generation, state: { kind: 'ACTIVE' } });
  if (!divides(shard, proposal.splitKey)) return err({ code: 'KEY_OUT_OF_RANGE' });
  return ok({ ...shard, generation, state: { ...state, splitKey: proposal.splitKey } });
}

/** The intent of a split as the shard's state; ids of the child and of its copies are new (R4). */
export function splittingState(
  shard: ShardDescriptor,
  split: { readonly operationId: OperationId; readonly splitKey: EncodedKey | null; readonly childShardId: ShardId },
  newReplicaId: () => ReplicaId,
): SplittingState {
  return {
    kind: 'SPLITTING',
    operationId: split.operationId,
    splitKey: split.splitKey,
    child: {
      shardId: split.childShardId,
      replicas: shard.replicas.map((replica) => ({ parentReplicaId: replica.replicaId, replicaId: newReplicaId() })),
    },
  };
}

/** A copy that holds the intent durably and can fork at a moment's notice, under the node epoch of the registration that said so. */
export interface PreparedReplica {
  readonly replicaId: ReplicaId;
  readonly nodeEpoch: NodeEpoch;
}

export type SplitCommitRefusal =
  /** The operation does not own the shard (any more). */
  | { readonly code: 'NOT_OWNER' }
  | { readonly code: 'SPLIT_KEY_MISSING' }
  /** A transfer of the leadership is under way: the commit waits for it. */
  | { readonly code: 'TRANSFER_PENDING' }
  /** These IN_SYNC copies have not prepared under their present entry. */
  | { readonly code: 'NOT_PREPARED'; readonly replicas: readonly Replica[] };

export interface SplitParts {
  readonly parent: ShardDescriptor;
  readonly child: ShardDescriptor;
}

/**
 * Both parts at the commit (S1): the parent keeps id and start key and ends at the split key; the child is led by the parent's leader
 * under the same node epoch, at the parent's epoch + 1, with its entries copied. Every IN_SYNC copy must have prepared, so that no
 * entry of the child claims what its node can't fork (I-6), and the child has as many copies in sync as the parent had (I-7).
 */
export function commitSplit(
  shard: ShardDescriptor,
  commit: {
    readonly operationId: OperationId;
    readonly prepared: readonly PreparedReplica[];
    readonly nowMs: number;
  },
): Result<SplitParts, SplitCommitRefusal> {
  const { state } = shard;
  if (state.kind !== 'SPLITTING' || state.operationId !== commit.operationId) return err({ code: 'NOT_OWNER' });
  const { splitKey } = state;
  if (splitKey === null) return err({ code: 'SPLIT_KEY_MISSING' });
  invariant(divides(shard, splitKey), `the split key of ${shard.shardId} does not divide it (I-1)`);
  if (shard.intent !== null) return err({ code: 'TRANSFER_PENDING' });
  const isPrepared = (replica: Replica): boolean =>
    commit.prepared.some((one) => one.replicaId === replica.replicaId && one.nodeEpoch === replica.nodeEpoch);
  const unprepared = inSyncReplicas(shard).filter((replica) => !isPrepared(replica));
  if (unprepared.length > 0) return err({ code: 'NOT_PREPARED', replicas: unprepared });

  const childIds = new Map(state.child.replicas.map((copy) => [copy.parentReplicaId, copy.replicaId]));
  const childReplicas = shard.replicas.map((replica) => {
    const copy = childIds.get(replica.replicaId);
    // Only the owner changes the list of replicas (I-9), and the intent names a copy of each.
    invariant(copy !== undefined, `the split of ${shard.shardId} names no copy of ${replica.replicaId}`);
    return { ...replica, replicaId: copy };
  });
  const leader = childReplicas.find((replica) => replica.nodeId === shard.leader.nodeId);
  invariant(leader !== undefined, `the leader of ${shard.shardId} is not listed`);
  const generation = nextGeneration(shard.generation);
  const bounds = { boundsSinceMs: commit.nowMs };
  // The right part is forked from copies that were joined long ago: what was merged is told of the left part alone.
  const { mergedFrom: _joined, ...own } = shard;
  return ok({
    parent: { ...shard, ...bounds, generation, endKey: splitKey, state: { kind: 'ACTIVE' } },
    child: {
      ...own,
      ...bounds,
      shardId: state.child.shardId,
      startKey: splitKey,
      epoch: nextEpoch(shard.epoch),
      generation,
      leader: { replicaId: leader.replicaId, nodeId: leader.nodeId, nodeEpoch: shard.leader.nodeEpoch },
      replicas: childReplicas,
      state: { kind: 'ACTIVE' },
      createdAtMs: commit.nowMs,
      leaderSinceMs: commit.nowMs,
    },
  });
}
