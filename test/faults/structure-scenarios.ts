import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { mergeShards } from '../../shared/usecases/merge-shards.ts';
import { splitShard } from '../../shared/usecases/split-shard.ts';
import type { MortalWorld } from '../support/mortal-world.ts';
import { proposeAllCopies, reportAsLeader } from './move-scenario.ts';
import { createdTable, expectAnswer, expectApplied, expectThat, saga, shardsOf, tableOf } from './scenario-kit.ts';

/** Splits and merges under faults: a key that is named and one that the leader finds; copies that lie together and apart. */

const PRE_SPLIT = ['h'];

const bounds = (shards: readonly ShardDescriptor[]): string =>
  shards.map(({ startKey, epoch }) => `${startKey}/${epoch}`).join(' ');

async function expectShardCount(world: MortalWorld, count: number): Promise<string[]> {
  const counted = (await tableOf(world))?.shardCount;
  return expectThat(counted === count, `the table counts ${counted} shards, not ${count}`);
}

async function askForSplit(world: MortalWorld, body: { split_key?: string }): Promise<void> {
  const [shard] = await shardsOf(world);
  const input = { params: { shard_id: shard?.shardId ?? '' }, query: {}, body };
  // A request that is sent again meets its own effect: the shard is being split, or ends at the key.
  expectAnswer(await world.request('splitShard', 'key-split', input, splitShard), 'SHARD_BUSY', 'INVALID_KEY');
}

export const splitAtNamedKey = saga({
  prepare: (world) => createdTable(world, { pre_split: PRE_SPLIT, replication_factor: 3 }),
  request: (world) => askForSplit(world, { split_key: 'd' }),
  outcome: async (world) => {
    const found = bounds(await shardsOf(world));
    return [
      ...expectThat(found === '/1 d/2 h/1', `shards ${found}`),
      ...(await expectShardCount(world, 3)),
      ...(await expectApplied(world, 'split-shard', 1)),
    ];
  },
});

export const splitAtFoundKey = saga({
  prepare: (world) => createdTable(world, { replication_factor: 3 }),
  request: (world) => askForSplit(world, {}),
  // The leader samples its rows and names a key.
  tend: async (world) => {
    for (const shard of await shardsOf(world)) {
      const { state, shardId, epoch, generation } = shard;
      if (state.kind !== 'SPLITTING' || state.splitKey !== null) continue;
      const { operationId: operation_id } = state;
      await reportAsLeader(world, shard, {
        type: 'split_key',
        shard_id: shardId,
        epoch,
        generation,
        operation_id,
        split_key: 'k',
      });
    }
  },
  outcome: async (world) => {
    const found = bounds(await shardsOf(world));
    return [
      ...expectThat(found === '/1 k/2', `shards ${found}`),
      ...(await expectShardCount(world, 2)),
      ...(await expectApplied(world, 'split-shard', 1)),
    ];
  },
});

async function askForMerge(world: MortalWorld): Promise<void> {
  const [left, right] = await shardsOf(world);
  if (left === undefined) throw new Error('no shard');
  // Named: a request that is sent again meets its own effect, the neighbour is absorbed or being so.
  const body = { with_shard_id: right?.shardId ?? '' };
  const input = { params: { shard_id: left.shardId }, query: {}, body };
  const answer = await world.request('mergeShards', 'key-merge', input, mergeShards);
  expectAnswer(answer, 'SHARD_BUSY', 'SHARD_NOT_FOUND', 'PLAN_STALE');
}

async function merged(world: MortalWorld): Promise<string[]> {
  const shards = await shardsOf(world);
  return [
    ...expectThat(shards.length === 1, `${shards.length} shards`),
    ...expectThat(shards[0]?.startKey === '' && shards[0].endKey === null, 'the merged shard does not hold all keys'),
    ...(await expectShardCount(world, 1)),
    ...(await expectApplied(world, 'merge-shards', 1)),
  ];
}

export const mergeNeighbours = saga({
  prepare: (world) => createdTable(world, { pre_split: PRE_SPLIT, replication_factor: 3 }),
  request: askForMerge,
  outcome: merged,
});

/** One copy of each, on different nodes: a move comes first. */
export const mergeApart = saga({
  prepare: (world) => createdTable(world, { pre_split: PRE_SPLIT, replication_factor: 1 }),
  request: askForMerge,
  tend: proposeAllCopies,
  outcome: merged,
  // Moves that were made stay; the bounds are as before, and nothing is lost.
  undone: async (world, before) => {
    const shards = await shardsOf(world);
    const same = shards.map(({ shardId, startKey }) => `${shardId}@${startKey}`).join();
    const old = before.shards.map(({ shardId, startKey }) => `${shardId}@${startKey}`).join();
    return [
      ...expectThat(same === old, `shards ${same}, before ${old}`),
      ...expectThat(
        shards.every(({ replicas }) => replicas.length === 1),
        'a shard has not one copy',
      ),
    ];
  },
});
