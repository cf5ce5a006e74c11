import { decodeKey } from '../../shared/domain/keys.ts';
import type { TableName } from '../../shared/domain/ids.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { SplitParts } from '../../shared/domain/split.ts';
import type { Change, Deps, LocatedShard, Stored } from '../../shared/ports.ts';
import { ownershipWrites } from '../../shared/usecases/descriptor-change.ts';
import { principalName, SYSTEM } from '../../shared/usecases/principal.ts';
import { loadOperation, saveOperation } from '../step.ts';
import { stateJson } from './work.ts';
import type { Work } from './work.ts';

/** The two commits of split-shard that change more than its own record. */

/** Attempts of the table's count of shards, which splits of one table all change. */
const COUNT_ATTEMPTS_MAX = 10;

const BY = SYSTEM('operation');

/** One attempt: throws if the shard, its page or the operation changed meanwhile, and the state machine runs the step again. */
export async function commitParts(
  deps: Deps,
  work: Work,
  located: LocatedShard,
  { parent, child }: SplitParts,
): Promise<'COMMITTED' | 'AGAIN'> {
  const audit = { principal: principalName(BY), action: 'SHARD_SPLIT' };
  const change = await deps.directory.splitWrites(located, { parent, child }, audit);
  if (change === 'RACED') return 'AGAIN';
  if (change === 'PAGE_FULL') {
    await deps.directory.makeRoom(located.page, { ...audit, action: 'PAGE_SPLIT' });
    return 'AGAIN';
  }
  const detail = {
    operation_id: work.operation.value.operationId,
    parent: parent.shardId,
    child: child.shardId,
    split_key: child.startKey,
    table: parent.table,
  };
  const entryOf = (shard: ShardDescriptor) => ({
    entity: `shard:${shard.shardId}`,
    number: shard.generation,
    ...audit,
    detail: { ...detail, epoch: shard.epoch, leader: shard.leader.nodeId },
  });
  await saveOperation(
    deps,
    work.operation,
    {
      state: stateJson({ ...work.state, phase: 'apply', childShardId: child.shardId }),
      plan: { parent: parent.shardId, child: child.shardId, split_key: decodeKey(child.keyType, child.startKey) },
      waitingOn: null,
      cancellable: false,
    },
    { name: 'commit', detail: `child ${child.shardId}` },
    {
      writes: [...change.writes, ...ownershipWrites(deps, located.shard, parent)],
      audit: [...change.audit, entryOf(parent), entryOf(child)],
      events: [{ eventType: 'SHARD_SPLIT', payload: detail }],
    },
  );
  return 'COMMITTED';
}

/** Counts the child in its table. All splits of a table change that record: a lost race is repeated. */
export async function countChild(deps: Deps, table: TableName, operation: Stored<'operation'>): Promise<void> {
  const { operationId } = operation.value;
  for (let attempt = 0; attempt < COUNT_ATTEMPTS_MAX; attempt++) {
    const found = await deps.records.get('table', { table });
    if (found === null) return endApplied(deps, operation, {});
    const value = { ...found.value, shardCount: found.value.shardCount + 1 };
    const outcome = await endApplied(deps, operation, {
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

async function endApplied(deps: Deps, operation: Stored<'operation'>, also: Partial<Change>): Promise<void> {
  const { total, unit } = operation.value.progress;
  await saveOperation(
    deps,
    operation,
    { status: 'SUCCEEDED', outcome: 'APPLIED', waitingOn: null, progress: { done: total, total, unit } },
    { name: 'finish', detail: 'split' },
    also,
  );
}
