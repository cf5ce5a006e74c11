import type { NodeReport } from '../../../shared/contracts/node/heartbeat.ts';
import { inSyncReplicas } from '../../../shared/domain/shard.ts';
import type { ShardDescriptor } from '../../../shared/domain/shard.ts';
import { fenceNode } from '../../../shared/usecases/fence-node.ts';
import { registerNode } from '../../../shared/usecases/nodes.ts';
import { SYSTEM } from '../../../shared/usecases/principal.ts';
import { report } from '../../../shared/usecases/reports.ts';
import { splitShard } from '../../../shared/usecases/split-shard.ts';
import { ADMIN, nodePrincipal, registrationOf } from '../../support/use-case-world.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';
import { checkHistory } from '../../support/world-checks.ts';
import { reportAsLeader } from '../move-scenario.ts';
import {
  createdTable,
  expectAnswer,
  expectThat,
  onlyShard,
  openOperations,
  shardsOf,
  ticksOff,
} from '../scenario-kit.ts';
import { mergeNeighbours } from '../structure-scenarios.ts';
import { rebalanceLeaders } from '../wave-scenarios.ts';
import { reportedBy, untilDone } from './attempts.ts';
import type { Story } from './stories.ts';

/** Ways that operations and reports seldom take. */

const STEP_FORGOTTEN_MS = 65_000;
/** Shards that a new table's page gets, and with which it is full (store/directory-pages.ts). */
const FILLED_SHARDS = 48;
const PAGE_SHARDS = 64;
const SILENCE_MS = 20_000;
const ROUNDS_MAX = 60;

const numberOf = (node: string): number => Number(node.slice('node-'.length));
const forgotten = (world: MortalWorld): Promise<void> => world.base.deps.timers.sleep(STEP_FORGOTTEN_MS);

async function split(world: MortalWorld, { shardId }: ShardDescriptor, split_key: string): Promise<void> {
  const input = { params: { shard_id: shardId }, query: {}, body: { split_key } };
  const answer = await world.request('splitShard', `key-split-${split_key}`, input, splitShard);
  expectAnswer(answer, 'SHARD_BUSY', 'INVALID_KEY');
}

/** The page of a shard is full: it is split first (S4). */
const fullPage: Story = {
  name: 'a split in a full page',
  prepare: async (world) => {
    await ticksOff(world);
    const pre_split = Array.from({ length: FILLED_SHARDS - 1 }, (_, index) => `b${String(index).padStart(2, '0')}`);
    await createdTable(world, { pre_split, replication_factor: 1 });
    const shards = await shardsOf(world);
    for (const shard of shards.slice(1, PAGE_SHARDS - FILLED_SHARDS + 1))
      await split(world, shard, `${shard.startKey}m`);
    await world.until(async () => (await openOperations(world)) === 0);
  },
  act: async (world) => {
    const [shard] = await shardsOf(world);
    if (shard !== undefined) await split(world, shard, 'a');
    await world.until(async () => (await openOperations(world)) === 0);
    return [];
  },
  moveOn: forgotten,
  judge: async (world) => {
    const shards = await shardsOf(world);
    return [
      ...checkHistory(world.base.committed, world.receipts),
      ...world.copies.orphans(shards),
      ...world.copies.missing(shards),
      ...expectThat(shards.length === PAGE_SHARDS + 1, `${shards.length} shards`),
    ];
  },
};

/** Leaders give their receipts when they beat again: the operation waits for them. */
const lateLeaders: Story = {
  name: 'a rebalance of leaders that answer late',
  prepare: async (world) => {
    await ticksOff(world);
    await rebalanceLeaders.prepare?.(world);
  },
  act: async (world) => {
    world.silenceNodes(SILENCE_MS);
    await rebalanceLeaders.request(world);
    await world.until(async () => (await openOperations(world)) === 0);
    return [];
  },
  moveOn: (world) => world.base.deps.timers.sleep(15_000),
  judge: async (world) => [
    ...checkHistory(world.base.committed, world.receipts),
    ...(await rebalanceLeaders.outcome(world)),
  ],
};

const followers = new WeakMap<MortalWorld, number>();

