import { decideResume, hasEnded, nextRun, pauseEndMs } from '../domain/operation.ts';
import type { OperationRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Deps, Principal, RecordConflict, Stored } from '../ports.ts';
import { openOperations } from './open-operations.ts';
import { principalName } from './principal.ts';
import { startExecution } from './start-operation.ts';

/** Executions of operations: a new one where the last is lost (ADR 0006). */

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
 * last is gone, and where a pause is over. Returns how many were started.
 */
export async function continueOpen(
  deps: Deps,
  by: Principal,
  isDue: (operation: OperationRecord, nowMs: number) => boolean,
): Promise<number> {
  let started = 0;
  for await (const operation of openOperations(deps)) {
    if (!isDue(operation.value, deps.clock.wallMs())) continue;
    try {
      if (await ensureExecution(deps, by, operation)) started++;
    } catch (error) {
      // One operation that can't be looked at never holds up the others.
      deps.log.warn('operation-not-continued', { operationId: operation.value.operationId, message: String(error) });
    }
  }
  return started;
}

/** True if an execution was started. */
async function ensureExecution(deps: Deps, by: Principal, stored: Stored<'operation'>): Promise<boolean> {
  const operation = stored.value;
  if (hasEnded(operation)) return false;
  if (operation.status === 'PAUSED') return endPause(deps, by, stored);
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

/** Resumes an operation whose pause is over, unless it is a part that rests with its parent. True if an execution was started. */
async function endPause(deps: Deps, by: Principal, stored: Stored<'operation'>): Promise<boolean> {
  const operation = stored.value;
  if (deps.clock.wallMs() < pauseEndMs(operation) || (await restsWithParent(deps, operation))) return false;
  const resumed = decideResume(operation);
  if (!resumed.ok || resumed.value.next === null) return false;
  const changed = await changeOperation(deps, by, stored, resumed.value.next, 'OPERATION_PAUSE_EXPIRED');
  if (!changed.ok) return false; // somebody resumed or prolonged it just now
  await startExecution(deps, changed.value);
  return true;
}

async function restsWithParent(deps: Deps, { parentId }: OperationRecord): Promise<boolean> {
  if (parentId === null) return false;
  const parent = await deps.records.get('operation', { operationId: parentId });
  return parent !== null && !hasEnded(parent.value) && parent.value.control === 'PAUSE';
}
