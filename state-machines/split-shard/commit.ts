import { decodeKey } from '../../shared/domain/keys.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { SplitParts } from '../../shared/domain/split.ts';
import type { Deps, LocatedShard } from '../../shared/ports.ts';
import { ownershipWrites } from '../../shared/usecases/descriptor-change.ts';
import { principalName, SYSTEM } from '../../shared/usecases/principal.ts';
import { saveOperation } from '../step.ts';
import { stateJson } from './work.ts';
import type { Work } from './work.ts';

/** The commit of split-shard. */

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
