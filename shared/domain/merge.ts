import type { OperationId } from './ids.ts';
import { epoch, generation, nextGeneration } from './ids.ts';
import type { Receipt } from './transfer.ts';
import { err, ok } from './result.ts';
import type { Result } from './result.ts';
import { inSyncReplicas, replicaOn } from './shard.ts';
import type { Replica, SealReceipt, ShardDescriptor } from './shard.ts';

/** Merge of two neighbours (S2): replicas on the same nodes, both led by one node; the left one absorbs the right one. */

export type MergeRefusal =
  /** The operation does not own both shards as the sides of one merge. */
  | { readonly code: 'NOT_OWNER' }
  | { readonly code: 'NOT_NEIGHBOURS' }
  | { readonly code: 'TRANSFER_PENDING' }
  | { readonly code: 'REPLICAS_APART' }
  | { readonly code: 'LEADERS_APART' }
  /** A receipt is missing, or is of another leader, epoch, or of a generation before the intent. */
  | { readonly code: 'RECEIPT_MISMATCH' }
  /** The leader stepped down without sealing its log: nobody knows where the part ends. */
  | { readonly code: 'NOT_SEALED' }
  | { readonly code: 'NOT_ENOUGH_IN_SYNC'; readonly inSync: number; readonly minInSync: number };

/** Why two shards are not ready to be merged as they stand; null if they are. States and receipts are not looked at. */
export function mergeObstacle(left: ShardDescriptor, right: ShardDescriptor): MergeRefusal | null {
  if (left.tableId !== right.tableId || left.endKey === null || left.endKey !== right.startKey)
    return { code: 'NOT_NEIGHBOURS' };
  if (left.intent !== null || right.intent !== null) return { code: 'TRANSFER_PENDING' };
  const nodesOf = (shard: ShardDescriptor): string =>
    shard.replicas
      .map((replica) => replica.nodeId)
      .toSorted()
      .join(' ');
  if (nodesOf(left) !== nodesOf(right)) return { code: 'REPLICAS_APART' };
  if (left.leader.nodeId !== right.leader.nodeId || left.leader.nodeEpoch !== right.leader.nodeEpoch)
    return { code: 'LEADERS_APART' };
  return null;
}

/**
 * The merged shard (S2): id, start key and copies of the left one, end key of the right one; IN_SYNC is the intersection under equal
 * node epochs and at least `minInSync`; epoch and generation exceed both parents' (I-2, I-3). Both leaders' receipts must stand:
 * each bars its leader up to the receipt's epoch, so that nothing is acknowledged in either part after the merge (E2).
 */
export function commitMerge(
  left: ShardDescriptor,
  right: ShardDescriptor,
  commit: {
    readonly operationId: OperationId;
    readonly receipts: { readonly left: Receipt; readonly right: Receipt };
    /** Generations of the descriptors that first carried the intents. */
    readonly sinceGeneration: { readonly left: number; readonly right: number };
    readonly nowMs: number;
  },
): Result<ShardDescriptor, MergeRefusal> {
  const isSide = (shard: ShardDescriptor, side: 'LEFT' | 'RIGHT', other: ShardDescriptor): boolean =>
    shard.state.kind === 'MERGING' &&
    shard.state.operationId === commit.operationId &&
    shard.state.side === side &&
    shard.state.otherShardId === other.shardId;
  if (!isSide(left, 'LEFT', right) || !isSide(right, 'RIGHT', left)) return err({ code: 'NOT_OWNER' });
  const obstacle = mergeObstacle(left, right);
  if (obstacle !== null) return err(obstacle);
  const { receipts, sinceGeneration } = commit;
  if (
    !receiptStands(left, receipts.left, sinceGeneration.left) ||
    !receiptStands(right, receipts.right, sinceGeneration.right)
  )
    return err({ code: 'RECEIPT_MISMATCH' });
  const sealed = { left: receipts.left.sealed, right: receipts.right.sealed };
  if (sealed.left === undefined || sealed.right === undefined) return err({ code: 'NOT_SEALED' });
  const replicas = left.replicas.map((replica) => joined(replica, right));
  const merged: ShardDescriptor = {
    ...left,
    endKey: right.endKey,
    epoch: epoch(Math.max(left.epoch, right.epoch) + 1),
    generation: generation(Math.max(left.generation, right.generation) + 1),
    minInSync: Math.max(left.minInSync, right.minInSync),
    replicas,
    state: { kind: 'ACTIVE' },
    dataLoss: left.dataLoss || right.dataLoss,
    leaderSinceMs: commit.nowMs,
    boundsSinceMs: commit.nowMs,
    mergedFrom: {
      rightShardId: right.shardId,
      borderKey: right.startKey,
      endKey: right.endKey,
      sealed: { left: sealed.left, right: sealed.right },
    },
  };
  const inSync = inSyncReplicas(merged).length;
  if (inSync < merged.minInSync) return err({ code: 'NOT_ENOUGH_IN_SYNC', inSync, minInSync: merged.minInSync });
  return ok(merged);
}

