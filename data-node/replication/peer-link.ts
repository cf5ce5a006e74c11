import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import {
  APPEND_BYTES_MAX,
  APPEND_ENTRIES_MAX,
  appendResponseSchema,
  openSessionResponseSchema,
} from '../../shared/contracts/node/replication.ts';
import type { ReplicaMeta } from '../engine/types.ts';
import { spawn } from './context.ts';
import type { HostContext } from './context.ts';
import { callPeer } from './peer-call.ts';
import type { PeerAddress, PeerFailure } from './peer-call.ts';
import { sendSnapshot } from './snapshot-sender.ts';
import { sameBounds } from './splits.ts';
import { WakeUp } from './wake-up.ts';
import { bytesOf, toWireEntry } from './wire.ts';

export type WireReplica = WireDescriptor['replicas'][number];

/** A replication session: one leadership with one follower replica under one node epoch of the follower (R2). */
export interface Session {
  readonly sessionId: string;
  readonly nodeEpoch: number;
  readonly storeUuid: string;
}

/** What a link needs of the leadership that it belongs to. */
export interface LinkOwner {
  readonly shardId: string;
  readonly epoch: number;
  readonly nodeId: string;
  readonly nodeEpoch: number;
  descriptor(): WireDescriptor;
  commitSeq(): number;
  /** Newest round of confirmations that began (E5); an append sent now confirms it. */
  round(): number;
  meta(): ReplicaMeta | undefined;
  /** The follower acknowledged more, or is heard again. */
  progressed(): void;
  /** The follower promised a higher epoch: someone else leads. */
  deposed(maxEpoch: number): void;
  /** The follower does not hold the replica that the descriptor lists. */
  missing(link: PeerLink, storeUuid: string): void;
  /** Holds back compaction from `seq` on until the returned function is called. */
  pin(seq: number): () => void;
}

/** A copy that catches up by log pauses this many times as long as an append took: it takes at most half of its node's thread. */
const REST_PER_APPEND = 1;

type Step = 'PROGRESS' | 'IDLE' | 'FAILED';

/** A leader's side of replication to one replica: opens the session, catches it up, sends entries, heartbeats. */
export class PeerLink {
  readonly replicaId: string;
  readonly nodeId: string;
  private readonly context: HostContext;
  private readonly owner: LinkOwner;
  private readonly wakeUp: WakeUp;
  private entry: WireReplica;
  private address: PeerAddress | null;
  private stopped = false;
  private failures = 0;
  /** Where the next append starts, once a session is open. */
  private nextPrevSeq = 0;
  private needsSnapshot = false;
  private lastSentMs = -Infinity;
  private open: Session | null = null;
  /** The follower's log equals the leader's up to here, durably, as this session told. */
  matchSeq = 0;
  /** E5: newest round that the follower confirmed, and when that append was sent, monotonic ms. */
  confirmedRound = 0;
  confirmedSentMs = -Infinity;
  /** An append of this session carried all that the log held when it was sent: what is missing now came since. */
  caughtUp = false;
  /** Fewest entries that this session was behind after an append, while it was not caught up. */
  private leastBehind = Infinity;
  /** When an answer last found the follower up to date, monotonic ms. */
  lastCaughtUpMs: number;
  /** R1: every acknowledgement needs this replica. Decided by the ack set alone. */
  required: boolean;
  /**
   * R2: an IN_SYNC proposal that was made under this generation may have been applied, or still be. `refusedSince`: an attempt
   * after the one whose outcome is unknown was refused.
   */
  proposal: { readonly generation: number; outcomeUnknown: boolean; refusedSince: boolean } | null = null;
  /** The session under which `proposal` was made. */
  proposedAs: { readonly nodeEpoch: number; readonly storeUuid: string } | null = null;
  /** R2: required since the log ended here; proposed IN_SYNC when the follower holds as much. */
  growthTargetSeq: number | null = null;

  constructor(context: HostContext, owner: LinkOwner, entry: WireReplica) {
    this.context = context;
    this.owner = owner;
    this.replicaId = entry.replica_id;
    this.nodeId = entry.node_id;
    this.entry = entry;
    this.address = entry.address;
    this.required = entry.sync_status === 'IN_SYNC';
    this.wakeUp = new WakeUp(context.env.timers);
    this.lastCaughtUpMs = context.env.clock.monotonicMs();
  }

  /** In the next turn of the loop: a fork makes all of a child's links while its shard is locked (S1). */
  start(): void {
    const { env } = this.context;
    env.timers.after(0, () => spawn(env, 'replication to a peer', this.run()));
  }

  stop(): void {
    this.stopped = true;
    this.wakeUp.wake();
  }

  wake(): void {
    this.wakeUp.wake();
  }

  /** The shard's range changed: the session ends, and the next one begins with the new descriptor (S1). */
  reopen(): void {
    this.endSession();
    this.wakeUp.wake();
  }

  session(): Session | null {
    return this.open;
  }

  listed(): WireReplica {
    return this.entry;
  }

