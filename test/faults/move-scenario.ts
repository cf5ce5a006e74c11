import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { moveShard } from '../../shared/usecases/move-replica.ts';
import { report } from '../../shared/usecases/reports.ts';
import type { MortalWorld } from '../support/mortal-world.ts';
import { nodePrincipal } from '../support/use-case-world.ts';
import {
  createdTable,
  expectAnswer,
  expectApplied,
  expectThat,
  onlyShard,
  operationsOfType,
  saga,
  shardsOf,
} from './scenario-kit.ts';

/** A table's one copy moves to another node, leadership and all. */
export const moveOnlyReplica = saga({
  prepare: (world) => createdTable(world, { replication_factor: 1 }),
  request: async (world) => {
    const shard = await onlyShard(world);
    const target = world.nodes.map((node) => `node-${node}`).find((node) => node !== shard.leader.nodeId);
    if (target === undefined) throw new Error('no node to move to');
    const input = { params: { shard_id: shard.shardId }, query: {}, body: { target_node_id: target } };
    // A request that is sent again meets its own effect: the shard is being moved, or is there.
    expectAnswer(await world.request('moveShard', 'key-move', input, moveShard), 'SHARD_BUSY', 'ALREADY_ON_NODE');
  },
  tend: proposeAllCopies,
  outcome: async (world) => {
    const { replicas, epoch } = await onlyShard(world);
    const [move] = await operationsOfType(world, 'move-replica');
    // One transfer; a move that was undone and made anew: back, and there again.
    const epochMax = move?.run === 1 ? 2 : 4;
    return [
      ...expectThat(replicas.length === 1 && epoch <= epochMax, `${replicas.length} replicas, epoch ${epoch}`),
      ...(await expectApplied(world, 'move-replica', 1)),
    ];
  },
});

/** Leaders look at their followers once. */
export async function proposeAllCopies(world: MortalWorld): Promise<void> {
  for (const shard of await shardsOf(world)) await proposeCopies(world, shard);
}

/** The leader proposes a new copy IN_SYNC (R2). */
async function proposeCopies(world: MortalWorld, shard: ShardDescriptor): Promise<void> {
  const lagging = shard.replicas.find(({ syncStatus }) => syncStatus === 'LAGGING');
  if (lagging === undefined) return;
  await reportAsLeader(world, shard, {
    type: 'replica_status',
    shard_id: shard.shardId,
    epoch: shard.epoch,
    generation: shard.generation,
    replica_id: lagging.replicaId,
    node_epoch: lagging.nodeEpoch,
    store_uuid: lagging.storeUuid,
    sync_status: 'IN_SYNC',
  });
}

/** What the shard's leader tells the control plane. */
export async function reportAsLeader(
  world: MortalWorld,
  { leader }: ShardDescriptor,
  one: Parameters<typeof report>[2]['body']['reports'][number],
): Promise<void> {
  const number = Number(leader.nodeId.slice('node-'.length));
  await report(world.base.deps, nodePrincipal(number, leader.nodeEpoch), {
    params: { node_id: leader.nodeId },
    query: {},
    body: { node_epoch: leader.nodeEpoch, incarnation: `inc-${number}`, reports: [one] },
  });
}
