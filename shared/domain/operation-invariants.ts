import { collect } from './invariants.ts';
import type { Violation } from './invariants.ts';
import { hasEnded, mayFollow } from './operation.ts';
import type { OperationRecord } from './records.ts';
import { ownerOf } from './shard.ts';
import type { ShardDescriptor } from './shard.ts';

/** Invariants of operations as pure checks (I-9, I-10): over one committed change, and over a shard and its owner. */

/** I-10 over one committed change of an operation: a legal status, an outcome that fits it, runs that only rise. */
export function checkOperationTransition(before: OperationRecord | null, after: OperationRecord): readonly Violation[] {
  return collect(after.operationId, (report) => {
    if (before !== null) {
      if (!mayFollow(before.status, after.status)) report('I-10', null, `${before.status} became ${after.status}`);
      if (after.run < before.run) report('I-10', null, `execution ${after.run} follows execution ${before.run}`);
      const redriven = hasEnded(before) && !hasEnded(after);
      if (before.undoing && !after.undoing && !redriven) report('I-10', null, 'an undoing was taken back');
      if (!before.cancellable && after.status === 'CANCELLED')
        report('I-10', null, 'cancelled although it could no longer be undone');
    }
    if (after.outcome !== null && !hasEnded(after))
      report('I-10', null, `outcome ${after.outcome} while ${after.status}`);
    if (after.status === 'SUCCEEDED' && (after.outcome !== 'APPLIED' || after.error !== null))
      report('I-10', null, 'succeeded without having been applied, or with an error');
    if (after.status === 'CANCELLED' && after.outcome !== 'ROLLED_BACK')
      report('I-10', null, 'cancelled without having been rolled back');
    if (after.status === 'FAILED' && after.error === null) report('I-10', null, 'failed without a reason');
  });
}

/** The reconcile tick takes shards back from ended operations within this: its period, the age it waits for, and one lost tick. */
export const OWNER_ENDED_MS_MAX = 150_000;

/** I-9, I-10: the owner of a shard exists and has not ended for longer than the bound; `owner` null: it has no record. */
export function checkOwner(shard: ShardDescriptor, owner: OperationRecord | null, nowMs: number): readonly Violation[] {
  const id = ownerOf(shard);
  if (id === null) return [];
  return collect(shard.shardId, (report) => {
    if (owner === null) report('I-9', null, `operation ${id} owns the shard and does not exist`);
    else if (hasEnded(owner) && nowMs - owner.updatedAtMs > OWNER_ENDED_MS_MAX)
      report('I-10', null, `operation ${id} is ${owner.status} and still owns the shard`);
  });
}
