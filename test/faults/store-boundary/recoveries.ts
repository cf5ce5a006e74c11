import type { WireRecoveryPlan } from '../../../shared/contracts/api/recovery.ts';
import type { NodeReport } from '../../../shared/contracts/node/heartbeat.ts';
import { inSyncReplicas } from '../../../shared/domain/shard.ts';
import type { ShardDescriptor } from '../../../shared/domain/shard.ts';
import { clusterHealth } from '../../../shared/usecases/cluster-health.ts';
import { sweepFencedNode } from '../../../shared/usecases/fail-over.ts';
import { fenceNode } from '../../../shared/usecases/fence-node.ts';
import { registerNode } from '../../../shared/usecases/nodes.ts';
import { SYSTEM } from '../../../shared/usecases/principal.ts';
import { setRebalanceConfig } from '../../../shared/usecases/rebalance-config.ts';
import { closeRecovery, listRecoveries, recoverShards } from '../../../shared/usecases/recovery.ts';
import { deleteTable } from '../../../shared/usecases/tables.ts';
import { ADMIN, registrationOf } from '../../support/use-case-world.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';
import { checkHistory, valuesOf } from '../../support/world-checks.ts';
import { reportAsLeader } from '../move-scenario.ts';
import { createdTable, expectAnswer, expectThat, shardsOf, TABLE, tableOf, ticksOff } from '../scenario-kit.ts';
import { reportedBy, untilDone } from './attempts.ts';
import type { Story } from './stories.ts';

/**
 * Recovery by hand (E4), from the plan to its closing: two of three nodes are lost. Shards that the third one leads go on alone (SHRINK); the
 * others, which it does not hold in sync, have an UNCLEAN election. Then the lost nodes come back, and the shards get their copies again.
 */

const FOUR_SHARDS = { pre_split: ['d', 'h', 'p'], replication_factor: 3 };
const WANTED_IN_SYNC = 2;
const ROUNDS_MAX = 60;
const ROUND_MS = 2_000;
/** Above every attestation that the nodes gave before they were lost. */
const ATTESTED_LATER = 1_000_000;

const numberOf = (node: string): number => Number(node.slice('node-'.length));
/** The node that is left: who leads the first shard at the beginning. */
const survivors = new WeakMap<MortalWorld, number>();
const survivorOf = (world: MortalWorld): number => survivors.get(world) ?? 0;
const lostOf = (world: MortalWorld): readonly number[] => world.nodes.filter((node) => node !== survivorOf(world));

async function loseTwoOfThree(world: MortalWorld): Promise<void> {
  const shards = await shardsOf(world);
  const survivor = numberOf(shards[0]?.leader.nodeId ?? '');
  survivors.set(world, survivor);
  for (const shard of shards) {
    const copy = shard.replicas.find(({ nodeId }) => numberOf(nodeId) === survivor);
    if (copy === undefined || copy.replicaId === shard.leader.replicaId) continue;
    await reportAsLeader(world, shard, { ...ofReplica(shard, copy), sync_status: 'LAGGING' });
  }
  const by = SYSTEM('detector');
  for (const node of lostOf(world)) {
    const fenced = await fenceNode(world.base.deps, by, await world.base.liveness(node));
    if (fenced === null) throw new Error(`node-${node} was not fenced`);
    await sweepFencedNode(world.base.deps, by, fenced);
  }
}

const ofReplica = (shard: ShardDescriptor, copy: ShardDescriptor['replicas'][number]) => ({
  type: 'replica_status' as const,
  shard_id: shard.shardId,
  epoch: shard.epoch,
  generation: shard.generation,
  replica_id: copy.replicaId,
  node_epoch: copy.nodeEpoch,
  store_uuid: copy.storeUuid,
});

/** The node that is left reports; it has kept its lease. */
const reported = (world: MortalWorld, reports: NodeReport[]): Promise<void> =>
  reportedBy(world, survivorOf(world), reports);

/** Where its logs end, of shards that it follows: what a plan is made from. */
async function logsTold(world: MortalWorld): Promise<void> {
  const reports = (await shardsOf(world)).flatMap((shard): NodeReport[] => {
    const copy = shard.replicas.find(({ nodeId }) => numberOf(nodeId) === survivorOf(world));
    if (copy === undefined || copy.replicaId === shard.leader.replicaId) return [];
    const { shard_id, epoch, generation, replica_id } = ofReplica(shard, copy);
    const log = { last_epoch: 1, last_seq: 42, intact: true };
    const store_uuid = `store-${survivorOf(world)}`;
    return [{ type: 'silent_leader', shard_id, epoch, generation, replica_id, store_uuid, silent_ms: 9_000, log }];
  });
  await reported(world, reports);
}

/** Plans, reads, applies: until nothing is left to plan. A plan whose application lost its answer is not made again. */
async function recovered(world: MortalWorld): Promise<void> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const dry = { params: {}, query: {}, body: { table: TABLE, dry_run: true } };
    const planned = await world.request('recoverShards', `key-plan-${round}`, dry, recoverShards);
    expectAnswer(planned);
    const { plans } = planned.body as { plans: WireRecoveryPlan[] };
    if (plans.length === 0) return;
    const input = { params: {}, query: {}, body: { plans, acknowledge_data_loss: true } };
    expectAnswer(await world.request('recoverShards', `key-apply-${round}`, input, recoverShards));
    await world.base.deps.timers.sleep(ROUND_MS);
  }
  throw new Error('plans come again and again');
}

