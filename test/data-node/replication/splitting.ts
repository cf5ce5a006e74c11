import type { CommandAck, NodeCommand } from '../../../shared/contracts/node/commands.ts';
import type { WireDescriptor } from '../../../shared/contracts/node/descriptor.ts';
import { SHARD_ID } from './cluster.ts';
import type { Cluster } from './cluster.ts';

/** The control plane's side of a split, as its operation makes it (S1). */

export const CHILD_ID = 'shard-1-right';
export const OPERATION_ID = 'op-split';

/** Intent: the parent is SPLITTING, with the ids of the child's copies. */
export function intendSplit(cluster: Cluster, key: string | null, childId = CHILD_ID): WireDescriptor {
  return cluster.controlPlane.change(SHARD_ID, (shard) => ({
    state: {
      kind: 'SPLITTING',
      operation_id: OPERATION_ID,
      split_key: key,
      child: {
        shard_id: childId,
        replicas: shard.replicas.map((replica) => ({
          parent_replica_id: replica.replica_id,
          replica_id: `${childId}.${replica.node_id}`,
        })),
      },
    },
  }));
}

/** `prepare_split` on these nodes; all are done when it resolves. */
export async function prepareSplit(cluster: Cluster, nodeIds: readonly string[]): Promise<void> {
  for (const nodeId of nodeIds) {
    const ack = await cluster.apply(cluster.controlPlane.command('prepare_split', SHARD_ID, nodeId));
    if (ack.outcome === 'REFUSED') throw new Error(`${nodeId} refused: ${ack.code}`);
  }
}

/** One commit: the parent shrinks, the child appears. Nobody is told. */
export function commitSplit(cluster: Cluster): { parent: WireDescriptor; child: WireDescriptor } {
  const { controlPlane } = cluster;
  const before = controlPlane.shard(SHARD_ID);
  const { state } = before;
  if (state.kind !== 'SPLITTING' || state.split_key === null) throw new Error('no split with a key');
  const idOf = (parentId: string): string => {
    const copy = state.child.replicas.find((one) => one.parent_replica_id === parentId);
    if (copy === undefined) throw new Error('the intent does not name the copy');
    return copy.replica_id;
  };
  const parent = controlPlane.change(SHARD_ID, () => ({ end_key: state.split_key, state: { kind: 'ACTIVE' } }));
  const child: WireDescriptor = {
    ...before,
    shard_id: state.child.shard_id,
    start_key: state.split_key,
    epoch: before.epoch + 1,
    generation: parent.generation + 1,
    leader: { ...before.leader, replica_id: idOf(before.leader.replica_id) },
    replicas: before.replicas.map((replica) => ({ ...replica, replica_id: idOf(replica.replica_id) })),
    state: { kind: 'ACTIVE' },
  };
  controlPlane.shards.set(child.shard_id, child);
  return { parent: controlPlane.shard(SHARD_ID), child: controlPlane.shard(child.shard_id) };
}

export const applyCommand = (
  cluster: Cluster,
  nodeId: string,
  { parent, child }: { parent: WireDescriptor; child: WireDescriptor },
): NodeCommand => ({ ...cluster.controlPlane.command('apply_split', SHARD_ID, nodeId, parent), related: child });

export async function applySplit(
  cluster: Cluster,
  nodeIds: readonly string[],
  halves: { parent: WireDescriptor; child: WireDescriptor },
): Promise<CommandAck[]> {
  const acks: CommandAck[] = [];
  for (const nodeId of nodeIds) acks.push(await cluster.apply(applyCommand(cluster, nodeId, halves)));
  return acks;
}

/** Intent, preparation and commit; the nodes don't know of the commit yet. */
export async function splitUntold(
  cluster: Cluster,
  key: string,
  nodeIds: readonly string[] = ['n1', 'n2', 'n3'],
): Promise<{ parent: WireDescriptor; child: WireDescriptor }> {
  intendSplit(cluster, key);
  await prepareSplit(cluster, nodeIds);
  return commitSplit(cluster);
}

/** A request to the child. */
export const toChild = (cluster: Cluster): { shard_id: string; epoch: number } => ({
  shard_id: CHILD_ID,
  epoch: cluster.controlPlane.shard(CHILD_ID).epoch,
});
