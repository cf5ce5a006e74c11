import { leaderIsFenced, rejectionOf } from '../../shared/domain/election.ts';
import { replicaId } from '../../shared/domain/ids.ts';
import type { ReplicaId } from '../../shared/domain/ids.ts';
import { currentInSync } from '../../shared/domain/membership.ts';
import { replicaById } from '../../shared/domain/shard.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { Deps, Stored } from '../../shared/ports.ts';
import { announceDescriptors, ensureLeader } from '../../shared/usecases/fail-over.ts';
import { readLiveness } from '../../shared/usecases/liveness-view.ts';
import { addReplica, changeMinInSync, removeReplica } from '../../shared/usecases/membership.ts';
import { copiesToLeave } from '../../shared/usecases/move-replica.ts';
import { claimShard, releaseShard } from '../../shared/usecases/shard-ownership.ts';
import { startTransfer } from '../../shared/usecases/transfer-leader.ts';
import { ACKNOWLEDGED, DONE, endWait, failWith, saveOperation } from '../step.ts';
import type { OperationMachine, OperationPatch, StepError, StepFunction, StepResult } from '../step.ts';
import { sendAndWait } from '../table-shards.ts';
import { refusalOf, throwIfContended } from './refusals.ts';
import type { Refusal } from './refusals.ts';
import { rollBack, UNFINISHED } from './undo.ts';
import { lookAtCopies } from './watch-copies.ts';
import { BY, draftFor, elapsedMs, goneShard, leaving, loadWork, owns, stateJson, stateOf } from './work.ts';
import type { MoveState, Phase, Work } from './work.ts';

/**
 * move-replica: claim the shard -> list the new replicas LAGGING -> have their nodes create them -> wait until the leader has filled them
 * and they are IN_SYNC -> transfer the leadership if a leaving replica has it -> remove the old replicas (S3) -> tell their nodes ->
 * release. Until the first removal everything can be undone; from there it only goes on.
 */

/** Time for the leadership to leave a replica: a transfer takes a second, a failover 6 to 12 s. */
const LEADER_WAIT_MS = 300_000;
/** Time for the survivors of a removal to be in sync: a node that restarts meanwhile is back within minutes. */
const REMOVAL_WAIT_MS = 900_000;
/** The leader is waited for so long before the old copies are destroyed: until it knows that they left, it waits for their acknowledgements. */
const LEADER_TOLD_MS = 10_000;
/** Random bytes of a replica id, which is never reused (R4). */
const REPLICA_ID_BYTES = 8;

/** Saves the way to the next phase, and names its step. */
async function advance(
  deps: Deps,
  work: Work,
  phase: Phase,
  detail: string,
  change: { readonly state?: Partial<MoveState>; readonly patch?: OperationPatch } = {},
): Promise<StepResult> {
  const state: MoveState = {
    ...work.state,
    ...change.state,
    phase,
    sinceMs: deps.clock.wallMs(),
    downSinceMs: null,
  };
  await saveOperation(
    deps,
    work.operation,
    { state: stateJson(state), waitingOn: null, ...change.patch },
    { name: work.state.phase, detail },
  );
  return { next: phase };
}

/** Notes why the change can't be made, and has it undone. */
async function giveUp(deps: Deps, work: Work, error: StepError): Promise<StepResult> {
  await saveOperation(deps, work.operation, { error, waitingOn: null }, { name: 'give-up', detail: error.code });
  return { next: 'roll-back' };
}

/** The same step again after a while. The record is written only if it says something new: every save is an audited change. */
async function waitFor(
  deps: Deps,
  work: Work,
  waitingOn: string,
  seconds: number,
  more: { readonly state?: MoveState; readonly patch?: OperationPatch } = {},
): Promise<StepResult> {
  const { phase } = work.state;
  const isNews = work.operation.value.waitingOn !== waitingOn || more.state !== undefined || more.patch !== undefined;
  if (isNews) {
    const state = more.state === undefined ? {} : { state: stateJson(more.state) };
    await saveOperation(
      deps,
      work.operation,
      { waitingOn, ...state, ...more.patch },
      { name: phase, detail: waitingOn },
    );
  }
  return { next: phase, wait_seconds: seconds };
}

/**
 * The answer of a step that is not at hand: invoked twice, or so late that the operation is in another phase or being undone. It has no
 * effect any more. Null: it is at hand.
 */
