import type { OperationId } from './ids.ts';
import { operationId } from './ids.ts';
import type { OperationRecord, OperationStatus } from './records.ts';
import { err, ok } from './result.ts';
import type { Result } from './result.ts';

/**
 * Operations as data (DESIGN section 7, ADR 0006): which status may follow which, what a request from outside changes, and what a
 * running machine has to do about it at the next boundary of a step.
 */

/** Statuses that may follow. FAILED is left by a redrive alone. */
const FOLLOWERS: Readonly<Record<OperationStatus, readonly OperationStatus[]>> = {
  PENDING: ['RUNNING', 'PAUSED', 'FAILED', 'CANCELLED'],
  RUNNING: ['PAUSED', 'SUCCEEDED', 'FAILED', 'CANCELLED'],
  PAUSED: ['RUNNING'],
  SUCCEEDED: [],
  FAILED: ['RUNNING'],
  CANCELLED: [],
};

export const mayFollow = (from: OperationStatus, to: OperationStatus): boolean =>
  from === to || FOLLOWERS[from].includes(to);

/** SUCCEEDED, FAILED, CANCELLED: no step does anything any more. */
export const TERMINAL: ReadonlySet<OperationStatus> = new Set(['SUCCEEDED', 'FAILED', 'CANCELLED']);

export const hasEnded = (operation: Pick<OperationRecord, 'status'>): boolean => TERMINAL.has(operation.status);

/** Name of execution number `run` (from 1): the operation's id for the first, `<id>.<run>` for a later one. */
export const executionName = (id: OperationId, run: number): string => (run === 1 ? id : `${id}.${run}`);

/** Digits of a child's number: a plan has at most 999,999 parts. */
const CHILD_DIGITS = 6;

/** Id of the operation that carries out part `number` of `parent`: always the same, so that a repeated start finds it. Sorts right after its parent. */
export const childOperationId = (parent: OperationId, number: number): OperationId =>
  operationId(`${parent}-${String(number).padStart(CHILD_DIGITS, '0')}`);

/** Range of the ids of all parts of `parent`, and of their parts. */
export const partsOf = (
  parent: OperationId,
): { from: { operationId: OperationId }; to: { operationId: OperationId } } => ({
  from: { operationId: operationId(`${parent}-`) },
  to: { operationId: operationId(`${parent}-:`) }, // ':' follows '9'
});

/** What completes the token of a waiting step when every node has acknowledged: the tag for the Choice that follows. */
export const ACKNOWLEDGED = { next: 'acknowledged' } as const;

// --- Requests from outside ---------------------------------------------------------------------------------------------

export interface ControlRefusal {
  readonly code: 'OPERATION_ENDED' | 'NOT_PAUSED' | 'NOT_CANCELLABLE' | 'NOT_FAILED';
}

/** The record after a request; null: it is as asked already. `start`: a new execution (number `next.run`) has to be started. */
export interface Controlled {
  readonly next: OperationRecord | null;
  readonly start: boolean;
}
type Decided = Result<Controlled, ControlRefusal>;

const unchanged: Decided = ok({ next: null, start: false });

/**
 * A paused operation holds its shards: no split, move or repair of them. So a pause ends by itself, by default after a day: longer than whoever paused
 * it looks away, shorter than a cluster should do without repairs of those shards.
 */
export const PAUSE_MS_DEFAULT = 24 * 3_600_000;
/** A week: what shall rest longer is cancelled and asked for again. */
export const PAUSE_MS_MAX = 7 * 24 * 3_600_000;

/**
 * It stops at the next boundary of a step; a step that waits for nodes is waited for. Of one that is paused already the end is moved, if one is
 * given. `untilMs`: wall clock, null: the default from now on.
 */
export function decidePause(operation: OperationRecord, untilMs: number | null, nowMs: number): Decided {
  if (hasEnded(operation)) return err({ code: 'OPERATION_ENDED' });
  // A cancel that was accepted is carried out: pausing must not take it back. Undoing can be paused.
  if (operation.control === 'CANCEL' && !operation.undoing) return err({ code: 'NOT_CANCELLABLE' });
  if (operation.control === 'PAUSE' && untilMs === null) return unchanged;
  const pausedUntilMs = untilMs ?? nowMs + PAUSE_MS_DEFAULT;
  return ok({ next: { ...operation, control: 'PAUSE', pausedUntilMs }, start: false });
}

/** When a pause ends by itself, wall clock; of one that an earlier release noted, a default pause after it came to rest. */
export const pauseEndMs = ({ pausedUntilMs, updatedAtMs }: OperationRecord): number =>
  pausedUntilMs ?? updatedAtMs + PAUSE_MS_DEFAULT;

/** A paused one goes on in a new execution; one that was only asked to pause goes on in its present one. */
export function decideResume(operation: OperationRecord): Decided {
  if (hasEnded(operation)) return err({ code: 'OPERATION_ENDED' });
  const runs = { control: 'RUN', pausedUntilMs: null } as const;
  if (operation.status === 'PAUSED') return ok({ next: { ...nextRun(operation), ...runs }, start: true });
  if (operation.control !== 'PAUSE') return err({ code: 'NOT_PAUSED' });
  return ok({ next: { ...operation, ...runs }, start: false });
}

