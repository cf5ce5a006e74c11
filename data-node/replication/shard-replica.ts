import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import type { StepDownReceipt } from '../../shared/contracts/node/commands.ts';
import { covers } from '../engine/key-range.ts';
import type { StorageError } from '../engine/storage-error.ts';
import type { ReplicaMeta } from '../engine/types.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import { spawn } from './context.ts';
import type { HostContext } from './context.ts';
import { mayLead } from './leader-log.ts';
import { ShardLoad } from './shard-load.ts';
import { Leadership } from './leadership.ts';
import { bringsRightPart } from './joins.ts';
import { takesRightPartAway } from './splits.ts';

/** A follower's side of a session (R2). In memory only: it ends with the process, the registration, or a newer session. */
export interface FollowerSession {
  readonly sessionId: string;
  readonly epoch: number;
  /** The follower's own node epoch when the session was opened. */
  readonly nodeEpoch: number;
  /** A chunk of a snapshot is being written. */
  loading: boolean;
  /** The last snapshot that was taken as a whole, and its last chunk: a repetition changes nothing. */
  loaded: { readonly snapshotId: string; readonly chunk: number } | null;
  /** A snapshot that is being loaded. */
  staging: {
    readonly snapshotId: string;
    readonly storageId: number;
    nextChunk: number;
    rows: number;
    bytes: number;
  } | null;
}

/** Pause before a leader whose disk refused the no-op tries again to take up its epoch, ms. */
const ESTABLISH_RETRY_MS = 1_000;

/** What a node knows and does about one replica that it holds, beyond what the engine stores. */
export class ShardReplica {
  readonly shardId: string;
  readonly replicaId: string;
  private readonly context: HostContext;
  private known: WireDescriptor;
  private led: Leadership | null = null;
  private removed = false;
  /** A split or merge of this copy that is not durable yet, and the newest descriptor that came meanwhile. */
  private reshaping: Promise<void> | null = null;
  private latest: { readonly descriptor: WireDescriptor; readonly related: WireDescriptor | null } | null = null;
  session: FollowerSession | null = null;
  /** Monotonic ms at which a leader was last heard, or the replica began to listen. */
  lastHeardMs: number;
  /** Next report of a silent leader, and the pause after it. */
  reportDueMs = Infinity;
  reportPauseMs = 0;
  readonly load: ShardLoad;

  constructor(context: HostContext, meta: ReplicaMeta) {
    this.context = context;
    this.shardId = meta.shardId;
    this.replicaId = meta.replicaId;
    this.known = meta.descriptor;
    this.load = new ShardLoad(context.env.random);
    this.lastHeardMs = 0;
    this.heard();
  }

  /** Newest descriptor known; persisted or about to be. */
  descriptor(): WireDescriptor {
    return this.known;
  }

  leadership(): Leadership | null {
    if (this.led?.state() === 'ENDED') this.led = null;
    return this.led;
  }

  /** The durable record; undefined once the replica was destroyed. */
  meta(): ReplicaMeta | undefined {
    const meta = this.context.engine.replica(this.shardId);
    return meta?.replicaId === this.replicaId ? meta : undefined;
  }

  /** Nothing of a lower epoch is accepted (I-5): the durable promise, or the epoch of a descriptor that is known. */
  promisedEpoch(): number {
    return Math.max(this.meta()?.maxEpoch ?? 0, this.known.epoch);
  }

  /** A leader was heard: its silence is measured from now, with jitter so that a node's death is not reported by all at once. */
  heard(): void {
    const { env, tuning } = this.context;
    this.lastHeardMs = env.clock.monotonicMs();
    this.reportPauseMs = tuning.silentLeaderMs;
    this.reportDueMs = this.lastHeardMs + tuning.silentLeaderMs * (1 + env.random.next() / 2);
  }

  /** True if the newest descriptor lists this replica. */
  isListed(): boolean {
    return this.known.replicas.some((replica) => replica.replica_id === this.replicaId);
  }

