import type { Violation } from './invariants.ts';
import { checkDescriptor } from './invariants.ts';
import { inSyncReplicas, replicaById, replicaOn } from './shard.ts';
import type { Replica, ShardDescriptor } from './shard.ts';

/** Invariants of one committed split or merge (PROTOCOL S1, S2): the only transitions that change bounds, make shards and end them. */

const violation = (
  subject: string,
  invariant: Violation['invariant'],
  rule: 'S1' | 'S2',
  message: string,
): Violation => ({ invariant, rule, subject, message });

/** S1 over a split of `before` into `parent` and `child`. */
export function checkSplit(
  before: ShardDescriptor,
  parent: ShardDescriptor,
  child: ShardDescriptor,
): readonly Violation[] {
  const found: Violation[] = [...checkDescriptor(parent), ...checkDescriptor(child)];
  const report = (invariant: Violation['invariant'], message: string): void => {
    found.push(violation(before.shardId, invariant, 'S1', message));
  };
  const { state } = before;
  if (state.kind !== 'SPLITTING' || state.splitKey === null)
    report('I-9', 'split without an intent that names the key');
  else {
    if (child.startKey !== state.splitKey) report('I-1', 'split at another key than the intent names');
    if (child.shardId !== state.child.shardId) report('I-2', 'the child has another id than the intent names');
    const copies = new Map(state.child.replicas.map((copy) => [copy.parentReplicaId, copy.replicaId]));
    for (const replica of parent.replicas) {
      const copy = copies.get(replica.replicaId);
      const entry = copy === undefined ? undefined : replicaById(child, copy);
      if (entry === undefined || !sameEntry(replica, entry))
        report('I-6', `the child's entry on ${replica.nodeId} is not copied from the parent's`);
    }
    if (child.replicas.length !== parent.replicas.length) report('I-7', 'parent and child differ in replicas');
  }
  if (before.intent !== null) report('I-4', 'split during a transfer of the leadership');
  if (parent.startKey !== before.startKey || parent.endKey !== child.startKey || child.endKey !== before.endKey)
    report('I-1', 'the parts do not tile the parent');
  if (parent.generation !== before.generation + 1 || child.generation <= before.generation)
    report('I-2', `generations ${parent.generation} and ${child.generation} after ${before.generation}`);
  if (parent.epoch !== before.epoch) report('I-3', 'the split changed the epoch of the parent');
  if (child.epoch !== before.epoch + 1) report('I-3', `child epoch ${child.epoch}, parent epoch ${before.epoch}`);
  const leads = (shard: ShardDescriptor): string => `${shard.leader.nodeId}/${shard.leader.nodeEpoch}`;
  if (leads(parent) !== leads(before) || parent.leader.replicaId !== before.leader.replicaId)
    report('I-4', 'the split changed the leader of the parent');
  if (leads(child) !== leads(before))
    report('I-4', "the child's leader is not the parent's, under the same node epoch");
  if (JSON.stringify(parent.replicas) !== JSON.stringify(before.replicas))
    report('I-7', 'the split changed the replicas of the parent');
  return found;
}

const sameEntry = (parent: Replica, child: Replica): boolean =>
  parent.nodeId === child.nodeId &&
  parent.nodeEpoch === child.nodeEpoch &&
  parent.storeUuid === child.storeUuid &&
  parent.syncStatus === child.syncStatus;

/** S2 over a merge of `left` and `right` into `merged`. `receipt`: the highest that a shard's replica gave; null if none. */
export function checkMerge(
  left: ShardDescriptor,
  right: ShardDescriptor,
  merged: ShardDescriptor,
  receipt: (shardId: string, replicaId: string) => { epoch: number; generation: number } | null,
): readonly Violation[] {
  const found: Violation[] = [...checkDescriptor(merged)];
  const report = (invariant: Violation['invariant'], message: string): void => {
    found.push(violation(merged.shardId, invariant, 'S2', message));
  };
  for (const [shard, side, other] of [
    [left, 'LEFT', right],
    [right, 'RIGHT', left],
  ] as const) {
    const { state } = shard;
    if (state.kind !== 'MERGING' || state.side !== side || state.otherShardId !== other.shardId)
      report('I-9', `${shard.shardId} was merged without the intent`);
    const given = receipt(shard.shardId, shard.leader.replicaId);
    if (given === null || given.epoch !== shard.epoch)
      report('I-4', `${shard.shardId} was merged without a step-down receipt of its leader`);
    if (shard.intent !== null) report('I-4', `${shard.shardId} was merged during a transfer`);
    if (merged.generation <= shard.generation) report('I-2', 'the merged generation does not exceed both');
    if (merged.epoch <= shard.epoch) report('I-3', 'the merged epoch does not exceed both');
  }
  if (merged.startKey !== left.startKey || left.endKey !== right.startKey || merged.endKey !== right.endKey)
    report('I-1', 'the merged shard is not the union of two neighbours');
  if (left.leader.nodeId !== right.leader.nodeId || merged.leader.nodeId !== left.leader.nodeId)
    report('I-4', 'the parts were not led by the node that leads the merged shard');
  for (const entry of inSyncReplicas(merged)) {
    const parts = [replicaOn(left, entry.nodeId), replicaOn(right, entry.nodeId)];
    if (!parts.every((part) => part?.syncStatus === 'IN_SYNC' && part.nodeEpoch === entry.nodeEpoch))
      report('I-6', `${entry.replicaId} is IN_SYNC although its node does not hold both parts in sync`);
  }
  return found;
}
