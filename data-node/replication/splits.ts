import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import type { EngineTransaction, Fork, ReplicaMeta } from '../engine/types.ts';
import { orderOf } from '../engine/key-range.ts';
import type { ReplicaRegistry } from './commands.ts';
import { spawn } from './context.ts';
import type { HostContext } from './context.ts';
import { takeUpEpoch } from './leader-log.ts';
import type { RowCounter } from './row-counter.ts';
import type { ShardReplica } from './shard-replica.ts';

/** For so long after a fork, ms, the leader of either half tells its followers of the other one when it opens a session. */
const RELATED_MS = 10 * 60_000;

type Descriptor = WireDescriptor;

/** True if `next` is the same shard without its right part. */
export const takesRightPartAway = (known: Descriptor, next: Descriptor): boolean =>
  next.start_key === known.start_key &&
  next.end_key !== null &&
  (known.end_key === null || orderOf(next.end_key, known.end_key) < 0);

export const sameBounds = (left: Descriptor, right: Descriptor): boolean =>
  left.start_key === right.start_key && left.end_key === right.end_key;

/**
 * Splits as they reach a node (S1): by command, or by a descriptor of either half from anywhere. The parent's smaller range and
 * the child's copy become durable in one transaction, and known in the same turn of the loop: there is no moment at which a key
 * belongs to both, or to none. Replication sessions of the parent end with its old range (docs/protocol.md, S1).
 */
export class Splits {
  private readonly context: HostContext;
  private readonly registry: ReplicaRegistry;
  private readonly counter: RowCounter;
  /** The other half of recent forks, by shard id. */
  private readonly halves = new Map<string, { readonly shardId: string; readonly untilMs: number }>();

  constructor(context: HostContext, registry: ReplicaRegistry, counter: RowCounter) {
    this.context = context;
    this.registry = registry;
    this.counter = counter;
  }

  /** The other half's descriptor, while a follower may not have heard of the split. */
  related(shardId: string): Descriptor | null {
    const half = this.halves.get(shardId);
    if (half === undefined) return null;
    if (this.context.env.clock.monotonicMs() <= half.untilMs)
      return this.registry.find(half.shardId)?.descriptor() ?? null;
    this.halves.delete(shardId);
    return null;
  }

  /**
   * The parent's newer descriptor has lost its right part: forks it, or gives the rows up if this copy can't be forked. While the
   * child's descriptor is not known, and can't be read, the copy goes on as before the split.
   */
  async take(parent: ShardReplica, next: Descriptor, related: Descriptor | null): Promise<void> {
    const { env, controlPlane } = this.context;
    const { state } = parent.descriptor();
    let child = related;
    if (state.kind === 'SPLITTING' && state.split_key !== null && child?.shard_id !== state.child.shard_id) {
      // The descriptor alone does not tell: the intent may have been given up, and another split made at the same key.
      const read = await controlPlane.getShard(state.child.shard_id);
      if (!read.ok) {
        env.log.warn('the right part of a split is not known yet', { shard: parent.shardId, code: read.error.code });
        return;
      }
      child = read.value;
    }
    const meta = parent.meta();
    if (meta === undefined || !takesRightPartAway(meta.descriptor, next)) return;
    // No follower's entry is merged under the old range from here on; a session opened meanwhile checks the bounds again.
    parent.endSession();
    const fork = this.forkOf(parent, meta, next, child);
    if (fork === null) await this.shrink(parent, next);
    else await this.fork(parent, fork, next);
  }

  /**
   * A shard that the node does not hold is asked for: if it is the right part of one that it holds, forks it. False: the parent's copy
   * may still hold its rows, and that can't be told or stored now, so nothing may stand in for them.
   */
  async forkOnDemand(child: Descriptor, parentDescriptor: Descriptor | null): Promise<boolean> {
    const parent = this.parentOf(child);
    return parent === undefined || this.forkFrom(parent, child, parentDescriptor);
  }