/** Accepted as long as everything can be undone; then it is obeyed in any case: the commit that can't be undone meets the raised revision. */
export function decideCancel(operation: OperationRecord): Decided {
  if (operation.status === 'CANCELLED' || operation.control === 'CANCEL') return unchanged;
  if (hasEnded(operation)) return err({ code: 'OPERATION_ENDED' });
  if (!operation.cancellable) return err({ code: 'NOT_CANCELLABLE' });
  const paused = operation.status === 'PAUSED';
  const next = paused ? nextRun(operation) : operation;
  return ok({ next: { ...next, control: 'CANCEL', pausedUntilMs: null }, start: paused });
}

/**
 * A FAILED operation goes on from what stands: one that was rolled back starts anew with a fresh state, one whose undoing failed goes on
 * undoing, any other goes on with the step that failed.
 */
export function decideRedrive(operation: OperationRecord): Decided {
  if (operation.status !== 'FAILED') return err({ code: 'NOT_FAILED' });
  const again: OperationRecord = {
    ...nextRun(operation),
    control: 'RUN',
    pausedUntilMs: null,
    error: null,
    outcome: null,
  };
  if (operation.outcome !== 'ROLLED_BACK') return ok({ next: again, start: true });
  const { total, unit } = operation.progress;
  const fresh = { ...again, state: {}, undoing: false, cancellable: true, progress: { done: 0, total, unit } };
  return ok({ next: fresh, start: true });
}

/** The same operation at the start of its next execution. */
export const nextRun = (operation: OperationRecord): OperationRecord => ({
  ...operation,
  status: 'RUNNING',
  run: operation.run + 1,
  runSteps: 0,
  waitingOn: null,
});

// --- What a machine does before a step -----------------------------------------------------------------------------------

/**
 * Share of one execution: it counts at most 150 saved steps and 300 polls (300 s at one poll a second or fewer), each of at most 11
 * history events: task 5, choices 4, wait 2. That keeps it under 5,000 events; the limit of Step Functions is 25,000.
 */
export const RUN_STEPS_MAX = 150;
export const RUN_AGE_MS_MAX = 300_000;

/** Step tags that every machine has. */
export const BEGIN = 'begin';
export const ROLL_BACK = 'roll-back';
export const FAIL = 'fail';

/** Stands as the error of an operation that undoes because it was cancelled; gone when it is CANCELLED. */
export const CANCEL_REQUESTED = { code: 'CANCEL_REQUESTED', message: 'Cancelled on request; it is being undone.' };

export type BeforeStep =
  | { readonly kind: 'RUN' }
  /** The operation has ended, or a later execution has taken over: this execution ends, and touches nothing. */
  | { readonly kind: 'ENDED' | 'SUPERSEDED' | 'PAUSED' }
  /** The record to save first. PAUSE: this execution ends; UNDO: it goes on with `roll-back`; CONTINUE: the next execution takes over. */
  | { readonly kind: 'PAUSE' | 'UNDO' | 'CONTINUE'; readonly next: OperationRecord }
  /** As UNDO, and the step at hand is the undoing itself. */
  | { readonly kind: 'RUN_UNDOING'; readonly next: OperationRecord };

/** What is to be done at the boundary before `step`, in an execution named `execution` (null: unknown, as in a step that is called by hand). */
export function beforeStep(
  operation: OperationRecord,
  step: string,
  execution: string | null,
  nowMs: number,
): BeforeStep {
  if (hasEnded(operation)) return { kind: 'ENDED' };
  if (execution !== null && execution !== executionName(operation.operationId, operation.run))
    return { kind: 'SUPERSEDED' };
  if (operation.status === 'PAUSED') return { kind: 'PAUSED' };
  if (step === FAIL) {
    // A cancel that was accepted, and that no step came to see since they all failed, is obeyed by another execution.
    if (operation.control === 'CANCEL' && !operation.undoing)
      return { kind: 'CONTINUE', next: nextRun({ ...operation, undoing: true, error: CANCEL_REQUESTED }) };
    // Else the last step of a machine records why it failed, whatever was asked.
    return { kind: 'RUN' };
  }
  const starts = step === ROLL_BACK && !operation.undoing;
  const current: OperationRecord = starts ? { ...operation, undoing: true } : operation;
  if (operation.control === 'PAUSE') {
    return { kind: 'PAUSE', next: { ...current, status: 'PAUSED', waitingOn: null } };
  }
  if (operation.control === 'CANCEL' && !current.undoing) {
    return { kind: 'UNDO', next: { ...operation, undoing: true, waitingOn: null, error: CANCEL_REQUESTED } };
  }
  if (starts) return { kind: 'RUN_UNDOING', next: { ...current, waitingOn: null } };
  if (step !== BEGIN && isUsedUp(operation, nowMs)) return { kind: 'CONTINUE', next: nextRun(operation) };
  return { kind: 'RUN' };
}

/** An execution that never began by `begin` has no age. */
const isUsedUp = ({ runSteps, runStartedAtMs }: OperationRecord, nowMs: number): boolean =>
  runSteps >= RUN_STEPS_MAX || (runStartedAtMs > 0 && nowMs - runStartedAtMs >= RUN_AGE_MS_MAX);

/** Seconds left at the pace so far; null when it can't be told, or nothing is under way. */
export function etaSeconds(operation: OperationRecord): number | null {
  const { done, total } = operation.progress;
  if (operation.status !== 'RUNNING' || operation.undoing || done === 0 || total <= done) return null;
  const elapsedMs = operation.updatedAtMs - operation.createdAtMs;
  return Math.ceil(((elapsedMs / done) * (total - done)) / 1000);
}
