import type { OperationRecord } from '../shared/domain/records.ts';
import { operationId } from '../shared/domain/ids.ts';
import { withReason } from '../shared/domain/waves/state.ts';
import type { RunningPart, WaveState } from '../shared/domain/waves/state.ts';
import type { Deps } from '../shared/ports.ts';
import { cancelOperation, pauseOperation, resumeOperation } from '../shared/usecases/operations.ts';
import { BY } from './move-replica/work.ts';
import { mapBounded } from '../shared/domain/map-bounded.ts';
import { partOf } from '../shared/domain/waves/parts.ts';
import { notePart, openPartsFrom, settleParts, TAKEN_OFF } from './waves-parts.ts';
import type { Settled } from './waves-parts.ts';
import type { WaveGoal } from './waves.ts';

/** Parts that are under way: how they came out, and what becomes of them when their operation is paused, resumed or cancelled. */

/** A part that failed to start is tried again after this; what hinders it (an operation, a node that restarts) lasts some tens of seconds. */
export const RETRY_MS = 30_000;

/** Takes the parts that have ended off the running ones. */
export async function settle(
  deps: Deps,
  goal: WaveGoal,
  operation: OperationRecord,
  before: WaveState,
): Promise<WaveState> {
  const looks = await settleParts(deps, operation.operationId, before.running);
  let state: WaveState = { ...before, running: [] };
  for (const [index, one] of before.running.entries()) {
    const look = looks[index];
    if (look === undefined || look.kind === 'RUNS') state = { ...state, running: [...state.running, one] };
    else state = await settleOne(deps, goal, operation, state, one, look);
  }
  return state;
}

async function settleOne(
  deps: Deps,
  goal: WaveGoal,
  operation: OperationRecord,
  state: WaveState,
  one: RunningPart,
  look: Exclude<Settled, { kind: 'RUNS' }>,
): Promise<WaveState> {
  const { number, shardId } = one;
  const nowMs = deps.clock.wallMs();
  if (look.kind === 'DONE') {
    await notePart(deps, operation.operationId, number, { status: 'DONE', reason: null });
    return { ...state, done: state.done + 1, progressMs: nowMs };
  }
  const { reason, kind } = look;
  // Its child was never recorded: the same part is tried again, under the same id.
  if (kind === 'SKIPPED' && (goal.mode === 'UNTIL_REACHED' || reason === 'NOT_STARTED')) {
    await notePart(deps, operation.operationId, number, { status: 'PLANNED', reason });
    return { ...state, waiting: [...state.waiting, { number, shardId, untilMs: nowMs, reason }] };
  }
  await notePart(deps, operation.operationId, number, { status: kind, reason });
  const reasons = withReason(state.reasons, reason);
  return kind === 'FAILED'
    ? { ...state, failed: state.failed + 1, reasons }
    : { ...state, skipped: state.skipped + 1, reasons };
}

/** The parts rest as long as their operation does. */
export async function pauseParts(deps: Deps, operation: OperationRecord, state: WaveState): Promise<void> {
  for (const look of await settleParts(deps, operation.operationId, state.running)) {
    if (look.kind !== 'RUNS' || look.childId === null) continue;
    await pauseOperation(deps, BY, { params: { operation_id: look.childId }, query: {}, body: undefined });
  }
}

export async function resumeParts(deps: Deps, operation: OperationRecord, state: WaveState): Promise<void> {
  for (const look of await settleParts(deps, operation.operationId, state.running)) {
    if (look.kind !== 'RUNS' || look.childId === null) continue;
    // One that is not paused says so; nothing else is meant.
    await resumeOperation(deps, BY, { params: { operation_id: look.childId }, query: {}, body: undefined });
  }
}

/** Parts that are taken back at once. */
const TAKEN_BACK_AT_ONCE = 16;

/**
 * Before an undoing: parts that never started are taken off the plan, so that nobody carries them out later; those that a step started and died
 * before it saved are known again.
 */
export async function closePlanned(deps: Deps, operation: OperationRecord, state: WaveState): Promise<WaveState> {
  const known = new Set(state.running.map(({ number }) => number));
  const open = (await openPartsFrom(deps, operation.operationId, 0)).filter(({ number }) => !known.has(number));
  const planned = open.filter(({ status }) => status === 'PLANNED');
  await mapBounded(planned, TAKEN_BACK_AT_ONCE, ({ number }) =>
    notePart(deps, operation.operationId, number, { status: 'SKIPPED', reason: TAKEN_OFF }),
  );
  const sinceMs = deps.clock.wallMs();
  const started = open
    .filter(({ status }) => status === 'RUNNING')
    .map(({ number, value }): RunningPart => ({ number, shardId: partOf(value).shardId, sinceMs, source: null }));
  return {
    ...state,
    running: [...state.running, ...started],
    waiting: [],
    skipped: state.skipped + planned.length,
    reasons: planned.length === 0 ? state.reasons : withReason(state.reasons, TAKEN_OFF),
  };
}

/** Has every part undone that can be; one that is past that goes on to its end. The answer says what still runs. */
export async function cancelParts(deps: Deps, operation: OperationRecord, state: WaveState): Promise<WaveState> {
  const looks = await settleParts(deps, operation.operationId, state.running);
  let left: WaveState = { ...state, running: [] };
  for (const [index, one] of state.running.entries()) {
    const look = looks[index];
    if (look?.kind === 'RUNS' && look.childId !== null) {
      const params = { operation_id: operationId(look.childId) };
      await cancelOperation(deps, BY, { params, query: {}, body: undefined });
      // Paused by an operator, and past cancelling: it would rest for ever.
      if (look.isPaused) await resumeOperation(deps, BY, { params, query: {}, body: undefined });
      left = { ...left, running: [...left.running, one] };
    } else if (look?.kind === 'DONE') {
      await notePart(deps, operation.operationId, one.number, { status: 'DONE', reason: null });
      left = { ...left, done: left.done + 1 };
    } else {
      // A leader transfer under way is finished by the reconciler, whichever way it goes.
      await notePart(deps, operation.operationId, one.number, { status: 'SKIPPED', reason: 'CANCELLED' });
      left = { ...left, skipped: left.skipped + 1, reasons: withReason(left.reasons, 'CANCELLED') };
    }
  }
  return left;
}