const cameBack = (world: MortalWorld, node: number): Promise<void> =>
  untilDone(world, 'api-registerNode', async (deps) => {
    const attestation = { node_epoch: 1, counter: ATTESTED_LATER };
    const body = { ...registrationOf(node), incarnation: `inc-${node}b`, attestation };
    return (await registerNode(deps, ADMIN, { params: {}, query: {}, body })).ok;
  });

/** The leader fills the copies; the reconcile tick brings `min_in_sync` back. */
async function filled(world: MortalWorld): Promise<void> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const shards = await shardsOf(world);
    const isWhole = shards.every((one) => inSyncReplicas(one).length === 3 && one.minInSync === WANTED_IN_SYNC);
    if (isWhole) return;
    const reports: NodeReport[] = [];
    for (const shard of shards) {
      const copy = shard.replicas.find(({ syncStatus }) => syncStatus !== 'IN_SYNC');
      if (copy === undefined) continue;
      const { nodeEpoch, storeUuid } = await world.base.liveness(numberOf(copy.nodeId));
      const held = { node_epoch: nodeEpoch, store_uuid: storeUuid };
      reports.push({ ...ofReplica(shard, copy), ...held, sync_status: 'IN_SYNC' });
    }
    if (reports.length > 0) await reported(world, reports);
    await world.base.deps.timers.sleep(ROUND_MS);
  }
  throw new Error('the shards did not get their copies again');
}

/** Closed one by one, as the list has them. */
async function closed(world: MortalWorld): Promise<string[]> {
  const list = { params: {}, query: {}, body: undefined };
  const open = await world.request('listRecoveries', 'key-list', list, listRecoveries);
  expectAnswer(open);
  const { shards } = open.body as { shards: readonly { shard_id: string; kind: string }[] };
  for (const { shard_id } of shards) {
    const input = { params: { shard_id }, query: {}, body: { note: 'imported again' } };
    const answer = await world.request('closeRecovery', `key-close-${shard_id}`, input, closeRecovery);
    // Sent again, it meets its own effect.
    expectAnswer(answer, 'NOT_UNDER_RECOVERY');
  }
  // A forced shrink is closed by the tick that makes up for it.
  return shards.filter(({ kind }) => kind !== 'UNCLEAN').map((one) => `left to close by hand: ${JSON.stringify(one)}`);
}

async function openRecoveries(world: MortalWorld): Promise<number> {
  const page = await world.base.records.query('shardRecovery', { partition: {}, order: 'forward', limit: 10 });
  return page.items.length;
}

const untilClosed: Story = {
  name: 'recoveries',
  prepare: async (world) => {
    await ticksOff(world);
    // Nothing is copied elsewhere meanwhile: there is no elsewhere.
    await world.base.call('setRebalanceConfig', setRebalanceConfig, { body: { repair_after_seconds: 3_600 } });
    await createdTable(world, FOUR_SHARDS);
    await loseTwoOfThree(world);
  },
  act: async (world) => {
    await logsTold(world);
    await recovered(world);
    for (const node of lostOf(world)) await cameBack(world, node);
    const health = { params: {}, query: {}, body: undefined };
    expectAnswer(await world.request('clusterHealth', 'key-health', health, clusterHealth));
    await filled(world);
    return closed(world);
  },
  moveOn: (world) => world.base.deps.timers.sleep(15_000),
  judge: async (world) => {
    const kinds = valuesOf('shardRecovery', world.base.committed).map(({ kind }) => kind);
    const left = await openRecoveries(world);
    const shards = await shardsOf(world);
    return [
      ...checkHistory(world.base.committed, world.receipts),
      ...expectThat(kinds.includes('UNCLEAN') && kinds.includes('SHRINK'), `recoveries: ${kinds.join()}`),
      ...expectThat(left === 0, `${left} recoveries are open`),
      ...shards
        .filter((shard) => shard.dataLoss || shard.minInSync !== WANTED_IN_SYNC || inSyncReplicas(shard).length !== 3)
        .map((shard) => `not as it should be again: ${JSON.stringify(shard)}`),
    ];
  },
};

/** The table is deleted while its recoveries are open: the tick drops them. */
const tableDeleted: Story = {
  ...untilClosed,
  name: 'recoveries of a table that is deleted',
  act: async (world) => {
    await logsTold(world);
    await recovered(world);
    for (const node of lostOf(world)) await cameBack(world, node);
    const input = { params: { table: TABLE }, query: {}, body: undefined };
    const answer = await world.request('deleteTable', 'key-delete', input, deleteTable);
    expectAnswer(answer, 'TABLE_NOT_ACTIVE', 'TABLE_NOT_FOUND');
    for (let round = 0; round < ROUNDS_MAX; round++) {
      if ((await tableOf(world)) === null && (await openRecoveries(world)) === 0) return [];
      await world.base.deps.timers.sleep(ROUND_MS);
    }
    return ['recoveries of a table that is gone are open'];
  },
  judge: (world) => Promise.resolve(checkHistory(world.base.committed, world.receipts)),
};

export const recoveries: readonly Story[] = [untilClosed, tableDeleted];
