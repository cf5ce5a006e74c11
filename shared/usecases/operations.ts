import { LIST_LIMIT_DEFAULT, toTimestamp } from '../contracts/primitives.ts';
import { conflict, notFound } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { operationId } from '../domain/ids.ts';
import {
  decideCancel,
  decidePause,
  decideRedrive,
  decideResume,
  etaSeconds,
  partsOf,
  pauseEndMs,
} from '../domain/operation.ts';
import type { Controlled, ControlRefusal } from '../domain/operation.ts';
import { resourcesOf } from '../domain/operation-resources.ts';
import type { OperationPart, OperationRecord } from '../domain/records.ts';
import { assertNever, err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Deps, Principal } from '../ports.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { changeOperation } from './operation-runs.ts';
import { startExecution } from './start-operation.ts';
import type { UseCase } from './types.ts';

/** Operations as a resource: shown, listed, and controlled from outside (DESIGN section 7). */

/**
 * Pages of the store that one page of a filtered list may read: with the default limit it looks at the newest 1,000 operations. A filter that
 * matches little answers a short page, or an empty one, and a cursor that goes on with older ones.
 */
const FILTER_PAGES_MAX = 10;
/** Attempts of one request against the operation's own saves: each loss means that a step got through. */
const ATTEMPTS_MAX = 8;
const CONFLICT_PAUSE_MS = 20;

/** An operation as the API shows it. */
export function shownOperation(operation: OperationRecord) {
  return {
    operation_id: operation.operationId,
    type: operation.type,
    status: operation.status,
    outcome: operation.outcome,
    progress: operation.progress,
    eta_seconds: etaSeconds(operation),
    waiting_on: waitingOn(operation),
    paused_until: operation.control === 'PAUSE' ? toTimestamp(pauseEndMs(operation)) : null,
    plan: operation.plan,
    control: operation.control,
    run: operation.run,
    parent_id: operation.parentId,
    resources: [...resourcesOf(operation)],
    cancellable: operation.cancellable,
    steps: operation.steps.map((step) => ({ name: step.name, at: toTimestamp(step.atMs), detail: step.detail })),
    created_by: operation.createdBy,
    created_at: toTimestamp(operation.createdAtMs),
    updated_at: toTimestamp(operation.updatedAtMs),
    execution_arn: operation.executionArn,
    error: operation.error,
  };
}

/** A paused operation waits for whoever paused it, or for the end of its pause. */
function waitingOn(operation: OperationRecord): string | null {
  if (operation.status !== 'PAUSED') return operation.waitingOn;
  return `it is paused: resume or cancel it, or it goes on by itself at ${toTimestamp(pauseEndMs(operation))}`;
}

export const getOperation: UseCase<'getOperation'> = async (deps, _principal, { params }) => {
  const stored = await deps.records.get('operation', { operationId: operationId(params.operation_id) });
  return stored === null ? err(operationNotFound(params.operation_id)) : ok(shownOperation(stored.value));
};

export const listOperations: UseCase<'listOperations'> = async (deps, _principal, { query }) => {
  const cursor = decodeCursor(query.cursor);
  if (!cursor.ok) return cursor;
  const limit = query.limit ?? LIST_LIMIT_DEFAULT;
  // Parts that are operations bear ids that start with their parent's: they are a range of the list.
  const range = query.parent_id === undefined ? {} : partsOf(operationId(query.parent_id));
  const operations: OperationRecord[] = [];
  let next: string | null = cursor.value;
  for (let page = 0; page < FILTER_PAGES_MAX; page++) {
    const answer = await deps.records.query('operation', {
      partition: {},
      ...range,
      order: 'backward', // ids are time-ordered: newest first
      limit: limit - operations.length,
      ...(next === null ? {} : { after: next }),
    });
    operations.push(
      ...answer.items
        .map((stored) => stored.value)
        .filter((operation) => query.status === undefined || operation.status === query.status)
        .filter((operation) => query.type === undefined || operation.type === query.type)
        .filter((operation) => query.parent_id === undefined || operation.parentId === query.parent_id)
        .filter((operation) => query.resource === undefined || resourcesOf(operation).includes(query.resource)),
    );
    next = answer.next;
    if (next === null || operations.length >= limit) break;
  }
  return ok({ operations: operations.map(shownOperation), next_cursor: encodeCursor(next) });
};

