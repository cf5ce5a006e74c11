import { hasEnded, CANCEL_REQUESTED, mayFollow } from '../shared/domain/operation.ts';
import type { OperationId } from '../shared/domain/ids.ts';
import type { Json, OperationRecord } from '../shared/domain/records.ts';
import { Bug, invariant } from '../shared/domain/result.ts';
import type { Change, Deps, Stored } from '../shared/ports.ts';

export { ACKNOWLEDGED, TERMINAL } from '../shared/domain/operation.ts';

/**
 * Steps of operations: ASL sequences, TypeScript decides. A step reads the operation, does one bounded piece of work that may be
 * repeated at will, saves, and names the next step. A step that fails throws and is retried by the state machine. docs/operations.md
 * tells how to add an operation.
 */
export interface StepInput {
  readonly operationId: OperationId;
  readonly step: string;
  /** Present in `.waitForTaskToken` states. */
  readonly taskToken: string | null;
  /** ARN of the execution that runs the step; null when a step is called by hand. */
  readonly executionArn: string | null;
  /** Of `roll-back` and `fail`: what the execution gave up on; null or missing if nothing failed, or nobody told. */
  readonly failure?: StepFailure | null;
}

/** A step that kept failing, and why. */
export interface StepFailure {
  readonly step: string;
  readonly reason: string;
}

export interface StepResult {
  /** Tag for the state machine's Choice. */
  readonly next: string;
  /** For a Wait state before the next step (`SecondsPath: $.result.wait_seconds`), at least 1; left out: no wait. */
  readonly wait_seconds?: number;
}
export type StepFunction = (deps: Deps, input: StepInput) => Promise<StepResult>;

/** What a folder in state-machines gives to the runtime, as its export `machine`. */
export interface OperationMachine {
  /** By tag. `begin` is not among them: the runtime has it. `fail` is; `roll-back` is unless the operation can't be undone. */
  readonly steps: Readonly<Record<string, StepFunction>>;
  /**
   * Tags that each step may answer with; of a waiting step, what completes its token. The runtime itself adds `paused`, `roll-back` and
   * `done`. Held against the ASL file by a test, and against every answer when it runs.
   */
  readonly answers: Readonly<Record<string, readonly string[]>>;
  /** The step to go on with, from what is saved: at the first start, after a pause, a redrive, a restart. */
  readonly resume: (operation: OperationRecord) => string;
  /** Called when the operation is about to rest: what it started as operations of their own rests too. May be repeated. */
  readonly pause?: (deps: Deps, operation: OperationRecord) => Promise<void>;
}

/** What every machine's Choice takes for its end. */
export const DONE: StepResult = { next: 'done' };

export async function loadOperation(deps: Deps, operationId: OperationId): Promise<Stored<'operation'>> {
  const stored = await deps.records.get('operation', { operationId });
  if (stored === null) throw new Bug(`operation ${operationId} has no record`);
  return stored;
}

/** Steps kept in the record: the newest. Batches of one kind are counted by `progress`, not listed. */
const STEPS_KEPT_MAX = 50;

export type OperationPatch = Partial<
  Pick<
    OperationRecord,
    | 'status'
    | 'outcome'
    | 'progress'
    | 'waitingOn'
    | 'state'
    | 'plan'
    | 'executionArn'
    | 'error'
    /** Set to false in the very commit that can't be undone any more. */
    | 'cancellable'
    | 'control'
    | 'run'
    | 'runSteps'
    | 'runStartedAtMs'
    | 'undoing'
  >
>;

/**
 * Saves the operation together with other writes, audited; conditional on the revision that the step read. Throws if
 * somebody else saved it meanwhile: the state machine runs the step again.
 */
export async function saveOperation(
  deps: Deps,
  stored: Stored<'operation'>,
  patch: OperationPatch,
  entry: { readonly name: string; readonly detail: string },
  also: Partial<Change> = {},
): Promise<Stored<'operation'>> {
  const nowMs = deps.clock.wallMs();
  const next: OperationRecord = { ...stored.value, runSteps: stored.value.runSteps + 1, ...patch };
  const value: OperationRecord = {
    ...next,
    // What a step failed with is no error of an operation that went on, since it could not be undone, and came through.
    error: next.status === 'SUCCEEDED' && next.error?.step !== undefined ? null : next.error,
    updatedAtMs: nowMs,
    steps: [...stored.value.steps, { name: entry.name, atMs: nowMs, detail: entry.detail }].slice(-STEPS_KEPT_MAX),
  };
  // Accepted after the look at the boundary, before the step read the record itself: it is obeyed when the step is tried again.
  const isFinal = value.status === 'SUCCEEDED' || (!value.cancellable && stored.value.cancellable);
  if (isFinal && stored.value.control === 'CANCEL' && !stored.value.undoing)
    throw new Error(`operation ${value.operationId} was cancelled while a step ran that can't be undone`);
  invariant(
    mayFollow(stored.value.status, value.status),
    `operation ${value.operationId} goes from ${stored.value.status} to ${value.status}`,
  );
  const ended = hasEnded(value) && !hasEnded(stored.value);
  const committed = await deps.records.commit({
    writes: [
      { kind: 'put', entity: 'operation', value, when: [{ kind: 'revision', is: stored.revision }] },
      ...(ended
        ? [
            {
              kind: 'delete' as const,
              entity: 'openOperation' as const,
              id: { operationId: value.operationId },
              when: [],
            },
          ]
        : []),
      ...(also.writes ?? []),
    ],
    audit: [
      {
        entity: `operation:${value.operationId}`,
        number: stored.revision + 1,
        action: `STEP_${entry.name.toUpperCase().replaceAll('-', '_')}`,
        principal: 'system:operation',
        detail: { status: value.status, detail: entry.detail },
      },
      ...(also.audit ?? []),
    ],
    events: [
      ...(ended
        ? [
            {
              eventType: 'OPERATION_ENDED',
              payload: { operation_id: value.operationId, type: value.type, status: value.status },
            },
          ]
        : []),
      ...(also.events ?? []),
    ],
  });
  if (!committed.ok) throw new Error(`operation ${value.operationId} was changed by another run of a step`);
  return { value, revision: (stored.revision + 1) as Stored<'operation'>['revision'] };
}