  /**
   * Acts on a descriptor from any source: keeps the newest generation, ends a term that it supersedes, takes up one that it
   * gives. Never goes back to an older generation; the same generation may bring newer addresses. A split is known only once it
   * is durable (S1): `settled` tells. `related`: the other half, if the source told of it.
   */
  adopt(descriptor: WireDescriptor, related: WireDescriptor | null = null): void {
    if (descriptor.shard_id !== this.shardId || this.removed) return;
    const { generation, epoch } = this.known;
    if (descriptor.generation < generation || descriptor.epoch < epoch) return;
    const isNewer = descriptor.generation > generation;
    if (isNewer && (this.reshaping !== null || this.changesRange(descriptor))) {
      this.reshape(descriptor, related);
      return;
    }
    const { env } = this.context;
    const waitedBeforeMs = env.processorWaitMs?.() ?? 0;
    const startMs = env.clock.monotonicMs();
    const otherMembers = !sameMembers(this.known, descriptor);
    this.known = descriptor;
    if (isNewer) this.persist(descriptor);
    const leadership = this.leadership();
    if (leadership !== null && descriptor.epoch > leadership.epoch) leadership.end();
    else leadership?.apply(descriptor);
    if (leadership !== null && otherMembers) {
      const lockMs = env.clock.monotonicMs() - startMs;
      env.log.info('members changed', {
        shard: this.shardId,
        generation: descriptor.generation,
        lock_ms: lockMs,
        // Of these: the thread was ready, and the machine gave the processor to other programs.
        lock_wait_ms: (env.processorWaitMs?.() ?? 0) - waitedBeforeMs,
      });
    }
    this.considerLeading();
  }

  /** The copy's range is just changing. */
  isReshaping(): boolean {
    return this.reshaping !== null;
  }

  /** Resolves when no split or merge is under way on this copy. */
  async settled(): Promise<void> {
    while (this.reshaping !== null) await this.reshaping;
  }

  /** The split became durable: from now on this copy is the left part. */
  shrunk(descriptor: WireDescriptor): void {
    this.endSession();
    const leadership = this.leadership();
    this.known = descriptor;
    const { start_key: from, end_key: to } = descriptor;
    this.load.forget((key) => !covers({ from, to }, key));
    if (leadership !== null && descriptor.epoch > leadership.epoch) leadership.end();
    else leadership?.apply(descriptor);
    this.considerLeading();
  }

  /** S1: the parent's term goes on in this copy, whose no-op is durable; what `committed` covers is served at once. */
  continueLeading(meta: ReplicaMeta, committed: number): void {
    const leadership = new Leadership(this.context, this.known);
    this.led = leadership;
    leadership.continueFrom(meta, committed);
  }

  /** The merge became durable: from now on this copy is of the merged shard (S2). */
  widened(descriptor: WireDescriptor): void {
    this.endSession();
    this.known = descriptor;
    this.heard();
    this.considerLeading();
  }

  private changesRange(next: WireDescriptor): boolean {
    return takesRightPartAway(this.known, next) || bringsRightPart(this.known, next);
  }

  private reshape(descriptor: WireDescriptor, related: WireDescriptor | null): void {
    if (this.reshaping !== null) {
      if (descriptor.generation >= (this.latest?.descriptor.generation ?? 0)) this.latest = { descriptor, related };
      return;
    }
    const { env, splits, joins } = this.context;
    const durable = bringsRightPart(this.known, descriptor)
      ? joins.take(this, descriptor)
      : splits.take(this, descriptor, related).then(() => joins.dropAbsorbed(descriptor));
    this.reshaping = durable.finally(() => {
      const { latest } = this;
      this.reshaping = null;
      this.latest = null;
      if (latest !== null) this.adopt(latest.descriptor, latest.related);
    });
    spawn(env, 'take a split or merge', this.reshaping);
  }

  /** E1: takes up a term only under the node epoch of the present registration, in the directory that holds the copy. */
  considerLeading(): void {
    const registration = this.context.lease.registration();
    const { leader, epoch } = this.known;
    const meta = this.meta();
    if (registration === null || meta === undefined || this.removed || this.leadership() !== null) return;
    if (leader.node_id !== registration.nodeId || leader.replica_id !== this.replicaId) return;
    if (leader.node_epoch !== registration.nodeEpoch || meta.storeUuid !== registration.storeUuid) return;
    if (!mayLead(meta, epoch)) return;
    const leadership = new Leadership(this.context, this.known);
    this.led = leadership;
    this.endSession();
    spawn(this.context.env, 'take up leadership', this.establish(leadership));
  }