  update(entry: WireReplica): void {
    const before = this.address;
    this.entry = entry;
    this.address = entry.address;
    if (before?.host !== entry.address?.host || before?.port !== entry.address?.port) {
      this.failures = 0;
      this.wakeUp.wake();
    }
  }

  private async run(): Promise<void> {
    const { tuning, env } = this.context;
    while (!this.stopped) {
      this.wakeUp.clear();
      const step = this.open === null ? await this.openSession() : await this.replicate(this.open);
      if (this.stopped) return;
      if (step === 'PROGRESS') {
        this.failures = 0;
      } else if (step === 'IDLE') {
        this.failures = 0;
        await this.wakeUp.wait(this.lastSentMs + tuning.heartbeatMs - env.clock.monotonicMs());
      } else {
        const pauseMs = Math.min(tuning.retryMsMax, tuning.retryMs * 2 ** Math.min(this.failures, 10));
        this.failures++;
        // Addresses change when a node starts again elsewhere; the read is rate limited, and rarer for a node long dead.
        if ((this.failures & (this.failures - 1)) === 0 || this.failures % 16 === 0)
          this.context.refresh(this.owner.shardId);
        await env.timers.sleep(pauseMs * (0.75 + env.random.next() * 0.5));
      }
    }
  }

  private async openSession(): Promise<Step> {
    const { env, tuning, peers } = this.context;
    const descriptor = this.owner.descriptor();
    if (this.address === null) return 'FAILED';
    const sessionId = env.random.hex(12);
    const related = this.context.splits.related(this.owner.shardId);
    const answer = await callPeer(
      peers,
      this.address,
      {
        verb: 'open',
        timeoutMs: tuning.peerTimeoutMs,
        body: {
          session_id: sessionId,
          shard_id: this.owner.shardId,
          replica_id: this.replicaId,
          epoch: this.owner.epoch,
          generation: descriptor.generation,
          leader: { node_id: this.owner.nodeId, node_epoch: this.owner.nodeEpoch },
          descriptor,
          ...(related === null ? {} : { related }),
        },
      },
      openSessionResponseSchema,
    );
    if (this.stopped) return 'FAILED';
    // Opened for a range that the shard no longer has.
    if (!sameBounds(descriptor, this.owner.descriptor())) return 'PROGRESS';
    if (!answer.ok) return this.failed(answer.error);
    const meta = this.owner.meta();
    if (meta === undefined) return 'FAILED';
    const { node_epoch, store_uuid, intact, log_end } = answer.value;
    // A process of an earlier registration, that was not yet told or runs on a copy of the directory: it never stands in for the
    // one that the entry names (R2, E1).
    if (node_epoch < this.entry.node_epoch) return 'FAILED';
    // An IN_SYNC entry vouches for one data directory: another one never stands in for it (L4) while the entry is electable.
    const stranger = store_uuid !== this.entry.store_uuid || !intact;
    if (this.entry.sync_status === 'IN_SYNC' && stranger && node_epoch <= this.entry.node_epoch) {
      this.owner.missing(this, store_uuid);
      return 'FAILED';
    }
    this.open = { sessionId, nodeEpoch: node_epoch, storeUuid: store_uuid };
    this.matchSeq = 0;
    this.caughtUp = false;
    this.leastBehind = Infinity;
    this.lastSentMs = -Infinity;
    this.nextPrevSeq = Math.min(log_end.seq, meta.last.seq);
    this.needsSnapshot = !intact || (log_end.seq === 0 && this.isSmallerThanLog(meta));
    return 'PROGRESS';
  }

  /**
   * For a copy that holds nothing: the rows as they are take fewer bytes than all that was ever written to them, and go in pieces of bounded
   * size, where an entry is taken whole.
   */
  private isSmallerThanLog(meta: ReplicaMeta): boolean {
    const { engine, tuning } = this.context;
    return !this.required && engine.logSize(meta) > Math.max(meta.bytes, tuning.catchUpBytesMax);
  }

