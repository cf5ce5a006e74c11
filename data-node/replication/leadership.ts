import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import type { ReplicaMeta } from '../engine/types.ts';
import type { StorageError } from '../engine/storage-error.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { Timer } from '../../shared/domain/environment.ts';
import { ackState, applyDescriptor } from './ack-set.ts';
import type { HostContext } from './context.ts';
import { Heirs } from './heirs.ts';
import type { InFlight } from './heirs.ts';
import { appendWrite, notLeading, takeUpEpoch } from './leader-log.ts';
import { LeaderReports } from './leader-reports.ts';
import type { ReportingTerm } from './leader-reports.ts';
import { PeerLink } from './peer-link.ts';
import type { LinkOwner } from './peer-link.ts';
import { ReadRounds } from './read-rounds.ts';
import type { ShardReplica } from './shard-replica.ts';
import { sameBounds } from './splits.ts';
import { WriteWaiters } from './write-waiters.ts';
import type { ClientWrite, WaitOutcome, WriteOutcome } from './write-waiters.ts';

/** Between two looks whether everything is committed, while a side of a merge takes no writes, ms. */
const SEAL_POLL_MS = 2;

/**
 * One term of one leader: from the durable promise of the epoch until it is deposed, steps down, or its registration ends.
 * ESTABLISHING: the no-op is not yet committed, nothing is served (R5). A term that ended never begins again: what it had
 * required or proposed is forgotten, so the node leads again only under a higher epoch.
 */
export type LeadershipState = 'ESTABLISHING' | 'SERVING' | 'STEPPING_DOWN' | 'ENDED';

export class Leadership implements LinkOwner, ReportingTerm {
  readonly shardId: string;
  readonly epoch: number;
  readonly nodeId: string;
  readonly nodeEpoch: number;
  private readonly context: HostContext;
  private readonly replicaId: string;
  private readonly links = new Map<string, PeerLink>();
  private readonly waiters: WriteWaiters;
  private readonly rounds: ReadRounds;
  private readonly heirs: Heirs;
  private readonly reports: LeaderReports;
  private readonly pins = new Set<{ readonly seq: number }>();
  private current: WireDescriptor;
  private phase: LeadershipState = 'ESTABLISHING';
  private noopSeq = Infinity;
  private durableSeq = 0;
  private committed = 0;
  private ticker: Timer | null = null;
  private taking: Promise<Result<void, StorageError | 'STALE'>> | null = null;
  private sealing: Promise<number | null> | null = null;

  constructor(context: HostContext, descriptor: WireDescriptor) {
    this.context = context;
    this.shardId = descriptor.shard_id;
    this.epoch = descriptor.epoch;
    this.nodeId = descriptor.leader.node_id;
    this.nodeEpoch = descriptor.leader.node_epoch;
    this.replicaId = descriptor.leader.replica_id;
    this.current = descriptor;
    this.waiters = new WriteWaiters(context.env.timers);
    this.rounds = new ReadRounds(context.env.timers);
    this.heirs = new Heirs(context.env.clock);
    this.reports = new LeaderReports(context, this);
  }

  state(): LeadershipState {
    return this.phase;
  }

  descriptor(): WireDescriptor {
    return this.current;
  }

  commitSeq(): number {
    return this.committed;
  }

  meta(): ReplicaMeta | undefined {
    const meta = this.context.engine.replica(this.shardId);
    return meta?.replicaId === this.replicaId ? meta : undefined;
  }

  /** L3, E1: the node may answer as leader now. To be asked after the read, and after the ack set was evaluated (R5). */
  entitled(): boolean {
    if (!this.context.selfFencing) return this.phase !== 'ENDED';
    const registration = this.context.lease.registration();
    return this.phase !== 'ENDED' && registration?.nodeEpoch === this.nodeEpoch && this.context.lease.held();
  }

  /**
   * True while the term is one of the node's present registration, under a lease or not. Without one every answer needs a round of
   * confirmations (E5), and nothing is proposed.
   */
  stands(): boolean {
    if (!this.context.selfFencing) return this.phase !== 'ENDED';
    return this.phase !== 'ENDED' && this.context.lease.registration()?.nodeEpoch === this.nodeEpoch;
  }