  /**
   * E2: ends the term and persists the receipt before it is given. STALE: the replica promised or knows a higher epoch. `committedSeq`: what
   * is known to be committed becomes durable with it.
   */
  async stepDown(epoch: number, committedSeq = 0): Promise<Result<StepDownReceipt, StorageError | 'STALE'>> {
    const leadership = this.leadership();
    if (leadership !== null && leadership.epoch <= epoch) await leadership.stepDown();
    const generation = this.known.generation;
    const persisted = await this.context.commits.submit((tx): NonNullable<ReplicaMeta['receipt']> | null => {
      const meta = tx.replica(this.shardId);
      if (meta?.replicaId !== this.replicaId || meta.maxEpoch > epoch) return null;
      const before = meta.receipt?.epoch === epoch ? meta.receipt.generation : 0;
      const receipt = { epoch, generation: Math.max(before, generation) };
      if (meta.receipt !== null && meta.receipt.epoch > epoch) return null;
      const commitSeq = Math.max(meta.commitSeq, committedSeq);
      tx.patchReplica(this.shardId, { receipt, commitSeq, maxEpoch: Math.max(meta.maxEpoch, epoch) });
      return receipt;
    });
    if (!persisted.ok) return persisted;
    if (persisted.value === null) return err('STALE');
    return ok({ shard_id: this.shardId, replica_id: this.replicaId, ...persisted.value });
  }

  /**
   * S2: the receipt of a side of a merge, with the end of the log. NOT_SETTLED: a member of the ack set is behind; nothing was promised
   * and the term goes on. Repeated, it gives the same answer.
   */
  async seal(epoch: number): Promise<Result<StepDownReceipt, StorageError | 'STALE' | 'NOT_SETTLED'>> {
    const leadership = this.leadership();
    const committed = leadership?.epoch === epoch ? await leadership.sealLog() : this.sealedSeq(epoch);
    if (committed === null) return err('NOT_SETTLED');
    const receipt = await this.stepDown(epoch, committed);
    if (!receipt.ok) return receipt;
    const meta = this.meta();
    if (meta === undefined || this.sealedSeq(epoch) === null) return err('STALE');
    return ok({ ...receipt.value, sealed: { ...meta.last } });
  }

  /**
   * The end of a log that was sealed at `epoch`, from what is durable: the receipt, and a commit that covers the whole log. Nothing can
   * have followed at this epoch, and whoever is IN_SYNC holds what was committed (R1). Null: it was not.
   */
  private sealedSeq(epoch: number): number | null {
    const meta = this.meta();
    const isSealed =
      meta?.receipt?.epoch === epoch &&
      meta.maxEpoch === epoch &&
      meta.last.epoch === epoch &&
      meta.commitSeq === meta.last.seq;
    return isSealed ? meta.commitSeq : null;
  }

  /** The registration changed: terms and sessions of older node epochs are void (E1, R2). */
  voidSessions(): void {
    this.leadership()?.end();
    this.endSession();
    this.heard();
  }

  endSession(): void {
    const staging = this.session?.staging ?? null;
    if (staging !== null) this.context.engine.releaseStaging(staging.storageId);
    this.session = null;
  }

  /** The replica is destroyed, or the host closes: nothing is taken up any more. */
  retire(): void {
    this.removed = true;
    this.leadership()?.end();
    this.endSession();
  }

  private async establish(leadership: Leadership): Promise<void> {
    const { env } = this.context;
    const taken = await leadership.establish();
    if (taken.ok || taken.error === 'STALE') return;
    env.log.error('cannot take up leadership', { shard: this.shardId, error: taken.error.message });
    await env.timers.sleep(ESTABLISH_RETRY_MS);
    this.considerLeading();
  }

  private persist(descriptor: WireDescriptor): void {
    const { env, commits } = this.context;
    const written = commits.submit((tx) => {
      const meta = tx.replica(this.shardId);
      if (meta?.replicaId !== this.replicaId || meta.descriptor.generation >= descriptor.generation) return;
      // Knowing of an epoch is as good as a promise: its leader was chosen after the old one was fenced or gave its receipt.
      tx.patchReplica(this.shardId, { descriptor, maxEpoch: Math.max(meta.maxEpoch, descriptor.epoch) });
    });
    spawn(
      env,
      'persist a descriptor',
      written.then((result) => {
        if (!result.ok) env.log.error('descriptor not persisted', { shard: this.shardId, error: result.error.message });
      }),
    );
  }
}

/** True if both list the same copies with the same status: nothing for a leader to change in its ack set. */
const sameMembers = (left: WireDescriptor, right: WireDescriptor): boolean =>
  left.replicas.length === right.replicas.length &&
  left.replicas.every((one, index) => {
    const other = right.replicas[index];
    return one.replica_id === other?.replica_id && one.sync_status === other.sync_status;
  });
