import type { OperationId } from '../shared/domain/ids.ts';
import type { Json, OperationRecord } from '../shared/domain/records.ts';
import { Bug } from '../shared/domain/result.ts';
import type { Change, Deps, Stored } from '../shared/ports.ts';

/**
 * Steps of operations: ASL sequences, TypeScript decides. A step reads the operation, does one bounded piece of work that may be
 * repeated at will, saves, and names the next step. A step that fails throws and is retried by the state machine.
 */
export interface StepInput {
  readonly operationId: OperationId;
  readonly step: string;
  /** Present in `.waitForTaskToken` states. */
  readonly taskToken: string | null;
  /** Given to the first step of a machine, which notes it in the record. */
  readonly executionArn: string | null;
}
export interface StepResult {
  /** Tag for the state machine's Choice. */
  readonly next: string;
}
export type StepFunction = (deps: Deps, input: StepInput) => Promise<StepResult>;

/** What every machine's Choice takes for its end. */
export const DONE: StepResult = { next: 'done' };

export const TERMINAL: ReadonlySet<OperationRecord['status']> = new Set(['SUCCEEDED', 'FAILED', 'CANCELLED']);

export async function loadOperation(deps: Deps, operationId: OperationId): Promise<Stored<'operation'>> {
  const stored = await deps.records.get('operation', { operationId });
  if (stored === null) throw new Bug(`operation ${operationId} has no record`);
  return stored;
}

/** Steps kept in the record: the newest. Batches of one kind are counted by `progress`, not listed. */
const STEPS_KEPT_MAX = 50;

/**
 * Saves the operation together with other writes, audited; conditional on the revision that the step read. Throws if
 * somebody else saved it meanwhile: the state machine runs the step again.
 */
export async function saveOperation(
  deps: Deps,
  stored: Stored<'operation'>,
  patch: Partial<
    Pick<OperationRecord, 'status' | 'outcome' | 'progress' | 'waitingOn' | 'state' | 'executionArn' | 'error'>
  >,
  entry: { readonly name: string; readonly detail: string },
  also: Partial<Change> = {},
): Promise<void> {
  const nowMs = deps.clock.wallMs();
  const value: OperationRecord = {
    ...stored.value,
    ...patch,
    updatedAtMs: nowMs,
    steps: [...stored.value.steps, { name: entry.name, atMs: nowMs, detail: entry.detail }].slice(-STEPS_KEPT_MAX),
  };
  const ended = TERMINAL.has(value.status) && !TERMINAL.has(stored.value.status);
  const committed = await deps.records.commit({
    writes: [
      { kind: 'put', entity: 'operation', value, when: [{ kind: 'revision', is: stored.revision }] },
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

/** The last step of a machine whose undoing failed too: the operation ends FAILED with its reason, its state as it stands. */
export const failWith =
  (error: { readonly code: string; readonly message: string }): StepFunction =>
  async (deps, input) => {
    const operation = await loadOperation(deps, input.operationId);
    if (TERMINAL.has(operation.value.status)) return DONE;
    await saveOperation(
      deps,
      operation,
      { status: 'FAILED', waitingOn: null, error },
      { name: 'fail', detail: error.code },
    );
    return DONE;
  };

/** A waiting step of an operation that has ended meanwhile: the wait is over. */
export async function endWait(deps: Deps, input: StepInput): Promise<StepResult> {
  if (input.taskToken !== null) await deps.operations.succeedTask(input.taskToken, {});
  return DONE;
}