  private async forkFrom(
    parent: ShardReplica,
    child: Descriptor,
    parentDescriptor: Descriptor | null,
  ): Promise<boolean> {
    await parent.settled();
    if (this.registry.find(child.shard_id) !== undefined) return true;
    let next = parentDescriptor?.shard_id === parent.shardId ? parentDescriptor : null;
    if (next === null) {
      const read = await this.context.controlPlane.getShard(parent.shardId);
      if (!read.ok) return false;
      next = read.value ?? withoutRightPart(parent.descriptor(), child);
    }
    if (next === null) return true;
    parent.adopt(next, child);
    await parent.settled();
    return this.registry.find(child.shard_id) !== undefined || !mayHold(parent, child);
  }

  /**
   * The copy is about to be destroyed. If its split has committed, the right part lists what this node forks as IN_SYNC (S1): it is
   * forked first (I-6). False: that can't be told or stored now.
   */
  async forkBeforeRemoval(parent: ShardReplica): Promise<boolean> {
    await parent.settled();
    const { state } = parent.descriptor();
    if (state.kind !== 'SPLITTING' || state.split_key === null) return true;
    const child = await this.context.controlPlane.getShard(state.child.shard_id);
    if (!child.ok) return false;
    return child.value === null || this.forkFrom(parent, child.value, null);
  }

  private parentOf(child: Descriptor): ShardReplica | undefined {
    return [...this.registry.all()].find((replica) => {
      const known = replica.descriptor();
      // Absorbed by a merge (S2): what comes late for it is for nobody.
      if (known.merged_from?.right_shard_id === child.shard_id) return false;
      if (known.state.kind === 'SPLITTING' && known.state.child.shard_id === child.shard_id) return true;
      const starts = orderOf(known.start_key, child.start_key) < 0;
      return known.table_id === child.table_id && starts && known.end_key === child.end_key;
    });
  }

  /**
   * How the copy is forked; null if it can't be: the node has no entry in the child, or missed more than this split and later ones of the
   * left part. After such a one the fork is made where the copy's own intent says: the copy was prepared for it, and the child
   * may list it IN_SYNC.
   */
  private forkOf(parent: ShardReplica, meta: ReplicaMeta, next: Descriptor, child: Descriptor | null): Fork | null {
    const nodeId = meta.descriptor.replicas.find((replica) => replica.replica_id === parent.replicaId)?.node_id;
    const entry = child?.replicas.find((replica) => replica.node_id === nodeId);
    if (child === null || entry === undefined) return null;
    const { state } = parent.descriptor();
    const intended = state.kind === 'SPLITTING' && state.child.shard_id === child.shard_id ? state.split_key : null;
    if (child.start_key !== next.end_key && child.start_key !== intended) return null;
    if (child.end_key !== meta.descriptor.end_key) return null;
    if (this.registry.find(child.shard_id) !== undefined || this.context.engine.wasRemoved(entry.replica_id))
      return null;
    if (child.epoch <= meta.last.epoch) return null;
    const commitSeq = parent.leadership()?.commitSeq() ?? meta.commitSeq;
    return { parent: { ...next, end_key: child.start_key }, child, childReplicaId: entry.replica_id, commitSeq };
  }

  private async fork(parent: ShardReplica, fork: Fork, next: Descriptor): Promise<void> {
    const { env, commits, observer, statistics } = this.context;
    const nowMs = (): number => env.clock.monotonicMs();
    const waitMs = (): number => env.processorWaitMs?.() ?? 0;
    let startMs = 0;
    let writtenMs = 0;
    let waitedMs = 0;
    const forked = await commits.submit((tx) => {
      waitedMs = -waitMs();
      startMs = nowMs();
      const done = forkIn(tx, parent, fork, env.clock.wallMs());
      if (done !== null && takesRightPartAway(fork.parent, next)) tx.shrink(parent.shardId, next);
      writtenMs = nowMs();
      waitedMs += waitMs();
      return done;
    });
    waitedMs -= waitMs();
    const durableMs = nowMs();
    if (!forked.ok) {
      env.log.error('the fork was not stored', { shard: parent.shardId, error: forked.error.message });
      return;
    }
    if (forked.value === null) return;
    const { child: meta, continued, counted, committed } = forked.value;
    const child = this.registry.add(meta);
    const untilMs = nowMs() + RELATED_MS;
    this.halves.set(child.shardId, { shardId: parent.shardId, untilMs });
    this.halves.set(parent.shardId, { shardId: child.shardId, untilMs });
    const leading = parent.leadership();
    if (continued) child.continueLeading(meta, committed);
    else child.considerLeading();
    leading?.forked(child);
    parent.shrunk(next);
    const endMs = nowMs();
    waitedMs += waitMs();
    const lockMs = writtenMs - startMs + (endMs - durableMs);
    statistics.splitLock(lockMs);
    const commitMs = endMs - startMs;
    observer.onFork?.({ shardId: parent.shardId, childShardId: child.shardId, lockMs, commitMs, continued });
    env.log.info('forked', {
      shard: parent.shardId,
      child: child.shardId,
      lock_ms: lockMs,
      // Of these: the thread was ready, and the machine gave the processor to other programs.
      lock_wait_ms: waitedMs,
      commit_ms: commitMs,
      continued,
    });
    if (!counted) {
      spawn(
        env,
        'count a fork',
        this.counter.recount(parent.shardId).then(() => this.counter.recount(child.shardId)),
      );
    }
  }

