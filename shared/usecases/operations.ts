import { LIST_LIMIT_DEFAULT, toTimestamp } from '../contracts/primitives.ts';
import { notFound } from '../domain/faults.ts';
import { operationId } from '../domain/ids.ts';
import type { OperationRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import type { UseCase } from './types.ts';

/** Pages of the store that one page of a filtered list may read: a filter that matches little answers a short page and a cursor. */
const FILTER_PAGES_MAX = 10;

function shown(operation: OperationRecord) {
  return {
    operation_id: operation.operationId,
    type: operation.type,
    status: operation.status,
    outcome: operation.outcome,
    progress: operation.progress,
    eta_seconds: etaSeconds(operation),
    waiting_on: operation.waitingOn,
    plan: null,
    steps: operation.steps.map((step) => ({ name: step.name, at: toTimestamp(step.atMs), detail: step.detail })),
    created_by: operation.createdBy,
    created_at: toTimestamp(operation.createdAtMs),
    updated_at: toTimestamp(operation.updatedAtMs),
    execution_arn: operation.executionArn,
    error: operation.error,
  };
}

/** Seconds left at the pace so far; null when it can't be told or the operation has ended. */
export function etaSeconds(operation: OperationRecord): number | null {
  const { done, total } = operation.progress;
  if (operation.status !== 'RUNNING' || done === 0 || total <= done) return null;
  const elapsedMs = operation.updatedAtMs - operation.createdAtMs;
  return Math.ceil(((elapsedMs / done) * (total - done)) / 1000);
}

export const getOperation: UseCase<'getOperation'> = async (deps, _principal, { params }) => {
  const stored = await deps.records.get('operation', { operationId: operationId(params.operation_id) });
  if (stored === null) {
    return err(
      notFound(
        'OPERATION_NOT_FOUND',
        `There is no operation ${params.operation_id}. List operations with GET /operations.`,
      ),
    );
  }
  return ok(shown(stored.value));
};

export const listOperations: UseCase<'listOperations'> = async (deps, _principal, { query }) => {
  const cursor = decodeCursor(query.cursor);
  if (!cursor.ok) return cursor;
  const limit = query.limit ?? LIST_LIMIT_DEFAULT;
  const operations: OperationRecord[] = [];
  let next: string | null = cursor.value;
  for (let page = 0; page < FILTER_PAGES_MAX; page++) {
    const answer = await deps.records.query('operation', {
      partition: {},
      order: 'backward', // ids are time-ordered: newest first
      limit: limit - operations.length,
      ...(next === null ? {} : { after: next }),
    });
    operations.push(
      ...answer.items
        .map((stored) => stored.value)
        .filter((operation) => query.status === undefined || operation.status === query.status)
        .filter((operation) => query.type === undefined || operation.type === query.type),
    );
    next = answer.next;
    if (next === null || operations.length >= limit) break;
  }
  return ok({ operations: operations.map(shown), next_cursor: encodeCursor(next) });
};