/**
 * The side with the seal that its leader reported; null: it is known. The receipt must be the present leader's, for the present epoch,
 * given under the descriptor as it is (E2); otherwise the leader is asked again.
 */
export function noteSeal(
  shard: ShardDescriptor,
  seal: SealReceipt,
): Result<ShardDescriptor | null, { readonly code: 'NO_MERGE' | 'RECEIPT_MISMATCH' }> {
  const { state } = shard;
  if (state.kind !== 'MERGING') return err({ code: 'NO_MERGE' });
  if (knownSeal(shard) !== null) return ok(null);
  if (!receiptStands(shard, seal, shard.generation)) return err({ code: 'RECEIPT_MISMATCH' });
  return ok({ ...shard, state: { ...state, seal }, generation: nextGeneration(shard.generation) });
}

/** The seal that a side carries, if it is of its present leader and epoch. A promise for an epoch holds as long as there is that epoch (E2). */
export function knownSeal(shard: ShardDescriptor): SealReceipt | null {
  const seal = shard.state.kind === 'MERGING' ? shard.state.seal : undefined;
  return seal !== undefined && receiptStands(shard, seal, seal.generation) ? seal : null;
}

/**
 * The abort of a side that may have been sealed (E2): its leader may never lead at this epoch again, so it is given back with the intent
 * of a transfer, to its old leader first; the receipt completes it at epoch + 1, whoever gets it. Null: nothing to give back.
 */
export function abortMerge(shard: ShardDescriptor, operationId: OperationId): ShardDescriptor | null {
  if (shard.state.kind !== 'MERGING' || shard.state.operationId !== operationId) return null;
  const generation = nextGeneration(shard.generation);
  const { replicaId } = shard.leader;
  return {
    ...shard,
    generation,
    state: { kind: 'ACTIVE' },
    intent: shard.intent ?? { kind: 'TRANSFER', targetReplicaId: replicaId, sinceGeneration: generation },
  };
}

const receiptStands = (shard: ShardDescriptor, receipt: Receipt, sinceGeneration: number): boolean =>
  receipt.replicaId === shard.leader.replicaId &&
  receipt.epoch === shard.epoch &&
  receipt.generation >= sinceGeneration;

/** The left copy stays IN_SYNC if the right copy on its node is, under the same node epoch: only such a node holds both parts whole. */
function joined(replica: Replica, right: ShardDescriptor): Replica {
  const other = replicaOn(right, replica.nodeId);
  const whole =
    replica.syncStatus === 'IN_SYNC' && other?.syncStatus === 'IN_SYNC' && other.nodeEpoch === replica.nodeEpoch;
  return whole || replica.syncStatus !== 'IN_SYNC' ? replica : { ...replica, syncStatus: 'LAGGING' };
}