  private async shrink(parent: ShardReplica, next: Descriptor): Promise<void> {
    const { env, commits } = this.context;
    const shrunk = await commits.submit((tx) => {
      const meta = tx.replica(parent.shardId);
      if (meta?.replicaId !== parent.replicaId || !takesRightPartAway(meta.descriptor, next)) return false;
      tx.shrink(parent.shardId, next);
      return true;
    });
    if (!shrunk.ok)
      env.log.error('the smaller range was not stored', { shard: parent.shardId, error: shrunk.error.message });
    else if (shrunk.value) {
      env.log.warn('a split was not forked here', { shard: parent.shardId });
      parent.shrunk(next);
      spawn(env, 'count a smaller range', this.counter.recount(parent.shardId));
    }
  }
}

/** The copy was prepared for the split that makes `child`, and has not forked. */
function intends(replica: ShardReplica, child: Descriptor): boolean {
  const { state } = replica.descriptor();
  return state.kind === 'SPLITTING' && state.child.shard_id === child.shard_id;
}

/** The rows of `child` may still be a part of this copy. */
function mayHold(replica: ShardReplica, child: Descriptor): boolean {
  const known = replica.descriptor();
  const starts = orderOf(known.start_key, child.start_key) < 0;
  return intends(replica, child) || (known.table_id === child.table_id && starts && known.end_key === child.end_key);
}

/** The parent after the split of which only the child is left to tell: the parent itself is gone. Null: the copy does not know of that split. */
function withoutRightPart(known: Descriptor, child: Descriptor): Descriptor | null {
  const { state } = known;
  if (state.kind !== 'SPLITTING' || state.split_key === null || state.child.shard_id !== child.shard_id) return null;
  return { ...known, generation: known.generation + 1, end_key: state.split_key, state: { kind: 'ACTIVE' } };
}

interface Forked {
  readonly child: ReplicaMeta;
  /** The parent's term goes on in the child's: it serves at once. */
  readonly continued: boolean;
  readonly counted: boolean;
  readonly committed: number;
}

function forkIn(tx: EngineTransaction, parent: ShardReplica, fork: Fork, wallMs: number): Forked | null {
  const meta = tx.replica(parent.shardId);
  if (meta?.replicaId !== parent.replicaId || !takesRightPartAway(meta.descriptor, fork.parent)) return null;
  if (meta.descriptor.end_key !== fork.child.end_key || tx.replica(fork.child.shard_id) !== undefined) return null;
  const leading = parent.leadership();
  const committed = Math.max(fork.commitSeq, leading?.commitSeq() ?? 0, meta.commitSeq);
  const forked = tx.fork(parent.shardId, { ...fork, commitSeq: committed });
  const { leader, epoch } = fork.child;
  const continues =
    leading?.state() === 'SERVING' &&
    epoch === leading.epoch + 1 &&
    leader.replica_id === fork.childReplicaId &&
    leader.node_id === leading.nodeId &&
    leader.node_epoch === leading.nodeEpoch;
  const taken = continues ? takeUpEpoch(tx, fork.childReplicaId, fork.child, wallMs) : null;
  return { child: taken ?? forked.child, continued: taken !== null, counted: forked.counted, committed };
}
