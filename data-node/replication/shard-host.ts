import type { CommandAck, NodeCommand } from '../../shared/contracts/node/commands.ts';
import { REPLICATION_ERROR_STATUS } from '../../shared/contracts/node/replication.ts';
import type { HeartbeatRequest } from '../../shared/contracts/node/heartbeat.ts';
import type { Timer } from '../../shared/domain/environment.ts';
import type { Json } from '../../shared/domain/records.ts';
import type { Engine } from '../engine/engine.ts';
import { asStorageError } from '../engine/storage-error.ts';
import type { ReplicaMeta } from '../engine/types.ts';
import type { Caller, ControlPlane, Disk, Environment, LeaseView, PeerNetwork, ShardHost } from '../ports.ts';
import { Commands } from './commands.ts';
import type { ReplicaRegistry } from './commands.ts';
import { spawn } from './context.ts';
import type { HostContext, ReplicationObserver } from './context.ts';
import { DataAccess } from './data-access.ts';
import { DescriptorReads } from './descriptor-reads.ts';
import { Follower } from './follower.ts';
import { GroupCommit } from './group-commit.ts';
import type { LeadershipState } from './leadership.ts';
import { Joins } from './joins.ts';
import { Reporter } from './reporter.ts';
import { RowCounter } from './row-counter.ts';
import { ShardReplica } from './shard-replica.ts';
import { SilentLeaders } from './silent-leaders.ts';
import { SnapshotThrottle } from './snapshot-throttle.ts';
import { SplitKeySearch } from './split-key.ts';
import { Splits } from './splits.ts';
import { Statistics } from './statistics.ts';
import { DEFAULT_TUNING } from './tuning.ts';
import type { Tuning } from './tuning.ts';

export interface ShardHostOptions {
  readonly env: Environment;
  readonly engine: Engine;
  readonly lease: LeaseView;
  readonly controlPlane: ControlPlane;
  readonly peers: PeerNetwork;
  readonly tuning?: Partial<Tuning>;
  readonly observer?: ReplicationObserver;
  /** What the node tells of its disk; nothing when missing. */
  readonly disk?: Disk;
  /** For the control run of the failover benchmark, which must find double leaders: leaders answer without a valid lease. Never in production. */
  readonly unsafeWithoutSelfFencing?: boolean;
}

/** A replica as tests and the simulation's invariants look at it. */
export interface ReplicaView {
  readonly meta: ReplicaMeta;
  readonly role: LeadershipState | 'FOLLOWER';
  /** Epoch of the term, while there is one. */
  readonly leadingEpoch: number | null;
  /** The leader's commit; the durable one of a follower. */
  readonly commitSeq: number;
}

export interface ReplicationHost extends ShardHost {
  inspect(shardId: string): ReplicaView | null;
}

/** Rows of destroyed copies deleted in one transaction: about 1 ms, as clients of other shards wait for it. */
const PURGE_ROWS = 100;

/** The part of a data node that holds replicas. Takes up what the engine holds; leads nothing before `registered`. */
export function createShardHost(options: ShardHostOptions): ReplicationHost {
  return new Host(options);
}

class Host implements ReplicationHost, ReplicaRegistry {
  private readonly context: HostContext;
  private readonly replicas = new Map<string, ShardReplica>();
  private readonly reads: DescriptorReads;
  private readonly commands: Commands;
  private readonly follower: Follower;
  private readonly data: DataAccess;
  private readonly silentLeaders: SilentLeaders;
  private readonly statistics: Statistics;
  private readonly counter: RowCounter;
  private purging: Timer | null = null;
  private closed = false;

  constructor(options: ShardHostOptions) {
    const { env, engine, controlPlane } = options;
    const tuning = { ...DEFAULT_TUNING, ...options.tuning };
    this.reads = new DescriptorReads(env, controlPlane, tuning.descriptorReadMs, (descriptor) =>
      this.find(descriptor.shard_id)?.adopt(descriptor),
    );
    const context: HostContext = {
      env,
      engine,
      controlPlane,
      tuning,
      lease: options.lease,
      peers: options.peers,
      commits: new GroupCommit(engine, env),
      reporter: new Reporter(env, controlPlane),
      observer: options.observer ?? {},
      snapshots: new SnapshotThrottle(env, tuning.snapshotBytesPerSecond),
      selfFencing: options.unsafeWithoutSelfFencing !== true,
      refresh: (shardId) => this.reads.read(shardId),
      adopt: (descriptor) => this.find(descriptor.shard_id)?.adopt(descriptor),
      get splits() {
        return splits;
      },
      get joins() {
        return joins;
      },
      get splitKeys() {
        return splitKeys;
      },
      get statistics() {
        return statistics;
      },
    };
    this.context = context;
    this.counter = new RowCounter(context);
    const splits = new Splits(context, this, this.counter);
    const joins = new Joins(context, this);
    const splitKeys = new SplitKeySearch(context);
    const statistics = new Statistics(context, options.disk);
    this.commands = new Commands(this.context, this, this.counter);
    const find = (shardId: string): ShardReplica | undefined => this.find(shardId);
    this.follower = new Follower(this.context, find);
    this.data = new DataAccess(this.context, find);
    this.silentLeaders = new SilentLeaders(this.context, () => this.replicas.values());
    this.statistics = statistics;
    for (const meta of engine.replicas()) this.add(meta);
    this.silentLeaders.start();
    this.purgeAfter(tuning.purgeMs);
  }