  /**
   * E5: asks every member of the ack set whether this is still the newest epoch that it knows. Answers a moment since the call in
   * which it was (monotonic ms); null if a member did not confirm within `ackTimeoutMs`.
   */
  async confirmed(): Promise<number | null> {
    const confirmed = this.rounds.begin(this.context.tuning.ackTimeoutMs);
    for (const link of this.links.values()) link.wake();
    this.progressed();
    const atMs = await confirmed;
    return this.stands() ? atMs : null;
  }

  /** The newest round of confirmations that began. */
  round(): number {
    return this.rounds.present();
  }

  /**
   * Takes up the epoch: promises it and appends a no-op, in one fsync (R5), then replicates. Serves once the no-op is
   * committed. STALE: the replica promised more, gave a receipt, or led this epoch before.
   */
  establish(): Promise<Result<void, StorageError | 'STALE'>> {
    this.taking ??= this.takeUp();
    return this.taking;
  }

  private async takeUp(): Promise<Result<void, StorageError | 'STALE'>> {
    const { commits, env } = this.context;
    const taken = await commits.submit((tx) => takeUpEpoch(tx, this.replicaId, this.current, env.clock.wallMs()));
    if (!taken.ok) {
      this.end();
      return taken;
    }
    if (taken.value === null || this.phase === 'ENDED') {
      this.end();
      return err('STALE');
    }
    this.noopSeq = taken.value.last.seq;
    this.durableSeq = taken.value.last.seq;
    this.committed = taken.value.commitSeq;
    this.connect();
    this.tick();
    this.progressed();
    return ok(undefined);
  }

  /**
   * S1: goes on where the parent's term was when it forked. That term acknowledged nothing beyond `committed`, and this node alone
   * could have: so committed state is served before the no-op is committed. Writes are acknowledged after it like any others.
   */
  continueFrom(meta: ReplicaMeta, committed: number): void {
    this.taking = Promise.resolve(ok(undefined));
    this.noopSeq = meta.last.seq;
    this.durableSeq = meta.last.seq;
    this.committed = committed;
    this.phase = 'SERVING';
    this.announce('SERVING');
    this.connect();
    this.tick();
  }

  /** A right part was forked off: entries in flight that touch it are acknowledged when it has committed them too. */
  forked(child: ShardReplica): void {
    this.heirs.add(child, this.context.tuning.writeTimeoutMs);
  }

  /**
   * Resolves when the entry is committed, or after its deadline. The shard may be split while that is waited for: then its right part
   * must have committed what it took along.
   */
  async committedAt(entry: InFlight): Promise<WaitOutcome> {
    const outcome = this.waiters.wait(entry.seq, Math.max(0, entry.deadlineMs - this.context.env.clock.monotonicMs()));
    if (this.phase === 'ENDED') this.waiters.endAll();
    else this.progressed();
    return this.inHeirs(await outcome, entry);
  }

  private inHeirs(outcome: WaitOutcome, entry: InFlight): Promise<WaitOutcome> {
    const { start_key: from, end_key: to } = this.current;
    return this.heirs.settle(outcome, entry, { from, to });
  }

  /** Notes a newer generation of this epoch's descriptor. */
  apply(descriptor: WireDescriptor): void {
    if (descriptor.epoch !== this.epoch || this.phase === 'ENDED') return;
    if (descriptor.generation >= this.current.generation) this.reports.descriptorSeen();
    if (descriptor.generation > this.current.generation) {
      const bounded = sameBounds(this.current, descriptor);
      this.current = descriptor;
      for (const link of this.links.values()) {
        applyDescriptor(link, descriptor);
        // A session belongs to the range that it was opened for (S1).
        if (!bounded) link.reopen();
      }
    } else if (descriptor.generation === this.current.generation) {
      // Same facts, perhaps newer addresses.
      this.current = descriptor;
    } else return;
    if (this.noopSeq === Infinity) return;
    this.connect();
    this.progressed();
  }