function replayed(work: Work, tag: Phase): StepResult | null {
  const { phase } = work.state;
  if (work.operation.value.undoing) return { next: 'roll-back' };
  // The wait for the nodes ends without a step of its own: the first look at the copies begins their phase.
  if (phase === tag || (tag === 'await-in-sync' && phase === 'create-replicas')) return null;
  const tags = ANSWERS[tag];
  return { next: tags.find((next) => next === phase) ?? tags.at(-1) ?? DONE.next };
}

/** Tags of each step, the usual way on last. */
const ANSWERS: Readonly<Record<Phase, readonly string[]>> = {
  claim: ['add-replicas'],
  'add-replicas': ['move-leader', 'create-replicas'],
  'create-replicas': ['acknowledged'],
  'await-in-sync': ['await-in-sync', 'move-leader'],
  'move-leader': ['move-leader', 'remove-replicas'],
  'remove-replicas': ['remove-replicas', 'move-leader', 'forget'],
  forget: ['forget', 'release'],
  release: [],
};

const LOST: StepError = {
  code: 'SHARD_LOST',
  message: 'The shard was deleted, or taken from the operation. Nothing is left to do for it.',
};

const claim: StepFunction = async (deps, input) => {
  const work = await loadWork(deps, input);
  if (work === 'ENDED') return DONE;
  const late = replayed(work, 'claim');
  if (late !== null) return late;
  const { shardId } = work.input;
  const { operationId } = input;
  // A run that comes late must not take the shard again after its operation went on.
  const claimed = await claimShard(deps, BY, shardId, { kind: 'CHANGING_REPLICAS', operationId }, () => [
    {
      kind: 'check',
      entity: 'operation',
      id: { operationId },
      when: [{ kind: 'revision', is: work.operation.revision }],
    },
  ]);
  if (!claimed.ok) {
    throwIfContended(claimed.error);
    return giveUp(deps, work, claimed.error);
  }
  const shard = claimed.value;
  const table = await deps.records.get('table', { table: shard.table });
  if (table?.value.tableId !== shard.tableId || table.value.state !== 'ACTIVE')
    return giveUp(deps, work, { code: 'TABLE_NOT_ACTIVE', message: `Table ${shard.table} is being deleted.` });
  if (!sameReplicas(shard, work.input.seen))
    return giveUp(deps, work, {
      code: 'PLAN_STALE',
      message: `The replicas of shard ${shardId} changed since the request. Look at it again and decide anew.`,
    });
  const added = work.input.add.map((nodeId) => ({
    nodeId,
    replicaId: replicaId(`rep-${deps.random.hex(REPLICA_ID_BYTES)}`),
  }));
  return advance(deps, work, 'add-replicas', `generation ${shard.generation}`, {
    state: { added, minInSyncBefore: shard.minInSync },
  });
};

const sameReplicas = (shard: ShardDescriptor, seen: readonly ReplicaId[]): boolean =>
  shard.replicas.length === seen.length && seen.every((id) => replicaById(shard, id) !== undefined);

const addReplicas: StepFunction = async (deps, input) => {
  const work = await loadWork(deps, input);
  if (work === 'ENDED') return DONE;
  const late = replayed(work, 'add-replicas');
  if (late !== null) return late;
  if (!owns(work)) return giveUp(deps, work, LOST);
  let shard = work.shard;
  for (const replica of work.state.added) {
    const leavers = work.input.remove.map((one) => one.replicaId);
    const outcome = await addReplica(deps, BY, work.owner, { ...replica, leaving: leavers });
    if (!outcome.ok) {
      throwIfContended(outcome.error);
      return giveUp(deps, work, refusalOf(outcome.error, work.shard, replica.nodeId));
    }
    shard = outcome.value.shard;
  }
  if (work.state.added.length === 0) return advance(deps, work, 'move-leader', 'none to add');
  // The leader opens a session with each new replica as soon as it knows of it.
  if (shard !== null) await announceDescriptors(deps, [shard]);
  const nodes = work.state.added.map((one) => one.nodeId).join(', ');
  return advance(deps, work, 'create-replicas', `listed on ${nodes}`);
};