  find(shardId: string): ShardReplica | undefined {
    return this.replicas.get(shardId);
  }

  all(): Iterable<ShardReplica> {
    return this.replicas.values();
  }

  add(meta: ReplicaMeta): ShardReplica {
    const replica = new ShardReplica(this.context, meta);
    this.replicas.set(meta.shardId, replica);
    return replica;
  }

  drop(shardId: string): void {
    this.replicas.delete(shardId);
  }

  async apply(command: NodeCommand): Promise<CommandAck> {
    const refused = (code: string, message: string): CommandAck => ({
      command_id: command.command_id,
      outcome: 'REFUSED',
      code,
      message,
      receipt: null,
    });
    if (this.closed) return refused('CLOSED', 'the node is stopping');
    try {
      return await this.commands.apply(command);
    } catch (error) {
      const storage = asStorageError(error);
      if (storage === null) throw error;
      return refused('STORAGE', storage.message);
    }
  }

  registered(registration: { readonly nodeId: string; readonly nodeEpoch: number; readonly storeUuid: string }): void {
    const { env, commits } = this.context;
    for (const replica of this.replicas.values()) replica.voidSessions();
    const strangers = this.context.engine
      .replicas()
      .filter((meta) => meta.intact && meta.storeUuid !== registration.storeUuid);
    if (strangers.length > 0) {
      // The directory lost its identity (L4): what it holds is no proof of anything until a leader has replaced it.
      const marked = commits.submit((tx) => {
        for (const meta of strangers)
          if (tx.replica(meta.shardId)?.replicaId === meta.replicaId) tx.patchReplica(meta.shardId, { intact: false });
      });
      spawn(env, 'mark replicas of another directory', marked);
    }
    for (const replica of this.replicas.values()) replica.considerLeading();
  }

  stats(): NonNullable<HeartbeatRequest['stats']> {
    return this.statistics.take([...this.replicas.values()]);
  }

  async handlePeer(
    verb: string,
    body: unknown,
    caller: Extract<Caller, { kind: 'node' }>,
  ): Promise<{ status: number; body: Json }> {
    try {
      return await this.follower.handle(verb, body, caller);
    } catch (error) {
      const storage = asStorageError(error);
      if (storage === null) throw error;
      const refusal = { code: 'STORAGE', message: storage.message, max_epoch: null, hint_seq: null };
      return { status: REPLICATION_ERROR_STATUS.STORAGE, body: refusal };
    }
  }

  handleData(
    verb: string,
    body: unknown,
    caller: Extract<Caller, { kind: 'client' }>,
  ): Promise<{ status: number; body: Json }> {
    return this.data.handle(verb, body, caller);
  }

  inspect(shardId: string): ReplicaView | null {
    const replica = this.find(shardId);
    const meta = replica?.meta();
    if (replica === undefined || meta === undefined) return null;
    const leadership = replica.leadership();
    return {
      meta,
      role: leadership?.state() ?? 'FOLLOWER',
      leadingEpoch: leadership?.epoch ?? null,
      commitSeq: leadership?.commitSeq() ?? meta.commitSeq,
    };
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.purging?.cancel();
    this.silentLeaders.close();
    this.reads.close();
    this.counter.close();
    const terms = [...this.replicas.values()].flatMap((replica) => replica.leadership() ?? []);
    await Promise.all(terms.map((leadership) => leadership.stepDown()));
    for (const replica of this.replicas.values()) replica.retire();
  }

  /** Deletes what destroyed copies left, a little at a time, while there is any. */
  private purgeAfter(pauseMs: number): void {
    const { env, tuning, commits, engine } = this.context;
    this.purging = env.timers.after(pauseMs, () => {
      if (this.closed || engine.failure() !== null) return;
      if (!engine.mayHoldGarbage()) {
        this.purgeAfter(tuning.purgeIdleMs);
        return;
      }
      const purged = commits.submit((tx) => tx.purge(PURGE_ROWS), 'LAZY');
      spawn(
        env,
        'purge destroyed copies',
        purged.then((more) => {
          if (!this.closed) this.purgeAfter(more.ok && more.value ? tuning.purgeMs : tuning.purgeIdleMs);
        }),
      );
    });
  }
}
