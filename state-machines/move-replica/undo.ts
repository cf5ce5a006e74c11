import { rejectionOf } from '../../shared/domain/election.ts';
import { currentInSync } from '../../shared/domain/membership.ts';
import { replicaById } from '../../shared/domain/shard.ts';
import type { Deps } from '../../shared/ports.ts';
import { announceDescriptors } from '../../shared/usecases/fail-over.ts';
import { readLiveness } from '../../shared/usecases/liveness-view.ts';
import { changeMinInSync, removeReplica } from '../../shared/usecases/membership.ts';
import type { PlacedReplica } from '../../shared/usecases/move-replica.ts';
import { releaseShard } from '../../shared/usecases/shard-ownership.ts';
import { startTransfer } from '../../shared/usecases/transfer-leader.ts';
import { DONE, endRolledBack, saveOperation } from '../step.ts';
import type { StepError, StepFunction } from '../step.ts';
import { refusalOf, throwIfContended } from './refusals.ts';
import { BY, draftFor, elapsedMs, goneShard, leaving, loadWork, owns, stateJson } from './work.ts';
import type { Work } from './work.ts';

/** Undoing of a membership change: what it added leaves again, as far as the floor of I-7 allows. */

/** What can't be taken back in this time is kept: a failover or a restart of a survivor is over by then. */
const UNDO_WAIT_MS = 120_000;

export const UNFINISHED: StepError = {
  code: 'STEP_FAILED',
  message: 'The shard serves with the replicas that it lists.',
};
const UNREACHABLE: StepError = {
  code: 'TARGET_UNREACHABLE',
  message: 'The node of the new replica did not create it in time. Choose another node.',
};

export const rollBack: StepFunction = async (deps, input) => {
  const work = await loadWork(deps, input);
  if (work === 'ENDED') return DONE;
  const nowMs = deps.clock.wallMs();
  const { undoSinceMs } = work.state;
  if (undoSinceMs === null) {
    const state = stateJson({ ...work.state, undoSinceMs: nowMs });
    await saveOperation(deps, work.operation, { state }, { name: 'roll-back', detail: 'begins' });
    return { next: 'roll-back' };
  }
  if (work.shard !== null && hasBegunToRemove(work)) return endForward(deps, work);
  if (!owns(work)) return finish(deps, work, []);
  const late = elapsedMs(work, undoSinceMs, nowMs) > UNDO_WAIT_MS;
  const refused = await takeBack(deps, work);
  if (refused.length > 0 && !late) return { next: 'roll-back', wait_seconds: 2 };
  return finish(deps, work, refused);
};

interface Kept {
  readonly replica: PlacedReplica;
  readonly reason: string;
}

/** Removes what was added; answers what has to stay for now. */
async function takeBack(deps: Deps, work: Work): Promise<readonly Kept[]> {
  const { minInSyncBefore } = work.state;
  if (minInSyncBefore !== null) {
    // A majority of 2m - 1 is m. Refused for lack of copies it stays lower; contended the step is repeated.
    const back = await changeMinInSync(deps, BY, work.owner, 2 * minInSyncBefore - 1);
    if (!back.ok) throwIfContended(back.error);
  }
  await handBack(deps, work);
  const kept: Kept[] = [];
  const replicationFactor = Math.min(work.input.replicationFactor, work.input.seen.length);
  for (const replica of work.state.added) {
    const outcome = await removeReplica(deps, BY, work.owner, { replicaId: replica.replicaId, replicationFactor });
    if (outcome.ok) {
      if (outcome.value.kind === 'CHANGED') await announceDescriptors(deps, [outcome.value.shard]);
      continue;
    }
    throwIfContended(outcome.error);
    kept.push({ replica, reason: refusalOf(outcome.error, work.shard, replica.nodeId).message });
  }
  return kept;
}

/** The leadership goes back to a replica that was there before, if a new one has it. */
async function handBack(deps: Deps, work: Work): Promise<void> {
  const { shard } = work;
  if (shard === null || !isNew(work, shard.leader.replicaId)) return;
  const view = await readLiveness(
    deps,
    shard.replicas.map((replica) => replica.nodeId),
  );
  const target = currentInSync(shard, view).find(
    (replica) => !isNew(work, replica.replicaId) && rejectionOf(replica, view) === null,
  );
  if (target !== undefined) await startTransfer(deps, BY, shard.shardId, target.replicaId);
}

const isNew = (work: Work, id: string): boolean => work.state.added.some((one) => one.replicaId === id);

/** Destroys the copies that are not listed, gives the shard back, and ends: rolled back but for what is kept. */
async function finish(deps: Deps, work: Work, kept: readonly Kept[]): Promise<typeof DONE> {
  const shard = (await deps.directory.locate(work.input.shardId))?.shard ?? goneShard(work);
  const gone = work.state.added.filter((one) => replicaById(shard, one.replicaId) === undefined);
  await deps.commands.send(gone.map((one) => draftFor('remove_replica', shard, one)));
  await release(deps, work);
  const fallback = work.state.phase === 'create-replicas' ? UNREACHABLE : UNFINISHED;
  const saved =
    kept.length === 0
      ? work.operation
      : await saveOperation(
          deps,
          work.operation,
          {},
          {
            name: 'keep',
            detail: kept.map(({ replica, reason }) => `the replica on ${replica.nodeId} stays: ${reason}`).join('; '),
          },
        );
  await endRolledBack(deps, saved, fallback);
  return DONE;
}

/**
 * True if a replica has left: what was added takes its place, so nothing is taken back. The phase tells that it was this operation that
 * took it off; afterwards it may own the shard no more (redriven when it had ended).
 */
function hasBegunToRemove(work: Work): boolean {
  if (isThrough(work)) return true;
  return work.state.phase === 'remove-replicas' && leaving(work).length < work.input.remove.length;
}

/** Everything that was to change has changed. */
const isThrough = ({ state }: Work): boolean => state.phase === 'forget' || state.phase === 'release';

/** Tells the nodes how the shard is now, gives it back, and ends: APPLIED if all is done, else FAILED with what stands. */
async function endForward(deps: Deps, work: Work): Promise<typeof DONE> {
  const { shard } = work;
  const left = leaving(work).length;
  if (shard !== null) {
    const gone = work.input.remove.filter((one) => replicaById(shard, one.replicaId) === undefined);
    await announceDescriptors(deps, [shard]);
    await deps.commands.send(gone.map((one) => draftFor('remove_replica', shard, one)));
  }
  await release(deps, work);
  const { progress, error } = work.operation.value;
  const reason = error ?? UNFINISHED;
  await saveOperation(
    deps,
    work.operation,
    left === 0
      ? {
          status: 'SUCCEEDED',
          outcome: 'APPLIED',
          waitingOn: null,
          error: null,
          progress: { ...progress, done: progress.total },
        }
      : { status: 'FAILED', waitingOn: null, error: reason },
    {
      name: 'roll-back',
      detail:
        left === 0
          ? `nothing to undo, all is done: ${reason.code}`
          : `${left} of ${work.input.remove.length} replicas stay: ${reason.code}`,
    },
  );
  return DONE;
}

async function release(deps: Deps, work: Work): Promise<void> {
  const released = await releaseShard(deps, BY, work.input.shardId, work.owner.operationId);
  if (!released.ok) throw new Error(released.error.message);
}