export const listOperationParts: UseCase<'listOperationParts'> = async (deps, _principal, { params, query }) => {
  const cursor = decodeCursor(query.cursor);
  if (!cursor.ok) return cursor;
  const id = operationId(params.operation_id);
  if ((await deps.records.get('operation', { operationId: id })) === null) return err(operationNotFound(id));
  const page = await deps.records.query('operationPart', {
    partition: { operationId: id },
    order: 'forward',
    limit: query.limit ?? LIST_LIMIT_DEFAULT,
    ...(cursor.value === null ? {} : { after: cursor.value }),
  });
  return ok({ parts: page.items.map(({ value }) => shownPart(value)), next_cursor: encodeCursor(page.next) });
};

const shownPart = (part: OperationPart) => ({
  number: part.number,
  value: part.value,
  status: part.status,
  child_id: part.childId,
  reason: part.reason,
  updated_at: toTimestamp(part.updatedAtMs),
});

export const pauseOperation: UseCase<'pauseOperation'> = (deps, principal, { params, body }) => {
  const nowMs = deps.clock.wallMs();
  const untilMs = body?.seconds === undefined ? null : nowMs + body.seconds * 1000;
  return control(deps, principal, params.operation_id, 'OPERATION_PAUSED', (operation) =>
    decidePause(operation, untilMs, nowMs),
  );
};

export const resumeOperation: UseCase<'resumeOperation'> = (deps, principal, { params }) =>
  control(deps, principal, params.operation_id, 'OPERATION_RESUMED', decideResume);

export const cancelOperation: UseCase<'cancelOperation'> = (deps, principal, { params }) =>
  control(deps, principal, params.operation_id, 'OPERATION_CANCELLED', decideCancel);

export const redriveOperation: UseCase<'redriveOperation'> = (deps, principal, { params }) =>
  control(deps, principal, params.operation_id, 'OPERATION_REDRIVEN', decideRedrive);

/** Loads, decides, saves; again when a step of the operation saved in between. */
async function control(
  deps: Deps,
  principal: Principal,
  id: string,
  action: string,
  decide: (operation: OperationRecord) => Result<Controlled, ControlRefusal>,
): Promise<Result<ReturnType<typeof shownOperation>, Fault>> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const stored = await deps.records.get('operation', { operationId: operationId(id) });
    if (stored === null) return err(operationNotFound(id));
    const decided = decide(stored.value);
    if (!decided.ok) return err(refused(stored.value, decided.error));
    const { next, start } = decided.value;
    if (next === null) return ok(shownOperation(stored.value));
    const changed = await changeOperation(deps, principal, stored, next, action);
    if (changed.ok) {
      if (start) await startExecution(deps, changed.value);
      return ok(shownOperation(changed.value));
    }
    await deps.timers.sleep(CONFLICT_PAUSE_MS * 2 ** attempt * (0.5 + deps.random.next()));
  }
  return err(conflict('CONFLICT', `Operation ${id} keeps changing. Send the request again.`, { retryAfterSeconds: 1 }));
}

function refused(operation: OperationRecord, { code }: ControlRefusal): Fault {
  const { operationId: id, status } = operation;
  const facts = { detail: { operation_id: id, status } };
  switch (code) {
    case 'OPERATION_ENDED':
      return conflict(code, `Operation ${id} has ended (${status}); there is nothing to control any more.`, facts);
    case 'NOT_PAUSED':
      return conflict(code, `Operation ${id} is ${status} and not asked to pause; only a paused one resumes.`, facts);
    case 'NOT_CANCELLABLE':
      return conflict(
        code,
        operation.control === 'CANCEL'
          ? `Operation ${id} is being cancelled; wait for its end.`
          : `Operation ${id} has passed the point up to which it can be undone; wait for its end.`,
        facts,
      );
    case 'NOT_FAILED':
      return conflict(code, `Operation ${id} is ${status}; only a FAILED one is redriven.`, facts);
    default:
      return assertNever(code);
  }
}

const operationNotFound = (id: string): Fault =>
  notFound('OPERATION_NOT_FOUND', `There is no operation ${id}. List operations with GET /operations.`);