  /** Writes through the log. The entry is durable here before it is sent anywhere. */
  async write(write: ClientWrite): Promise<WriteOutcome> {
    const { commits, tuning } = this.context;
    // E5: refused at once where the followers can't be reached either, rather than left in doubt.
    if (!this.entitled() && (await this.confirmed()) === null)
      return {
        kind: 'REFUSED',
        code: 'NO_LEASE',
        message: 'the node has no valid lease, and not every follower confirms',
      };
    const deadlineMs = this.context.env.clock.monotonicMs() + tuning.writeTimeoutMs;
    const appended = await commits.submit((tx) => {
      if (this.phase !== 'SERVING') return notLeading;
      const { members } = ackState(this.durableSeq, this.links.values());
      return appendWrite(tx, write, {
        replicaId: this.replicaId,
        descriptor: this.current,
        members,
        commitSeq: this.committed,
        keepFromSeq: Math.min(Infinity, ...[...this.pins].map((pin) => pin.seq)),
        wallMs: this.context.env.clock.wallMs(),
      });
    });
    if (!appended.ok) return { kind: 'REFUSED', code: 'STORAGE', message: appended.error.message };
    if ('code' in appended.value) return { kind: 'REFUSED', ...appended.value };
    const { seq, at } = appended.value;
    if (this.phase === 'ENDED')
      return { kind: 'UNKNOWN', message: 'the leadership ended before the write was committed' };
    this.durableSeq = Math.max(this.durableSeq, seq);
    const remainingMs = Math.max(0, deadlineMs - this.context.env.clock.monotonicMs());
    const outcome = this.waiters.wait(seq, remainingMs);
    for (const link of this.links.values()) link.wake();
    this.progressed();
    const ended = await this.inHeirs(await outcome, { seq, changes: write.changes, deadlineMs });
    if (ended.kind === 'ACKNOWLEDGED') return { ...ended, at };
    return { kind: 'UNKNOWN', message: 'the write was not acknowledged in time' };
  }

  /** Evaluates the ack set, advances the commit, then checks the lease and acknowledges (R5). */
  progressed(): void {
    if (this.phase === 'ENDED') return;
    const { ackedSeq, members } = ackState(this.durableSeq, this.links.values());
    const nowMs = this.context.env.clock.monotonicMs();
    if (members >= this.current.min_in_sync) {
      this.acknowledge(ackedSeq);
      this.rounds.confirm(this.links.values(), nowMs);
    }
    if (this.phase !== 'STEPPING_DOWN') this.reports.propose(this.links.values());
  }

  private acknowledge(ackedSeq: number): void {
    if (ackedSeq >= this.noopSeq && ackedSeq > this.committed) this.committed = ackedSeq;
    if (this.phase === 'ESTABLISHING' && this.committed >= this.noopSeq) {
      this.phase = 'SERVING';
      this.announce('SERVING');
    }
    if (this.waiters.size === 0) return;
    const nowMs = this.context.env.clock.monotonicMs();
    if (this.entitled()) this.waiters.acknowledge(this.committed, nowMs);
    // E5: every member of the ack set holds what is committed, whoever leads next is one of them, and none of them had promised a
    // higher epoch when it took the entry.
    else if (this.stands()) this.waiters.acknowledge(this.committed, this.confirmedSinceMs(nowMs));
  }

  /** A moment in which no member of the ack set had promised a higher epoch: when the oldest of their newest answers was asked for. */
  private confirmedSinceMs(nowMs: number): number {
    let sinceMs = nowMs;
    for (const link of this.links.values()) if (link.required) sinceMs = Math.min(sinceMs, link.confirmedSentMs);
    return sinceMs;
  }

  deposed(maxEpoch: number): void {
    this.context.env.log.warn('deposed', { shard: this.shardId, epoch: this.epoch, max_epoch: maxEpoch });
    this.end();
    this.context.refresh(this.shardId);
  }

  missing(link: PeerLink, storeUuid: string): void {
    this.reports.missing(link, storeUuid);
  }

  pin(seq: number): () => void {
    const held = { seq };
    this.pins.add(held);
    return () => this.pins.delete(held);
  }

