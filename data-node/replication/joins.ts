import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import { orderOf } from '../engine/key-range.ts';
import { joinObstacle } from '../engine/join.ts';
import type { JoinObstacle } from '../engine/join.ts';
import type { ReplicaMeta } from '../engine/types.ts';
import type { ReplicaRegistry } from './commands.ts';
import type { HostContext } from './context.ts';
import type { ShardReplica } from './shard-replica.ts';

type Descriptor = WireDescriptor;

/** True if `next` is the same shard with a right part that the known one does not have: only a merge widens a shard. */
export const bringsRightPart = (known: Descriptor, next: Descriptor): boolean =>
  next.start_key === known.start_key &&
  known.end_key !== null &&
  (next.end_key === null || orderOf(next.end_key, known.end_key) > 0);

/** True if the range of `left` begins before that of `right` and ends where it begins, or later. */
const reachesTo = (left: Descriptor, right: Descriptor): boolean =>
  left.table_id === right.table_id &&
  orderOf(left.start_key, right.start_key) < 0 &&
  (left.end_key === null || orderOf(left.end_key, right.start_key) >= 0);

/**
 * Merges as they reach a node (S2): by command, or by a descriptor of the merged shard from anywhere. Both copies become one in one
 * transaction if they end where their leaders sealed them; else the left one waits for a snapshot and the right one goes. Either way the
 * copy takes nothing of the new term before (docs/protocol.md, S2).
 */
export class Joins {
  private readonly context: HostContext;
  private readonly registry: ReplicaRegistry;

  constructor(context: HostContext, registry: ReplicaRegistry) {
    this.context = context;
    this.registry = registry;
  }

  /** The left part's newer descriptor has a right part too. What could not be stored is tried again by the next descriptor. */
  async take(left: ShardReplica, next: Descriptor): Promise<void> {
    const { env, commits, splits } = this.context;
    const right = this.rightOf(next);
    // S1: what the right part gave away in a split that it has not heard of is not the merge's to take.
    if (right !== undefined && !(await splits.forkBeforeRemoval(right))) {
      env.log.warn('a split of the right part of a merge is not known yet', { shard: left.shardId });
      return;
    }
    // Both parts were sealed: nothing that a session or a term of theirs brings can count any more.
    left.endSession();
    left.leadership()?.end();
    right?.endSession();
    right?.leadership()?.end();
    const joined = await commits.submit((tx): { meta: ReplicaMeta; obstacle: JoinObstacle | null } | null => {
      const meta = tx.replica(left.shardId);
      if (meta?.replicaId !== left.replicaId || !bringsRightPart(meta.descriptor, next)) return null;
      if (meta.maxEpoch > next.epoch) return null;
      const other = next.merged_from === undefined ? undefined : tx.replica(next.merged_from.right_shard_id);
      const obstacle = joinObstacle(meta, other, next);
      return {
        meta: obstacle === null ? tx.join(left.shardId, next) : tx.giveUpParts(left.shardId, next),
        obstacle,
      };
    });
    if (!joined.ok) {
      env.log.error('the merge was not stored', { shard: left.shardId, error: joined.error.message });
      return;
    }
    if (joined.value === null) return;
    this.forget(right);
    left.widened(next);
    const { obstacle, meta } = joined.value;
    if (obstacle === null)
      env.log.info('joined', { shard: left.shardId, right: right?.shardId ?? '', seq: meta.base.seq });
    else env.log.warn('the parts of a merge were not joined here', { shard: left.shardId, obstacle });
  }

  /** A node that heard of the merge so late that the shard has other bounds again may still hold a copy of what was absorbed. */
  async dropAbsorbed(merged: Descriptor): Promise<void> {
    const right = this.rightOf(merged);
    if (right !== undefined && right.descriptor().epoch < merged.epoch) await this.destroy(right);
  }

  /**
   * The shard went into another one, by a strong read: a merge that this node was never told of absorbed it, and an id never comes back
   * (I-2). Copies that reach to this one learn first what they are by now, as one of them may have to join it. Left for the next report
   * where that can't be told or stored.
   */
  async dropGone(gone: ShardReplica): Promise<void> {
    const { controlPlane } = this.context;
    for (const left of [...this.registry.all()].filter((other) => reachesTo(other.descriptor(), gone.descriptor()))) {
      const read = await controlPlane.getShard(left.shardId);
      if (!read.ok || read.value === null) return;
      left.adopt(read.value);
      await left.settled();
      if (left.descriptor().generation < read.value.generation) return;
    }
    await this.destroy(gone);
  }

  private async destroy(absorbed: ShardReplica): Promise<void> {
    if (!(await this.context.splits.forkBeforeRemoval(absorbed))) return;
    const dropped = await this.context.commits.submit((tx) => {
      if (tx.replica(absorbed.shardId)?.replicaId === absorbed.replicaId) tx.removeReplica(absorbed.shardId);
    });
    if (dropped.ok) this.forget(absorbed);
  }

  private rightOf(merged: Descriptor): ShardReplica | undefined {
    return merged.merged_from === undefined ? undefined : this.registry.find(merged.merged_from.right_shard_id);
  }

  private forget(right: ShardReplica | undefined): void {
    if (right === undefined) return;
    right.retire();
    if (this.registry.find(right.shardId) === right) this.registry.drop(right.shardId);
  }
}