  private async replicate(session: Session): Promise<Step> {
    const { env, tuning, engine, peers } = this.context;
    const meta = this.owner.meta();
    if (meta === undefined || this.address === null) return 'FAILED';
    const prevEpoch = this.needsSnapshot ? null : engine.epochAt(meta, this.nextPrevSeq);
    if (prevEpoch === null) return this.snapshot(session);
    const unhurried = !this.required && !this.caughtUp;
    const entries = engine.entries(meta, this.nextPrevSeq + 1, {
      entries: unhurried ? tuning.catchUpItemsMax : APPEND_ENTRIES_MAX,
      bytes: unhurried ? tuning.catchUpBytesMax : APPEND_BYTES_MAX,
    });
    if (unhurried && entries.length > 0) {
      // Nobody waits for this copy: it catches up at the pace of snapshots, beside the clients' requests.
      await this.context.snapshots.take(bytesOf(entries));
      if (this.stopped) return 'FAILED';
      if (this.open !== session) return 'PROGRESS';
    }
    const commitSeq = this.owner.commitSeq();
    const dueMs = this.lastSentMs + tuning.heartbeatMs - env.clock.monotonicMs();
    const round = this.owner.round();
    const isIdle = entries.length === 0 && this.matchSeq === meta.last.seq && this.confirmedRound >= round;
    if (isIdle && dueMs > 0) return 'IDLE';
    const sentMs = env.clock.monotonicMs();
    this.lastSentMs = sentMs;
    const prev = { epoch: prevEpoch, seq: this.nextPrevSeq };
    const answer = await callPeer(
      peers,
      this.address,
      {
        verb: 'append',
        timeoutMs: tuning.peerTimeoutMs,
        body: {
          session_id: session.sessionId,
          shard_id: this.owner.shardId,
          epoch: this.owner.epoch,
          prev,
          entries: entries.map(toWireEntry),
          commit_seq: commitSeq,
        },
      },
      appendResponseSchema,
    );
    if (this.stopped) return 'FAILED';
    if (this.open !== session) return 'PROGRESS';
    if (!answer.ok) return this.failed(answer.error);
    const sentSeq = prev.seq + entries.length;
    if (answer.value.match_seq !== sentSeq) {
      env.log.error('follower acknowledged what was not sent', { shard: this.owner.shardId, replica: this.replicaId });
      return 'FAILED';
    }
    this.matchSeq = sentSeq;
    this.confirmedRound = round;
    this.confirmedSentMs = sentMs;
    this.nextPrevSeq = sentSeq;
    // Up to date as of the moment of sending: under a steady load a newer entry is always on its way.
    if (sentSeq >= meta.last.seq) {
      this.lastCaughtUpMs = env.clock.monotonicMs();
      this.caughtUp = true;
    }
    this.owner.progressed();
    if (unhurried && !this.caughtUp) await this.rest(meta.last.seq - sentSeq, env.clock.monotonicMs() - sentMs);
    return 'PROGRESS';
  }

  /** Leaves the follower's thread to its other shards, unless the copy falls behind meanwhile: it gets there in the end. */
  private async rest(behind: number, appendMs: number): Promise<void> {
    if (behind >= this.leastBehind) return;
    this.leastBehind = behind;
    await this.context.env.timers.sleep(appendMs * REST_PER_APPEND);
  }

  private async snapshot(session: Session): Promise<Step> {
    if (!this.mayReplace(session)) {
      await this.wakeUp.wait(this.context.tuning.tickMs);
      return 'FAILED';
    }
    const address = this.address;
    if (address === null) return 'FAILED';
    const sent = await sendSnapshot(this.context, this.owner, {
      address,
      sessionId: session.sessionId,
      wanted: () => !this.stopped && this.open === session && this.mayReplace(session),
    });
    if (this.stopped) return 'FAILED';
    if (this.open !== session) return 'PROGRESS';
    if (!sent.ok) return this.failed(sent.error);
    this.needsSnapshot = false;
    this.nextPrevSeq = sent.value.seq;
    return 'PROGRESS';
  }

  /**
   * True if the follower's copy may be replaced by a snapshot: it is not required, or its entry is void and stays so whatever was
   * proposed, as the node registered anew since (E1). Then it is unelectable until this session proposes it, and required all along (R1).
   */
  private mayReplace(session: Session): boolean {
    const proposedEpoch = this.proposedAs?.nodeEpoch ?? 0;
    return !this.required || session.nodeEpoch > Math.max(this.entry.node_epoch, proposedEpoch);
  }

  private failed(failure: PeerFailure): Step {
    const { env } = this.context;
    switch (failure.code) {
      case 'STALE_EPOCH':
        this.owner.deposed(failure.max_epoch ?? this.owner.epoch + 1);
        return 'FAILED';
      case 'LOG_MISMATCH':
        this.matchSeq = 0;
        this.nextPrevSeq = Math.max(0, Math.min(failure.hint_seq ?? Infinity, this.nextPrevSeq - 1));
        return 'PROGRESS';
      case 'REPLICA_UNKNOWN':
        this.endSession();
        this.owner.missing(this, this.entry.store_uuid);
        return 'FAILED';
      case 'BOUNDS_MISMATCH':
        // The follower knows of a split that this leader does not.
        this.endSession();
        this.context.refresh(this.owner.shardId);
        return 'FAILED';
      case 'SESSION_UNKNOWN':
      case 'SNAPSHOT_OUT_OF_ORDER':
      case 'NOT_REGISTERED':
        this.endSession();
        return 'FAILED';
      case 'LOG_DIVERGED':
        env.log.error('logs differ below the commit', { shard: this.owner.shardId, replica: this.replicaId });
        this.endSession();
        return 'FAILED';
      case 'INVALID_REQUEST':
      case 'NOT_THE_LEADER':
        env.log.error('follower refused', { shard: this.owner.shardId, replica: this.replicaId, ...failure });
        this.endSession();
        return 'FAILED';
      case 'STORAGE':
      case 'UNREACHABLE':
        // The session goes on: a repeated append changes nothing.
        return 'FAILED';
    }
  }

  private endSession(): void {
    this.open = null;
    this.matchSeq = 0;
  }
}