/** The fields of an operation's input or state, which its own steps wrote. */
export const fieldsOf = (json: Json): { readonly [key: string]: Json } =>
  json !== null && typeof json === 'object' && !Array.isArray(json) ? (json as { readonly [key: string]: Json }) : {};

/** A text field of the same; throws Bug if it is missing. */
export function textOf(fields: { readonly [key: string]: Json }, name: string): string {
  const value = fields[name];
  if (typeof value !== 'string') throw new Bug(`operation field ${name} is no text`);
  return value;
}

export interface StepError {
  readonly code: string;
  readonly message: string;
  /** The step that failed. */
  readonly step?: string;
}

/** Where nobody told which step it was: an execution of an earlier release, or one that was ended by hand. */
const UNNAMED = 'A step kept failing or timed out; the execution history names it.';

/** What stands after a failure, `end`, behind what failed. A more telling code than STEP_FAILED stays. */
function withFailure(end: StepError, failed: StepError | null): StepError {
  if (failed?.step === undefined)
    return end.code === 'STEP_FAILED' ? { ...end, message: `${UNNAMED} ${end.message}` } : end;
  return { ...end, step: failed.step, message: `${failed.message} ${end.message}` };
}

/** The failure before a `roll-back` or `fail`, as an operation's error until the end says what stands; null if there was none. */
export function failedOf({ failure = null }: StepInput): StepError | null {
  if (failure === null) return null;
  const { step, reason } = failure;
  return { code: 'STEP_FAILED', message: `Step ${step} kept failing: ${reason}.`, step };
}

/**
 * The last save of a `roll-back` step: everything is as it was before. CANCELLED if a cancel was the reason, else FAILED with the error that
 * was noted when the undoing began. `end`: what to say behind a step's failure.
 */
export function endRolledBack(
  deps: Deps,
  operation: Stored<'operation'>,
  end: StepError,
  also: Partial<Change> = {},
): Promise<Stored<'operation'>> {
  const { error } = operation.value;
  const cancelled = error?.code === CANCEL_REQUESTED.code;
  const reason = error === null || error.step !== undefined ? withFailure(end, error) : error;
  return saveOperation(
    deps,
    operation,
    {
      status: cancelled ? 'CANCELLED' : 'FAILED',
      outcome: 'ROLLED_BACK',
      waitingOn: null,
      error: cancelled ? null : reason,
    },
    { name: 'roll-back', detail: cancelled ? 'cancelled' : reason.code },
    also,
  );
}

/** The last step of a machine whose undoing failed too: the operation ends FAILED with its reason, its state as it stands. */
export const failWith =
  (error: StepError): StepFunction =>
  async (deps, input) => {
    const operation = await loadOperation(deps, input.operationId);
    if (hasEnded(operation.value)) return DONE;
    const ended = withFailure(error, failedOf(input));
    const why = operation.value.error;
    const message = why === null ? ended.message : `${ended.message} It was being undone: ${why.message}`;
    await saveOperation(
      deps,
      operation,
      { status: 'FAILED', waitingOn: null, error: { ...ended, message } },
      { name: 'fail', detail: error.code },
    );
    return DONE;
  };

/** A waiting step with nothing to wait for: its token is completed with the tag of its Choice. */
export async function endWait(deps: Deps, input: StepInput, answer: StepResult = DONE): Promise<StepResult> {
  if (input.taskToken !== null) await deps.operations.succeedTask(input.taskToken, wireAnswer(answer));
  return answer;
}

/** A step's answer as the state machine reads it. */
export const wireAnswer = ({ next, wait_seconds = 0 }: StepResult): { next: string; wait_seconds: number } => ({
  next,
  wait_seconds,
});

/** Name of the execution that an ARN names (its last part). */
export const executionOf = (arn: string | null): string | null => arn?.split(':').at(-1) ?? null;
