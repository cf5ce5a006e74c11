import { hasEnded, nextRun } from '../domain/operation.ts';
import type { OperationRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Deps, Principal, RecordConflict, Stored } from '../ports.ts';
import { principalName } from './principal.ts';
import { startExecution } from './start-operation.ts';

/** Executions of operations: a new one where the last is lost (ADR 0006). */

/** Operations that have not ended: structural ones are bounded by the shards, and most wait for their turn inside a parent. */
const OPEN_PAGE = 500;
/** Pages of one pass: 10,000 open operations; a pass that finds more says so, and the next one finds those that are left. */
const OPEN_PAGES_MAX = 20;

/** Saves a change of an operation that is not a step's own, audited; conditional on the revision that was read. */
export async function changeOperation(
  deps: Deps,
  by: Principal,
  stored: Stored<'operation'>,
  next: OperationRecord,
  action: string,
): Promise<Result<OperationRecord, RecordConflict>> {
  const { operationId } = next;
  const value: OperationRecord = { ...next, updatedAtMs: deps.clock.wallMs() };
  const reopened = hasEnded(stored.value) && !hasEnded(value);
  const committed = await deps.records.commit({
    writes: [
      { kind: 'put', entity: 'operation', value, when: [{ kind: 'revision', is: stored.revision }] },
      ...(reopened
        ? [{ kind: 'put' as const, entity: 'openOperation' as const, value: { operationId }, when: ABSENT }]
        : []),
    ],
    audit: [
      {
        entity: `operation:${operationId}`,
        number: stored.revision + 1,
        action,
        principal: principalName(by),
        detail: { status: value.status, control: value.control, run: value.run },
      },
    ],
    events: [],
  });
  return committed.ok ? ok(value) : err(committed.error);
}

const ABSENT = [{ kind: 'absent' as const }];

/**
 * Gives every open operation for which `isDue` holds a living execution: starts one that was never started, and the next one where the
 * last is gone. Returns how many were started.
 */
export async function continueOpen(
  deps: Deps,
  by: Principal,
  isDue: (operation: OperationRecord, nowMs: number) => boolean,
): Promise<number> {
  let started = 0;
  let after: string | undefined;
  for (let page = 0; page < OPEN_PAGES_MAX; page++) {
    const open = await deps.records.query('openOperation', {
      partition: {},
      order: 'forward',
      limit: OPEN_PAGE,
      ...(after === undefined ? {} : { after }),
    });
    const stored = await deps.records.getMany(
      'operation',
      open.items.map(({ value }) => ({ operationId: value.operationId })),
    );
    const nowMs = deps.clock.wallMs();
    for (const operation of stored) {
      if (operation === null || !isDue(operation.value, nowMs)) continue;
      try {
        if (await ensureExecution(deps, by, operation)) started++;
      } catch (error) {
        // One operation that can't be looked at never holds up the others.
        deps.log.warn('operation-not-continued', { operationId: operation.value.operationId, message: String(error) });
      }
    }
    if (open.next === null) return started;
    after = open.next;
  }
  deps.log.warn('open-operations-left-over', { seen: OPEN_PAGE * OPEN_PAGES_MAX });
  return started;
}

/** True if an execution was started. */
async function ensureExecution(deps: Deps, by: Principal, stored: Stored<'operation'>): Promise<boolean> {
  const operation = stored.value;
  if (hasEnded(operation) || operation.status === 'PAUSED') return false;
  const { type, operationId, run } = operation;
  if (await deps.operations.isRunning(type, operationId, run)) return false;
  // Never begun: the start of this very run was lost, unless the execution ended before its first step.
  if (operation.runSteps === 0 && operation.executionArn === null) await startExecution(deps, operation);
  if (await deps.operations.isRunning(type, operationId, run)) return true;
  const changed = await changeOperation(deps, by, stored, nextRun(operation), 'OPERATION_CONTINUED');
  if (!changed.ok) return false; // it moves after all, or somebody else was first
  await startExecution(deps, changed.value);
  return true;
}
