import type { Epoch, Generation, ReplicaId } from './ids.ts';
import { nextGeneration } from './ids.ts';
import type { LivenessView, RejectionCode } from './election.ts';
import { rejectionOf, withLeader } from './election.ts';
import { err, ok } from './result.ts';
import type { Result } from './result.ts';
import type { LogEnd, Replica, ShardDescriptor } from './shard.ts';
import { replicaById } from './shard.ts';

/** Transfer of leadership without a fence: intent, step-down receipt, new leader (E2). */

export type TransferRefusal =
  | { readonly code: 'REPLICA_UNKNOWN' }
  | { readonly code: 'REPLICA_NOT_IN_SYNC'; readonly reason: RejectionCode }
  /** Another transfer is under way; its target is named. */
  | { readonly code: 'TRANSFER_PENDING'; readonly targetReplicaId: ReplicaId };

/** What to do with a request to make `targetReplicaId` the leader. */
export type TransferStep =
  | { readonly kind: 'ALREADY_LEADER' }
  /** The intent stands already: go on waiting for the receipt. */
  | { readonly kind: 'INTENT_STANDS' }
  | { readonly kind: 'WRITE_INTENT'; readonly shard: ShardDescriptor };

export function decideTransfer(
  shard: ShardDescriptor,
  targetReplicaId: ReplicaId,
  view: LivenessView,
): Result<TransferStep, TransferRefusal> {
  const target = replicaById(shard, targetReplicaId);
  if (target === undefined) return err({ code: 'REPLICA_UNKNOWN' });
  if (shard.intent !== null) {
    if (shard.intent.targetReplicaId === targetReplicaId) return ok({ kind: 'INTENT_STANDS' });
    return err({ code: 'TRANSFER_PENDING', targetReplicaId: shard.intent.targetReplicaId });
  }
  const reason = rejectionOf(target, view);
  if (reason !== null) return err({ code: 'REPLICA_NOT_IN_SYNC', reason });
  if (shard.leader.replicaId === targetReplicaId) return ok({ kind: 'ALREADY_LEADER' });
  const generation = nextGeneration(shard.generation);
  return ok({
    kind: 'WRITE_INTENT',
    shard: { ...shard, generation, intent: { kind: 'TRANSFER', targetReplicaId, sinceGeneration: generation } },
  });
}

/** A persisted promise of the old leader not to lead again at any epoch up to `epoch` (E2). */
export interface Receipt {
  readonly replicaId: ReplicaId;
  readonly epoch: Epoch;
  readonly generation: Generation;
  /**
   * With a seal (S2): where the leader's log ends. Every member of its ack set holds the log up to there, all of it is committed, and
   * nothing follows at this epoch.
   */
  readonly sealed?: LogEnd;
}

export type CompletionRefusal =
  | { readonly code: 'NO_INTENT' }
  /** The receipt is of another leader, epoch or of a generation before the intent. */
  | { readonly code: 'RECEIPT_MISMATCH' }
  | { readonly code: 'NO_CANDIDATE' };

/**
 * The new leader after the receipt: the target, or if it can't lead any more, any IN_SYNC replica, the old leader included
 * (an abort is a transfer at epoch + 1, E2). The receipt's epoch must be the descriptor's, its generation at least the intent's.
 */
export function completeTransfer(
  shard: ShardDescriptor,
  receipt: Receipt,
  view: LivenessView,
  nowMs: number,
): Result<ShardDescriptor, CompletionRefusal> {
  const { intent } = shard;
  if (intent === null) return err({ code: 'NO_INTENT' });
  if (
    receipt.replicaId !== shard.leader.replicaId ||
    receipt.epoch !== shard.epoch ||
    receipt.generation < intent.sinceGeneration
  ) {
    return err({ code: 'RECEIPT_MISMATCH' });
  }
  const able = shard.replicas.filter((replica) => rejectionOf(replica, view) === null);
  const target =
    able.find((replica) => replica.replicaId === intent.targetReplicaId) ??
    able.find((replica) => replica.replicaId !== shard.leader.replicaId) ??
    able.find((replica) => replica.replicaId === shard.leader.replicaId);
  if (target === undefined) return err({ code: 'NO_CANDIDATE' });
  return ok(withLeader(shard, target satisfies Replica, shard.replicas, nowMs));
}
