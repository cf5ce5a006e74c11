import { ownerOf, replicaById } from './shard.ts';
import type { Replica, ShardDescriptor } from './shard.ts';

/** Rows "add replica" and "remove replica" of the protocol's table of transitions, as checks over one committed change (I-7, I-9, R4, S3). */

export interface MembershipContext {
  /** True if the entry is IN_SYNC under the node epoch that its node has at the commit. */
  readonly isCurrent: (replica: Replica) => boolean;
  /** The table's replication factor; undefined if unknown to the checker. */
  readonly replicationFactor: number | undefined;
}

export interface MembershipViolation {
  readonly invariant: 'I-7' | 'I-9';
  readonly rule: 'R4' | 'S3' | null;
  readonly message: string;
}

export function membershipViolations(
  before: ShardDescriptor,
  after: ShardDescriptor,
  context: MembershipContext,
): readonly MembershipViolation[] {
  const added = after.replicas.filter((replica) => replicaById(before, replica.replicaId) === undefined);
  const removed = before.replicas.filter((replica) => replicaById(after, replica.replicaId) === undefined);
  if (added.length + removed.length === 0) return [];
  const found: MembershipViolation[] = [];
  const isOwned = before.state.kind === 'CHANGING_REPLICAS' && ownerOf(before) === ownerOf(after);
  if (!isOwned)
    found.push({ invariant: 'I-9', rule: null, message: 'replicas changed without an operation that owns the shard' });
  if (after.epoch !== before.epoch)
    found.push({ invariant: 'I-7', rule: null, message: 'replicas changed together with the leader' });
  for (const replica of added)
    if (replica.syncStatus !== 'LAGGING')
      found.push({ invariant: 'I-7', rule: 'R4', message: `${replica.replicaId} was added ${replica.syncStatus}` });
  if (removed.length === 0) return found;
  const inSyncBefore = before.replicas.filter(context.isCurrent).length;
  const left = after.replicas.filter(context.isCurrent).length;
  const floor = Math.min(replicationFloor(after, context.replicationFactor), inSyncBefore);
  if (left < floor)
    found.push({
      invariant: 'I-7',
      rule: 'S3',
      message: `a removal left ${left} replicas in sync under their present node epochs, ${floor} must stay`,
    });
  return found;
}

/** Copies that `min_in_sync` stands for: it is their majority, so they are 2m - 2 or 2m - 1; the table's factor tells, as far as it fits. */
function replicationFloor({ minInSync }: ShardDescriptor, replicationFactor: number | undefined): number {
  return replicationFactor === undefined
    ? Math.max(1, 2 * minInSync - 2)
    : Math.min(replicationFactor, 2 * minInSync - 1);
}
