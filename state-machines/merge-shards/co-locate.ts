import { childOperationId, hasEnded } from '../../shared/domain/operation.ts';
import { Bug } from '../../shared/domain/result.ts';
import type { Deps } from '../../shared/ports.ts';
import { coLocation } from '../../shared/usecases/merge-shards.ts';
import { checkMembershipChange, startMembershipChange } from '../../shared/usecases/move-replica.ts';
import { saveOperation } from '../step.ts';
import type { StepFunction, StepResult } from '../step.ts';
import { again, BY, giveUp, goTo, load, notAtHand, partsChanged, sidesOf, stateJson } from './work.ts';
import type { Work } from './work.ts';

/** First part of a merge: both shards' copies on the same nodes, by moves of the smaller one that are operations of their own. */

/** Moves started before the merge is given up: other operations keep moving the shards apart, or the moves fail. */
const MOVES_MAX = 3;
const POLL_SECONDS = 5;
/** Polls for a shard that another operation owns: 30 min, as long as a move of a large shard. */
const BUSY_POLLS_MAX = 360;

export const coLocate: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  const late = notAtHand(work, 'co-locate');
  if (late !== null) return late;
  const child = work.state.moves === 0 ? null : await childOf(deps, work, work.state.moves);
  if (child !== null && !hasEnded(child))
    return again(deps, work, { seconds: POLL_SECONDS, on: `move of copies, operation ${child.operationId}` });
  const sides = await sidesOf(deps, work);
  if (sides === null) return partsChanged(deps, work);
  const move = await coLocation(deps, sides.left.shard, sides.right.shard);
  if (move === null) return goTo(deps, work, 'claim', 'copies on the same nodes');
  if (work.state.moves >= MOVES_MAX) return cannotMove(deps, work, child?.error?.message ?? 'they are apart again');
  const table = await deps.records.get('table', { table: work.table });
  const located = move.shard.shardId === work.leftId ? sides.left : sides.right;
  const checked = await checkMembershipChange(deps, move.shard, {
    ...move,
    replicationFactor: table?.value.replicationFactor ?? move.shard.replicas.length,
  });
  if (!checked.ok) {
    if (checked.error.code !== 'SHARD_BUSY' || work.state.polls >= BUSY_POLLS_MAX)
      return cannotMove(deps, work, checked.error.message);
    return again(deps, work, { seconds: POLL_SECONDS, on: checked.error.message });
  }
  // Counted before it is started: a crash in between finds the child by its number, or starts it then.
  const moves = work.state.moves + 1;
  const operation = await saveOperation(
    deps,
    work.operation,
    { state: stateJson({ ...work.state, moves }), waitingOn: `move of copies of ${move.shard.shardId}` },
    { name: 'co-locate', detail: `move ${moves}` },
  );
  const { operationId } = operation.value;
  const started = await startMembershipChange(deps, BY, located, {
    input: checked.value,
    operationId: childOperationId(operationId, moves),
    parentId: operationId,
  });
  if (!started.ok) deps.log.info('move-not-started', { operationId, code: started.error.code });
  return { next: 'co-locate', wait_seconds: 1 };
};

const cannotMove = (deps: Deps, work: Work, why: string): Promise<StepResult> =>
  giveUp(
    deps,
    work,
    'NOT_CO_LOCATED',
    `The copies of shards ${work.leftId} and ${work.rightId} could not be brought to the same nodes: ${why} Moves that were made stay; nothing else was changed.`,
  );

/** The child of that number; null: it was never started, as the shard changed under it. */
async function childOf(deps: Deps, work: Work, number: number) {
  const { operationId } = work.operation.value;
  const found = await deps.records.get('operation', { operationId: childOperationId(operationId, number) });
  if (found !== null && found.value.type !== 'move-replica')
    throw new Bug(`part ${number} of ${operationId} is no move`);
  return found?.value ?? null;
}
