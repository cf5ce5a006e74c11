import { encodedKey, operationId, replicaId, shardId } from '../../shared/domain/ids.ts';
import { checkTiling } from '../../shared/domain/invariants.ts';
import { KEY_SPACE_START } from '../../shared/domain/keys.ts';
import { commitMerge } from '../../shared/domain/merge.ts';
import { inSyncReplicas } from '../../shared/domain/shard.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { commitSplit, splittingState } from '../../shared/domain/split.ts';
import type { LocatedShard } from '../../shared/ports.ts';
import type { StoreWorld } from './store.ts';
import { tiledTable } from './tiles.ts';

/** On whose behalf tests change the directory. */
export const by = { principal: 'system:test', action: 'TEST' };
const operation = operationId('op-1');
let named = 0;

/** Every shard of the table of tiles.ts. */
export const scanned = async (world: StoreWorld): Promise<readonly LocatedShard[]> =>
  (await world.directory.scan(tiledTable, { fromKey: KEY_SPACE_START, limit: 10_000 })).shards;

export const expectTiled = async (world: StoreWorld): Promise<void> => {
  const shards = (await scanned(world)).map(({ shard }) => shard);
  expect(checkTiling('cities', shards)).toEqual([]);
};

/** The parts of a split of `located` at `key`, as if its intent stood. */
export function partsOf(located: LocatedShard, key: string) {
  const childShardId = shardId(`child-${++named}`);
  const state = splittingState(located.shard, { operationId: operation, splitKey: encodedKey(key), childShardId }, () =>
    replicaId(`copy-${++named}`),
  );
  const shard: ShardDescriptor = { ...located.shard, state };
  const parts = commitSplit(shard, { operationId: operation, prepared: inSyncReplicas(shard), nowMs: 1 });
  if (!parts.ok) throw new Error(parts.error.code);
  return parts.value;
}

export async function split(
  world: StoreWorld,
  located: LocatedShard,
  key: string,
): Promise<'DONE' | 'PAGE_FULL' | 'RACED'> {
  const change = await world.directory.splitWrites(located, partsOf(located, key), by);
  if (typeof change === 'string') return change;
  const committed = await world.records.commit({ ...change, events: [] });
  return committed.ok ? 'DONE' : 'RACED';
}

/** The shard that two become, as if their intents stood and both sides were sealed. */
export function mergedOf(left: LocatedShard, right: LocatedShard): ShardDescriptor {
  const side = (shard: ShardDescriptor, which: 'LEFT' | 'RIGHT', other: ShardDescriptor): ShardDescriptor => ({
    ...shard,
    state: { kind: 'MERGING', operationId: operation, side: which, otherShardId: other.shardId },
  });
  const receipt = ({ leader, epoch, generation: at }: ShardDescriptor) => ({
    replicaId: leader.replicaId,
    epoch,
    generation: at,
    sealed: { epoch, seq: 1 },
  });
  const merged = commitMerge(side(left.shard, 'LEFT', right.shard), side(right.shard, 'RIGHT', left.shard), {
    operationId: operation,
    receipts: { left: receipt(left.shard), right: receipt(right.shard) },
    sinceGeneration: { left: 0, right: 0 },
    nowMs: 1,
  });
  if (!merged.ok) throw new Error(merged.error.code);
  return merged.value;
}

export async function merge(world: StoreWorld, left: LocatedShard, right: LocatedShard): Promise<'DONE' | 'RACED'> {
  const change = await world.directory.mergeWrites({ left, right }, mergedOf(left, right), by);
  if (typeof change === 'string') return change;
  const committed = await world.records.commit({ ...change, events: [] });
  return committed.ok ? 'DONE' : 'RACED';
}