  /** Entries that the slowest other replica is behind. */
  lagEntries(): number {
    let slowest = this.durableSeq;
    for (const link of this.links.values()) slowest = Math.min(slowest, link.matchSeq);
    return this.durableSeq - slowest;
  }

  /** Accepts nothing new and waits until what is in flight is acknowledged, at most `settleMs`. Then the term is over. */
  async stepDown(): Promise<void> {
    if (this.phase === 'ENDED') return;
    this.phase = 'STEPPING_DOWN';
    const { env, tuning } = this.context;
    const deadlineMs = env.clock.monotonicMs() + tuning.settleMs;
    while (this.waiters.size > 0 && env.clock.monotonicMs() < deadlineMs) await env.timers.sleep(tuning.tickMs / 10);
    this.end();
  }

  /**
   * S2: takes nothing new and waits until all of the log is committed, so that every member of the ack set holds it; answers the commit.
   * Null: a member is behind, or none is left to wait for; the term then goes on, nothing was promised. At most one answer of a
   * peer is waited for, as the shard takes no writes meanwhile.
   */
  sealLog(): Promise<number | null> {
    this.sealing ??= this.seal().finally(() => (this.sealing = null));
    return this.sealing;
  }

  private async seal(): Promise<number | null> {
    const { env, tuning } = this.context;
    const required = [...this.links.values()].filter((link) => link.required);
    const behind = required.some((link) => this.durableSeq - link.matchSeq > tuning.growthLagEntriesMax);
    if (this.phase !== 'SERVING' || behind) return null;
    this.phase = 'STEPPING_DOWN';
    const isSealed = (): boolean => this.waiters.size === 0 && this.committed === this.meta()?.last.seq;
    const deadlineMs = env.clock.monotonicMs() + tuning.peerTimeoutMs;
    while (this.isSteppingDown() && !isSealed() && env.clock.monotonicMs() < deadlineMs)
      await env.timers.sleep(SEAL_POLL_MS);
    if (this.isSteppingDown() && isSealed()) return this.committed;
    if (this.isSteppingDown()) this.phase = 'SERVING';
    return null;
  }

  /** Asked anew after each wait: the term may have ended meanwhile. */
  private isSteppingDown(): boolean {
    return this.phase === 'STEPPING_DOWN';
  }

  end(): void {
    if (this.phase === 'ENDED') return;
    const announced = this.phase !== 'ESTABLISHING';
    this.phase = 'ENDED';
    this.ticker?.cancel();
    for (const link of this.links.values()) link.stop();
    this.waiters.endAll();
    this.rounds.endAll();
    if (announced) this.announce('ENDED');
  }

  /** Links to every other replica that the descriptor lists; a replica that left it is let go. */
  private connect(): void {
    const listed = new Map(this.current.replicas.map((replica) => [replica.replica_id, replica]));
    listed.delete(this.replicaId);
    for (const [replicaId, link] of this.links) {
      const entry = listed.get(replicaId);
      if (entry !== undefined) link.update(entry);
      else if (!link.required) {
        link.stop();
        this.links.delete(replicaId);
      }
    }
    for (const [replicaId, entry] of listed) {
      if (this.links.has(replicaId)) continue;
      const link = new PeerLink(this.context, this, entry);
      this.links.set(replicaId, link);
      link.start();
    }
  }

  private tick(): void {
    if (this.phase === 'ENDED') return;
    if (this.context.engine.failure() !== null) {
      this.end();
      return;
    }
    this.reports.settle();
    if (this.phase === 'SERVING') this.context.splitKeys.consider(this);
    this.progressed();
    this.ticker = this.context.env.timers.after(this.context.tuning.tickMs, () => this.tick());
  }

  private announce(kind: 'SERVING' | 'ENDED'): void {
    const { env, observer } = this.context;
    const event = kind === 'SERVING' ? 'leading' : 'no longer leading';
    // In the next turn: the line is written before the call returns, and a fork announces while its shard is locked (S1).
    env.timers.after(0, () => env.log.info(event, { shard: this.shardId, epoch: this.epoch }));
    observer.onLeadership?.({ kind, shardId: this.shardId, epoch: this.epoch, atMs: env.clock.monotonicMs() });
  }
}
