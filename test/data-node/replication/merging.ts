import type { CommandAck, StepDownReceipt } from '../../../shared/contracts/node/commands.ts';
import type { WireDescriptor } from '../../../shared/contracts/node/descriptor.ts';
import { Cluster, SHARD_ID } from './cluster.ts';

/** The control plane's side of a merge, as its operation makes it (S2). */

export const RIGHT_ID = 'shard-2';
export const OPERATION_ID = 'op-merge';
const NODES = ['n1', 'n2', 'n3'];

/** Three nodes and two neighbours over all of them, `['', 'm')` and `['m', ...)`, led by node `n1`, with rows in both. */
export async function twoShards(): Promise<Cluster> {
  const cluster = new Cluster();
  for (const nodeId of NODES) cluster.start(nodeId);
  const { controlPlane } = cluster;
  for (const [shardId, startKey, endKey] of [
    [SHARD_ID, '', 'm'],
    [RIGHT_ID, 'm', null],
  ] as const) {
    controlPlane.createShard({ shardId, nodeIds: NODES, minInSync: 2, startKey, endKey });
    for (const nodeId of NODES) await cluster.apply(controlPlane.command('create_replica', shardId, nodeId));
    await cluster.until('the leader serves', () => cluster.serves('n1', shardId));
  }
  for (const key of 'abc') await cluster.put('n1', key, `${key}0`, { write_id: `first-${key}` });
  for (const key of 'xyz') await cluster.put('n1', key, `${key}0`, { ...toRight(cluster), write_id: `first-${key}` });
  await cluster.run(600);
  return cluster;
}

export const toRight = (cluster: Cluster): { shard_id: string; epoch: number } => ({
  shard_id: RIGHT_ID,
  epoch: cluster.controlPlane.shard(RIGHT_ID).epoch,
});

/** Intents: both are MERGING. */
export function intendMerge(cluster: Cluster, rightId = RIGHT_ID): void {
  const sides = [
    [SHARD_ID, 'LEFT', rightId],
    [rightId, 'RIGHT', SHARD_ID],
  ] as const;
  for (const [shardId, side, other] of sides)
    cluster.controlPlane.change(shardId, () => ({
      state: { kind: 'MERGING', operation_id: OPERATION_ID, side, other_shard_id: other },
    }));
}

export const seal = (cluster: Cluster, shardId: string, nodeId = 'n1'): Promise<CommandAck> =>
  cluster.apply(cluster.controlPlane.command('seal_merge', shardId, nodeId));

export async function sealedReceipt(cluster: Cluster, shardId: string): Promise<StepDownReceipt> {
  const ack = await seal(cluster, shardId);
  if (ack.receipt?.sealed === undefined) throw new Error(`${shardId} was not sealed: ${ack.code}`);
  return ack.receipt;
}

/** One commit: the left part widens, the right one is gone. Nobody is told. */
export function commitMerge(
  cluster: Cluster,
  receipts: { readonly left: StepDownReceipt; readonly right: StepDownReceipt },
  rightId = RIGHT_ID,
): WireDescriptor {
  const { controlPlane } = cluster;
  const left = controlPlane.shard(SHARD_ID);
  const right = controlPlane.shard(rightId);
  if (receipts.left.sealed === undefined || receipts.right.sealed === undefined) throw new Error('not sealed');
  const inSync = new Set(controlPlane.inSync(rightId));
  const merged: WireDescriptor = {
    ...left,
    end_key: right.end_key,
    epoch: Math.max(left.epoch, right.epoch) + 1,
    generation: Math.max(left.generation, right.generation) + 1,
    replicas: left.replicas.map((replica) =>
      inSync.has(replica.node_id) ? replica : { ...replica, sync_status: 'LAGGING' },
    ),
    state: { kind: 'ACTIVE' },
    merged_from: {
      right_shard_id: rightId,
      border_key: right.start_key,
      end_key: right.end_key,
      left_end: receipts.left.sealed,
      right_end: receipts.right.sealed,
    },
  };
  controlPlane.shards.set(SHARD_ID, merged);
  controlPlane.shards.delete(rightId);
  return merged;
}

/** Intent, seal and commit; the nodes don't know of the commit yet. */
export async function mergeUntold(cluster: Cluster, rightId = RIGHT_ID): Promise<WireDescriptor> {
  intendMerge(cluster, rightId);
  const left = await sealedReceipt(cluster, SHARD_ID);
  const right = await sealedReceipt(cluster, rightId);
  return commitMerge(cluster, { left, right }, rightId);
}

export const applyMerge = async (cluster: Cluster, nodeIds: readonly string[]): Promise<CommandAck[]> => {
  const acks: CommandAck[] = [];
  for (const nodeId of nodeIds)
    acks.push(await cluster.apply(cluster.controlPlane.command('apply_merge', SHARD_ID, nodeId)));
  return acks;
};
