import type { NodeId } from './ids.ts';
import type { LivenessRecord } from './lease.ts';
import type { Replica, ShardDescriptor } from './shard.ts';
import { inSyncReplicas, replicaById } from './shard.ts';

/** An UNCLEAN election as a row of the table of transitions (E4): what has to hold even when acknowledged writes are given up. */

export interface UncleanContext {
  readonly liveness: (nodeId: NodeId) => LivenessRecord | null;
  readonly replicaIdUsed?: (replicaId: string) => boolean;
}

/** True if the change claims to be an UNCLEAN election: it raises the mark, or it raises the epoch and makes every other copy anew. */
export function isUncleanElection(before: ShardDescriptor, after: ShardDescriptor): boolean {
  if (!after.dataLoss || after.epoch <= before.epoch) return false;
  const others = after.replicas.filter(({ replicaId }) => replicaId !== after.leader.replicaId);
  const allNew = others.every(({ replicaId }) => replicaById(before, replicaId) === undefined);
  return !before.dataLoss || (others.length > 0 && allNew);
}

/** What is wrong with an UNCLEAN election, in words, by invariant and rule. */
export function uncleanViolations(
  before: ShardDescriptor,
  after: ShardDescriptor,
  context: UncleanContext,
): readonly { readonly invariant: 'I-4' | 'I-6' | 'I-7'; readonly rule: string; readonly message: string }[] {
  const found: { invariant: 'I-4' | 'I-6' | 'I-7'; rule: string; message: string }[] = [];
  const presentEpoch = (nodeId: NodeId): number => context.liveness(nodeId)?.nodeEpoch ?? 0;
  if (presentEpoch(before.leader.nodeId) <= before.leader.nodeEpoch)
    found.push({ invariant: 'I-4', rule: 'E4', message: 'an UNCLEAN election over a leader that is not fenced' });
  const standing = inSyncReplicas(before).find((entry) => presentEpoch(entry.nodeId) <= entry.nodeEpoch);
  if (standing !== undefined)
    found.push({
      invariant: 'I-6',
      rule: 'E4',
      message: `an UNCLEAN election although ${standing.replicaId} is in sync on a node that is not fenced`,
    });
  const chosen = replicaById(before, after.leader.replicaId);
  if (chosen === undefined || chosen.nodeId !== after.leader.nodeId)
    found.push({ invariant: 'I-6', rule: 'E4', message: 'the new leader was not listed' });
  if (presentEpoch(after.leader.nodeId) !== after.leader.nodeEpoch)
    found.push({ invariant: 'I-4', rule: 'E4', message: "the leader's node epoch is not its node's present one" });
  for (const replica of after.replicas) {
    if (replica.replicaId === after.leader.replicaId) continue;
    found.push(...copyViolations(before, replica, context));
  }
  const places = (shard: ShardDescriptor): string => shard.replicas.map(({ nodeId }) => nodeId).join();
  if (places(before) !== places(after))
    found.push({ invariant: 'I-7', rule: 'E4', message: 'an UNCLEAN election moved replicas to other nodes' });
  return found;
}

function copyViolations(
  before: ShardDescriptor,
  replica: Replica,
  context: UncleanContext,
): readonly { invariant: 'I-6' | 'I-7'; rule: string; message: string }[] {
  const found: { invariant: 'I-6' | 'I-7'; rule: string; message: string }[] = [];
  const { replicaId } = replica;
  // An old copy may hold committed entries that contradict the new leader's log: it never counts again.
  if (replica.syncStatus !== 'OFFLINE')
    found.push({
      invariant: 'I-6',
      rule: 'E4',
      message: `${replicaId} is ${replica.syncStatus} after an UNCLEAN election`,
    });
  if (replicaById(before, replicaId) !== undefined)
    found.push({ invariant: 'I-6', rule: 'E4', message: `the old copy ${replicaId} stays listed` });
  else if (context.replicaIdUsed?.(replicaId) === true)
    found.push({ invariant: 'I-7', rule: 'R4', message: `replica_id ${replicaId} was used before` });
  return found;
}