/** A follower's node comes back empty: its leader asks for a copy to fill (R4). */
const wipedFollower: Story = {
  name: 'a follower that was wiped',
  prepare: async (world) => {
    await ticksOff(world);
    await createdTable(world, { replication_factor: 3 });
    const { leader, replicas } = await onlyShard(world);
    const follower = numberOf(replicas.find(({ nodeId }) => nodeId !== leader.nodeId)?.nodeId ?? '');
    followers.set(world, follower);
    if ((await fenceNode(world.base.deps, SYSTEM('detector'), await world.base.liveness(follower))) === null)
      throw new Error('it was not fenced');
    const body = { ...registrationOf(follower), incarnation: 'inc-anew', store_uuid: 'store-anew' };
    const anew = await world.base.call('registerNode', registerNode, { body }, ADMIN);
    if (!anew.ok) throw new Error(anew.error.message);
  },
  act: async (world) => {
    const node = `node-${followers.get(world) ?? 0}`;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const shard = await onlyShard(world);
      const copy = shard.replicas.find(({ nodeId }) => nodeId === node);
      const { nodeEpoch, storeUuid } = await world.base.liveness(numberOf(node));
      if (copy?.syncStatus === 'IN_SYNC' && copy.nodeEpoch === nodeEpoch) return [];
      const of = {
        shard_id: shard.shardId,
        epoch: shard.epoch,
        generation: shard.generation,
        replica_id: copy?.replicaId ?? '',
        node_epoch: nodeEpoch,
        store_uuid: storeUuid,
      };
      const missing: NodeReport = { type: 'missing_replica', ...of };
      await reportedBy(world, numberOf(shard.leader.nodeId), [missing]);
      const sync_status = copy?.syncStatus === 'IN_SYNC' ? ('LAGGING' as const) : ('IN_SYNC' as const);
      await reportAsLeader(world, shard, { type: 'replica_status', ...of, sync_status });
      await world.base.deps.timers.sleep(2_000);
    }
    return ['the copy was not filled'];
  },
  moveOn: (world) => world.base.deps.timers.sleep(2_000),
  judge: async (world) => {
    const shard = await onlyShard(world);
    return [
      ...checkHistory(world.base.committed, world.receipts),
      ...world.copies.missing([shard]),
      ...expectThat(inSyncReplicas(shard).length === 3, `${inSyncReplicas(shard).length} copies in sync`),
    ];
  },
};

/** A copy that was away while its shard was merged asks for it: it is told that the range went on in another shard (S2). */
const absorbed: Story = {
  name: 'a copy of a shard that was merged',
  prepare: async (world) => {
    await ticksOff(world);
    await mergeNeighbours.prepare?.(world);
  },
  act: async (world) => {
    const [, right] = await shardsOf(world);
    if (right === undefined) return ['there is no right shard'];
    await mergeNeighbours.request(world);
    await world.until(async () => (await openOperations(world)) === 0);
    const node = numberOf(right.leader.nodeId);
    const log = { last_epoch: 1, last_seq: 42, intact: true };
    const silent: NodeReport = {
      type: 'silent_leader',
      shard_id: right.shardId,
      epoch: right.epoch,
      generation: right.generation,
      replica_id: right.leader.replicaId,
      store_uuid: `store-${node}`,
      silent_ms: 9_000,
      log,
      begins: { table_id: right.tableId, start_key: right.startKey },
    };
    let told = '';
    await untilDone(world, 'api-report', async (deps) => {
      const body = { node_epoch: 1, incarnation: `inc-${node}`, reports: [silent] };
      const answer = await report(deps, nodePrincipal(node), { params: { node_id: `node-${node}` }, query: {}, body });
      told = answer.ok ? JSON.stringify(answer.value) : '';
      return answer.ok;
    });
    return expectThat(told.includes('SHARD_ABSORBED'), `it was told ${told}`);
  },
  moveOn: forgotten,
  judge: async (world) => [
    ...checkHistory(world.base.committed, world.receipts),
    ...(await mergeNeighbours.outcome(world)),
  ],
};

export const rareWays: readonly Story[] = [fullPage, lateLeaders, wipedFollower, absorbed];
