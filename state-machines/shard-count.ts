import type { TableName } from '../shared/domain/ids.ts';
import type { Change, Deps, Stored } from '../shared/ports.ts';
import { principalName, SYSTEM } from '../shared/usecases/principal.ts';
import { loadOperation, saveOperation } from './step.ts';

/** The end of an operation that changed the number of a table's shards. */

/** Attempts of the table's count of shards, which splits and merges of one table all change. */
const COUNT_ATTEMPTS_MAX = 10;

const BY = SYSTEM('operation');

/** Ends the operation as applied, and counts what it added or took, in one commit. A lost race for the table's record is repeated. */
export async function endCounted(
  deps: Deps,
  table: TableName,
  operation: Stored<'operation'>,
  change: { readonly shards: 1 | -1; readonly detail: string },
): Promise<void> {
  const { operationId } = operation.value;
  for (let attempt = 0; attempt < COUNT_ATTEMPTS_MAX; attempt++) {
    const found = await deps.records.get('table', { table });
    // Deleted meanwhile, and perhaps made anew under its name: another table, whose count is right.
    if (found === null || found.value.createdAtMs > operation.value.createdAtMs)
      return endApplied(deps, operation, change.detail, {});
    const value = { ...found.value, shardCount: found.value.shardCount + change.shards };
    const outcome = await endApplied(deps, operation, change.detail, {
      writes: [{ kind: 'put', entity: 'table', value, when: [{ kind: 'revision', is: found.revision }] }],
      audit: [
        {
          entity: `table:${value.tableId}`,
          number: found.revision + 1,
          action: 'TABLE_SHARDS_COUNTED',
          principal: principalName(BY),
          detail: { shards: value.shardCount, operation_id: operationId },
        },
      ],
    }).then(
      () => 'ENDED' as const,
      (error: unknown) => error,
    );
    if (outcome === 'ENDED') return;
    const present = await loadOperation(deps, operationId);
    if (present.revision !== operation.revision || attempt === COUNT_ATTEMPTS_MAX - 1) throw outcome;
  }
}

async function endApplied(
  deps: Deps,
  operation: Stored<'operation'>,
  detail: string,
  also: Partial<Change>,
): Promise<void> {
  const { total, unit } = operation.value.progress;
  await saveOperation(
    deps,
    operation,
    { status: 'SUCCEEDED', outcome: 'APPLIED', waitingOn: null, progress: { done: total, total, unit } },
    { name: 'finish', detail },
    also,
  );
}