/** Waits until the new replicas' nodes hold them durably. */
const createReplicas: StepFunction = async (deps, input) => {
  const work = await loadWork(deps, input);
  if (work === 'ENDED') return endWait(deps, input);
  const late = replayed(work, 'create-replicas');
  if (late !== null) return endWait(deps, input, late);
  const { shard } = work;
  if (shard === null || !owns(work)) return endWait(deps, input, await giveUp(deps, work, LOST));
  const nodes = work.state.added.map((one) => one.nodeId).join(', ');
  await advance(deps, work, 'create-replicas', `asked ${nodes}`, {
    patch: { waitingOn: `${nodes} to create the replica` },
  });
  await sendAndWait(
    deps,
    input,
    work.state.added.map((one) => draftFor('create_replica', shard, one)),
  );
  return ACKNOWLEDGED;
};

const awaitInSync: StepFunction = async (deps, input) => {
  const loaded = await loadWork(deps, input);
  if (loaded === 'ENDED') return DONE;
  const late = replayed(loaded, 'await-in-sync');
  if (late !== null) return late;
  const { shard } = loaded;
  if (shard === null || !owns(loaded)) return giveUp(deps, loaded, LOST);
  // The wait for the nodes ended without a step of its own: the first look begins this phase.
  const begun = loaded.state.phase === 'await-in-sync';
  const state: MoveState = begun
    ? loaded.state
    : { ...loaded.state, phase: 'await-in-sync', sinceMs: deps.clock.wallMs(), downSinceMs: null };
  const work: Work = { ...loaded, state };
  const look = await lookAtCopies(deps, work, shard);
  switch (look.kind) {
    case 'IN_SYNC':
      return advance(deps, work, 'move-leader', 'in sync', { patch: progress(work, work.state.added.length) });
    case 'GIVE_UP':
      return giveUp(deps, work, look.error);
    case 'WAIT':
      return waitFor(deps, work, look.waitingOn, look.seconds, {
        ...(begun && look.downSinceMs === state.downSinceMs
          ? {}
          : { state: { ...state, downSinceMs: look.downSinceMs } }),
      });
  }
};

const progress = (work: Work, done: number): OperationPatch => {
  const { total, unit } = work.operation.value.progress;
  return { progress: { done: Math.min(done, total), total, unit } };
};

/** Moves the leadership off the leaving replicas: to a new one if there is one, else to any survivor (E2). */
const moveLeader: StepFunction = async (deps, input) => {
  const work = await loadWork(deps, input);
  if (work === 'ENDED') return DONE;
  const late = replayed(work, 'move-leader');
  if (late !== null) return late;
  const { shard } = work;
  if (shard === null || !owns(work)) return giveUp(deps, work, LOST);
  const leavers = leaving(work).map((one) => one.replicaId);
  const isLeaving = (id: ReplicaId | undefined): boolean => id !== undefined && leavers.includes(id);
  const settled = !isLeaving(shard.leader.replicaId) && !isLeaving(shard.intent?.targetReplicaId);
  // Saved before the first effect that can't be undone: a cancel is either obeyed before it or refused.
  if (settled)
    return advance(deps, work, 'remove-replicas', `${shard.leader.nodeId} leads`, { patch: { cancellable: false } });
  if (elapsedMs(work, work.state.sinceMs, deps.clock.wallMs()) > LEADER_WAIT_MS)
    return giveUp(deps, work, {
      code: 'STEP_DOWN_PENDING',
      message: `The leadership of shard ${shard.shardId} did not leave ${shard.leader.nodeId} in ${LEADER_WAIT_MS / 1000} s.`,
    });
  const view = await readLiveness(
    deps,
    shard.replicas.map((replica) => replica.nodeId),
  );
  if (leaderIsFenced(shard, view)) {
    await ensureLeader(deps, BY, shard.shardId, null);
    return waitFor(deps, work, `a new leader of ${shard.shardId}: ${shard.leader.nodeId} is fenced`, 1);
  }
  const able = currentInSync(shard, view).filter(
    (replica) => !isLeaving(replica.replicaId) && rejectionOf(replica, view) === null,
  );
  const isNew = (id: ReplicaId): boolean => work.state.added.some((one) => one.replicaId === id);
  const target = able.find((replica) => isNew(replica.replicaId)) ?? able[0];
  if (target === undefined) return waitFor(deps, work, `a replica of ${shard.shardId} that can lead it`, 2);
  // A transfer to another replica may be under way: then that one is waited for.
  const started = await startTransfer(deps, BY, shard.shardId, target.replicaId);
  if (started.ok && !isLeaving(started.value.shard.leader.replicaId)) return { next: 'move-leader' };
  return waitFor(deps, work, `${shard.leader.nodeId} to hand over the leadership of ${shard.shardId}`, 1);
};

