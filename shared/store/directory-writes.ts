import type { NodeReplica } from '../domain/records.ts';
import { invariant } from '../domain/result.ts';
import type { Replica, ShardDescriptor } from '../domain/shard.ts';
import type { LocatedShard, RecordWrite } from '../ports.ts';

/** The pointer by which a node's replicas are listed. */
export const replicaRow = (shard: ShardDescriptor, replica: Replica): NodeReplica => ({
  nodeId: replica.nodeId,
  shardId: shard.shardId,
  replicaId: replica.replicaId,
  tableId: shard.tableId,
  startKey: shard.startKey,
});

/** The writes that replace a descriptor (ports.ts, `ShardDirectory.replaceWrites`). Throws Bug unless `to` is the next generation of `from`. */
export function replaceWrites(from: LocatedShard, to: ShardDescriptor): readonly RecordWrite[] {
  const { shard, page, revision } = from;
  invariant(to.shardId === shard.shardId, `shard ${shard.shardId} can't be replaced by ${to.shardId}`);
  invariant(
    to.generation === shard.generation + 1,
    `generation ${to.generation} of shard ${to.shardId} does not follow ${shard.generation} (I-2)`,
  );
  invariant(to.epoch >= shard.epoch, `epoch ${to.epoch} of shard ${to.shardId} is below ${shard.epoch} (I-3)`);
  invariant(
    to.tableId === shard.tableId && to.startKey === shard.startKey && to.endKey === shard.endKey,
    `the bounds of shard ${to.shardId} change by split and merge only`,
  );
  return [
    {
      kind: 'put',
      entity: 'shard',
      id: { page, startKey: shard.startKey },
      value: to,
      when: [
        { kind: 'revision', is: revision },
        { kind: 'equals', field: 'shardId', value: shard.shardId },
        { kind: 'equals', field: 'generation', value: shard.generation },
        { kind: 'equals', field: 'epoch', value: shard.epoch },
      ],
    },
    ...replicaRowWrites(shard, to),
  ];
}

function replicaRowWrites(from: ShardDescriptor, to: ShardDescriptor): RecordWrite[] {
  const before = new Map(from.replicas.map((replica) => [replica.nodeId, replica]));
  const after = new Map(to.replicas.map((replica) => [replica.nodeId, replica]));
  invariant(after.size === to.replicas.length, `shard ${to.shardId} has two replicas on one node (I-7)`);
  const writes: RecordWrite[] = [];
  for (const [nodeId, replica] of before) {
    const next = after.get(nodeId);
    if (next?.replicaId === replica.replicaId) continue;
    const id = { nodeId, shardId: from.shardId };
    const when = [{ kind: 'equals', field: 'replicaId', value: replica.replicaId }] as const;
    if (next === undefined) writes.push({ kind: 'delete', entity: 'nodeReplica', id, when });
    else writes.push({ kind: 'update', entity: 'nodeReplica', id, set: { replicaId: next.replicaId }, when });
  }
  for (const [nodeId, replica] of after)
    if (!before.has(nodeId))
      writes.push({ kind: 'put', entity: 'nodeReplica', value: replicaRow(to, replica), when: [{ kind: 'absent' }] });
  return writes;
}
