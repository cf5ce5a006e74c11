import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { moveShard } from '../../shared/usecases/move-replica.ts';
import { report } from '../../shared/usecases/reports.ts';
import type { MortalWorld } from '../support/mortal-world.ts';
import { nodePrincipal } from '../support/use-case-world.ts';

/** A table's one copy moves to another node, leadership and all. */
export async function moveOnlyReplica(
  world: MortalWorld,
  shardOf: () => Promise<ShardDescriptor>,
  expectAnswer: (answer: { status: number; body: unknown }, ...refusals: string[]) => void,
): Promise<void> {
  const shard = await shardOf();
  const target = world.nodes.map((node) => `node-${node}`).find((node) => node !== shard.leader.nodeId);
  if (target === undefined) throw new Error('no node to move to');
  const input = { params: { shard_id: shard.shardId }, query: {}, body: { target_node_id: target } };
  // A request that is sent again meets its own effect: the shard is being moved, or is there.
  expectAnswer(await world.request('moveShard', 'key-move', input, moveShard), 'SHARD_BUSY', 'ALREADY_ON_NODE');
  await world.until(async () => {
    await proposeCopies(world, await shardOf());
    const page = await world.base.records.query('openOperation', { partition: {}, order: 'forward', limit: 1 });
    return page.items.length === 0;
  });
}

/** The leader proposes a new copy IN_SYNC (R2). */
export async function proposeCopies(world: MortalWorld, shard: ShardDescriptor): Promise<void> {
  const lagging = shard.replicas.find(({ syncStatus }) => syncStatus === 'LAGGING');
  if (lagging === undefined) return;
  const { leader } = shard;
  const number = Number(leader.nodeId.slice('node-'.length));
  await report(world.base.deps, nodePrincipal(number, leader.nodeEpoch), {
    params: { node_id: leader.nodeId },
    query: {},
    body: {
      node_epoch: leader.nodeEpoch,
      incarnation: `inc-${number}`,
      reports: [
        {
          type: 'replica_status',
          shard_id: shard.shardId,
          epoch: shard.epoch,
          generation: shard.generation,
          replica_id: lagging.replicaId,
          node_epoch: lagging.nodeEpoch,
          store_uuid: lagging.storeUuid,
          sync_status: 'IN_SYNC',
        },
      ],
    },
  });
}
