import type { LivenessRecord } from '../../shared/domain/lease.ts';
import type { Violation } from '../../shared/domain/invariants.ts';
import { replicaOn } from '../../shared/domain/shard.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';

/**
 * E3: a fence is closed when two successive sweeps found nothing, so at that moment no shard may name a leadership or an IN_SYNC entry of the
 * node under an older node epoch: nobody would look for it any more.
 */
export function checkClosedFence(
  before: LivenessRecord | null,
  after: LivenessRecord,
  shards: Iterable<ShardDescriptor>,
): readonly Violation[] {
  const closed = before?.openFence !== null && before?.nodeEpoch === after.nodeEpoch && after.openFence === null;
  if (!closed) return [];
  const found: Violation[] = [];
  const report = (shard: ShardDescriptor, what: string): void => {
    const message = `the fence of ${after.nodeId} at node epoch ${after.nodeEpoch} was closed over ${what}`;
    found.push({ invariant: 'I-6', rule: 'E3', subject: shard.shardId, message });
  };
  for (const shard of shards) {
    if (shard.leader.nodeId === after.nodeId && shard.leader.nodeEpoch < after.nodeEpoch)
      report(shard, `its leadership under node epoch ${shard.leader.nodeEpoch}`);
    const entry = replicaOn(shard, after.nodeId);
    if (entry?.syncStatus === 'IN_SYNC' && entry.nodeEpoch < after.nodeEpoch)
      report(shard, `its IN_SYNC entry under node epoch ${entry.nodeEpoch}`);
  }
  return found;
}
