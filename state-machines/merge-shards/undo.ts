import { abortMerge } from '../../shared/domain/merge.ts';
import { childOperationId, hasEnded } from '../../shared/domain/operation.ts';
import { ok } from '../../shared/domain/result.ts';
import type { ShardId } from '../../shared/domain/ids.ts';
import type { Deps } from '../../shared/ports.ts';
import { changeDescriptor } from '../../shared/usecases/descriptor-change.ts';
import { cancelOperation } from '../../shared/usecases/operations.ts';
import { releaseShard } from '../../shared/usecases/shard-ownership.ts';
import { askToStepDown } from '../../shared/usecases/transfer-leader.ts';
import { DONE, endRolledBack } from '../step.ts';
import type { StepFunction } from '../step.ts';
import { again, BY, load } from './work.ts';
import type { Work } from './work.ts';

/** The undoing of a merge before its commit. */

const POLL_SECONDS = 2;

/** Both shards are given back; a side that may be sealed gets its leader back at the next epoch (E2). After the commit only forward. */
export const rollBack: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  if (work.state.committed) return { next: 'finish' };
  if (hasEnded(work.operation.value)) return DONE;
  // Both sides at once: each may be without a leader.
  await Promise.all([work.leftId, work.rightId].map((id) => giveBack(deps, work, id)));
  const move = await endMove(deps, work);
  if (move !== null) return { ...(await again(deps, work, { seconds: POLL_SECONDS, on: move })), next: 'roll-back' };
  const shards = `Shards ${work.leftId} and ${work.rightId}`;
  await endRolledBack(
    deps,
    work.operation,
    work.state.awaits > 0
      ? {
          code: 'NOT_SEALED',
          message: `${shards} were not merged: no ${work.operation.value.waitingOn ?? 'seal'} came. Both serve on as they were; try again.`,
        }
      : {
          code: 'STEP_FAILED',
          message: `${shards} were not merged. Both serve on.`,
        },
  );
  return DONE;
};

async function giveBack(deps: Deps, work: Work, id: ShardId): Promise<void> {
  const { operationId } = work.operation.value;
  if (!work.state.sealing) {
    const released = await releaseShard(deps, BY, id, operationId);
    if (!released.ok) throw new Error(released.error.message);
    return;
  }
  const aborted = await changeDescriptor<never>(deps, id, { principal: BY, action: 'MERGE_ABORTED' }, (shard) =>
    ok(abortMerge(shard, operationId)),
  );
  if (!aborted.ok) {
    if (aborted.error.code === 'SHARD_NOT_FOUND') return;
    throw new Error(aborted.error.message);
  }
  // Repeated steps ask again; after that the reconciler does, as for every open intent.
  if (aborted.value.shard.intent !== null) await askToStepDown(deps, BY, aborted.value.shard);
}

/** A move that is under way is cancelled and waited for; what it is waited for in words, null: there is none. */
async function endMove(deps: Deps, work: Work): Promise<string | null> {
  if (work.state.moves === 0) return null;
  const operationId = childOperationId(work.operation.value.operationId, work.state.moves);
  const child = await deps.records.get('operation', { operationId });
  if (child === null || hasEnded(child.value)) return null;
  if (child.value.control !== 'CANCEL' && child.value.cancellable)
    await cancelOperation(deps, BY, { params: { operation_id: operationId }, query: {}, body: undefined });
  return `end of move ${operationId}`;
}
