import { encodedKey, tableId, tableName } from '../../shared/domain/ids.ts';
import type { EncodedKey, TableId, TableName } from '../../shared/domain/ids.ts';
import type { TableRecord } from '../../shared/domain/records.ts';
import type { Deps, Stored } from '../../shared/ports.ts';
import {
  ACKNOWLEDGED,
  DONE,
  endRolledBack,
  endWait,
  failWith,
  fieldsOf,
  loadOperation,
  saveOperation,
  TERMINAL,
  textOf,
} from '../step.ts';
import type { OperationMachine, OperationPatch, StepFunction, StepInput } from '../step.ts';
import { removalDrafts, removeTold, sendAndWait } from '../table-shards.ts';

/**
 * delete-table: for each batch: tell the nodes to remove their replicas, then remove the shards from the directory; last the table
 * record. The request made the table DELETING, so that nobody is routed to it any more.
 */

interface Work {
  readonly operation: Stored<'operation'>;
  readonly table: TableName;
  readonly tableId: TableId;
  /** Nodes were told of the shards below this key; null: of all. Absent before the first batch. */
  readonly told: EncodedKey | null | undefined;
}

async function load(deps: Deps, input: StepInput): Promise<Work | 'ENDED'> {
  const operation = await loadOperation(deps, input.operationId);
  if (TERMINAL.has(operation.value.status)) return 'ENDED';
  const request = fieldsOf(operation.value.input);
  const { told } = fieldsOf(operation.value.state);
  return {
    operation,
    table: tableName(textOf(request, 'table')),
    tableId: tableId(textOf(request, 'table_id')),
    told: typeof told === 'string' ? encodedKey(told) : told === null ? null : undefined,
  };
}

/** Waits until the live nodes removed the replicas of the next batch. Nodes that are down find the command in their mailbox. */
const removeReplicas: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  if (work === 'ENDED') return endWait(deps, input);
  const stored = await deps.records.get('table', { table: work.table });
  if (stored?.value.tableId === work.tableId && stored.value.operationId !== input.operationId) {
    await saveOperation(deps, work.operation, takenOver(stored.value), {
      name: 'remove-replicas',
      detail: 'taken over',
    });
    return endWait(deps, input);
  }
  const { told, toLive, toDown } = await removalDrafts(deps, work.tableId);
  await saveOperation(
    deps,
    work.operation,
    {
      // From here on replicas disappear: saved before the first command, so that a cancel is either obeyed or refused.
      cancellable: false,
      state: { told: told === 'NONE_LEFT' ? null : told },
      waitingOn: toLive.length === 0 ? null : `removal of ${toLive.length} replicas`,
    },
    { name: 'remove-replicas', detail: `${toLive.length + toDown.length} replicas` },
  );
  await deps.commands.send(toDown);
  await sendAndWait(deps, input, toLive);
  return ACKNOWLEDGED;
};

const removeShards: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  if (work === 'ENDED') return DONE;
  if (work.told === undefined) return { next: 'remove-replicas' };
  const removed = await removeTold(deps, work.tableId, work.told, 'SHARD_REMOVED');
  const { done, total, unit } = work.operation.value.progress;
  await saveOperation(
    deps,
    work.operation,
    { waitingOn: null, progress: { done: Math.min(total, done + removed), total, unit } },
    { name: 'remove-shards', detail: `${removed} shards` },
  );
  const left = await deps.directory.scan(work.tableId, { fromKey: encodedKey(''), limit: 1 });
  return { next: left.shards.length === 0 ? 'finish' : 'remove-replicas' };
};

const finish: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  if (work === 'ENDED') return DONE;
  const { total, unit } = work.operation.value.progress;
  const stored = await deps.records.get('table', { table: work.table });
  const ours =
    stored !== null &&
    stored.value.tableId === work.tableId &&
    stored.value.operationId === work.operation.value.operationId;
  await saveOperation(
    deps,
    work.operation,
    { status: 'SUCCEEDED', outcome: 'APPLIED', waitingOn: null, progress: { done: total, total, unit } },
    { name: 'finish', detail: `table ${work.table} is gone` },
    ours
      ? {
          writes: [
            {
              kind: 'delete',
              entity: 'table',
              id: { table: work.table },
              when: [{ kind: 'revision', is: stored.revision }],
            },
          ],
          audit: [
            {
              entity: `table:${work.tableId}`,
              number: stored.revision + 1,
              action: 'TABLE_REMOVED',
              principal: 'system:operation',
              detail: { table: work.table },
            },
          ],
        }
      : {},
  );
  return DONE;
};

/** A deletion that failed and was asked for anew before it was redriven: the newer operation has the table. */
const takenOver = ({ table, operationId }: TableRecord): OperationPatch => ({
  status: 'FAILED',
  waitingOn: null,
  error: { code: 'TABLE_TAKEN_OVER', message: `Operation ${operationId} works on table ${table} now; see there.` },
});

/** Cancelled before the first replica went: the table serves again. */
const rollBack: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  if (work === 'ENDED') return DONE;
  const stored = await deps.records.get('table', { table: work.table });
  const ours =
    stored !== null &&
    stored.value.tableId === work.tableId &&
    stored.value.operationId === work.operation.value.operationId;
  await endRolledBack(
    deps,
    work.operation,
    UNFINISHED,
    ours
      ? {
          writes: [
            {
              kind: 'put',
              entity: 'table',
              value: { ...stored.value, state: 'ACTIVE' },
              when: [{ kind: 'revision', is: stored.revision }],
            },
          ],
          audit: [
            {
              entity: `table:${work.tableId}`,
              number: stored.revision + 1,
              action: 'TABLE_ACTIVE',
              principal: 'system:operation',
              detail: { table: work.table },
            },
          ],
        }
      : {},
  );
  return DONE;
};

const UNFINISHED = {
  code: 'STEP_FAILED',
  message: 'Redrive the operation, or delete the table again.',
};

/** A deletion that can't finish ends FAILED with its reason; the table stays DELETING, and a redrive or another deletion goes on from there. */
const fail = failWith(UNFINISHED);

export const machine: OperationMachine = {
  steps: {
    'remove-replicas': removeReplicas,
    'remove-shards': removeShards,
    finish,
    'roll-back': rollBack,
    fail,
  },
  answers: {
    'remove-replicas': ['acknowledged'],
    'remove-shards': ['remove-replicas', 'finish'],
  },
  // What was told to nodes is told again: it finds what is left, and ends the deletion when nothing is.
  resume: () => 'remove-replicas',
};