/** Brings `min_in_sync` to what the replication factor asks for, then takes the leaving replicas off the list, one by one (I-7, S3). */
const removeReplicas: StepFunction = async (deps, input) => {
  const work = await loadWork(deps, input);
  if (work === 'ENDED') return DONE;
  const late = replayed(work, 'remove-replicas');
  if (late !== null) return late;
  if (!owns(work)) return giveUp(deps, work, LOST);
  const { replicationFactor } = work.input;
  const minInSync = await changeMinInSync(deps, BY, work.owner, replicationFactor);
  let refusal: Refusal | null = minInSync.ok ? null : minInSync.error;
  let changed = minInSync.ok && minInSync.value.kind === 'CHANGED' ? minInSync.value.shard : null;
  for (const one of minInSync.ok ? leaving(work) : []) {
    const removal = { replicaId: one.replicaId, replicationFactor: copiesToLeave(work.input) };
    const outcome = await removeReplica(deps, BY, work.owner, removal);
    if (outcome.ok) changed = outcome.value.shard;
    else refusal = outcome.error;
    if (!outcome.ok) break;
  }
  // The leader drops from its acknowledgements only what it knows to have left (R1).
  if (changed !== null) await announceDescriptors(deps, [changed]);
  if (refusal === null) return advance(deps, work, 'forget', 'off the list');
  throwIfContended(refusal);
  const { code, message } = refusalOf(refusal, work.shard, null);
  if (code === 'IS_LEADER' || code === 'TRANSFER_PENDING') return advance(deps, work, 'move-leader', code);
  if (elapsedMs(work, work.state.sinceMs, deps.clock.wallMs()) > REMOVAL_WAIT_MS)
    return giveUp(deps, work, { code, message });
  return waitFor(deps, work, message, 2);
};

/** The leader first, which may still wait for the old copies; then their nodes, a dead one by its mailbox. */
const forget: StepFunction = async (deps, input) => {
  const work = await loadWork(deps, input);
  if (work === 'ENDED') return DONE;
  const late = replayed(work, 'forget');
  if (late !== null) return late;
  const { shard } = work;
  if (shard !== null && work.input.remove.length > 0) {
    const [answer] = await deps.commands.send([draftFor('apply_descriptor', shard, shard.leader)]);
    const waited = elapsedMs(work, work.state.sinceMs, deps.clock.wallMs());
    if (answer?.outcome !== 'DONE' && waited < LEADER_TOLD_MS)
      return waitFor(deps, work, `${shard.leader.nodeId} to take note of the new replicas`, 1);
  }
  await removeCopies(deps, work);
  return advance(deps, work, 'release', 'nodes told', {
    patch: progress(work, work.state.added.length + work.input.remove.length),
  });
};

/** Has the copies that left destroyed. Nobody waits for it: a node that is down finds the command in its mailbox. */
async function removeCopies(deps: Deps, work: Work): Promise<void> {
  const shard = work.shard ?? goneShard(work);
  const gone = work.input.remove.filter((one) => replicaById(shard, one.replicaId) === undefined);
  await deps.commands.send(gone.map((one) => draftFor('remove_replica', shard, one)));
}

const release: StepFunction = async (deps, input) => {
  const work = await loadWork(deps, input);
  if (work === 'ENDED') return DONE;
  const late = replayed(work, 'release');
  if (late !== null) return late;
  const released = await releaseShard(deps, BY, work.input.shardId, input.operationId);
  if (!released.ok) throw new Error(released.error.message);
  const { total, unit } = work.operation.value.progress;
  await saveOperation(
    deps,
    work.operation,
    { status: 'SUCCEEDED', outcome: 'APPLIED', waitingOn: null, progress: { done: total, total, unit } },
    {
      name: 'release',
      detail: released.value === null ? 'the shard is gone' : `generation ${released.value.generation}`,
    },
  );
  return DONE;
};

export const machine: OperationMachine = {
  steps: {
    claim,
    'add-replicas': addReplicas,
    'create-replicas': createReplicas,
    'await-in-sync': awaitInSync,
    'move-leader': moveLeader,
    'remove-replicas': removeReplicas,
    forget,
    release,
    'roll-back': rollBack,
    fail: failWith(UNFINISHED),
  },
  answers: { ...ANSWERS, 'roll-back': ['roll-back'] },
  resume: (operation: Stored<'operation'>['value']) => stateOf(operation.state).phase,
};
