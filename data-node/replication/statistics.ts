import { HEARTBEAT_SHARDS_MAX } from '../../shared/contracts/node/heartbeat.ts';
import type { HeartbeatRequest } from '../../shared/contracts/node/heartbeat.ts';
import type { Disk } from '../ports.ts';
import type { HostContext } from './context.ts';
import type { ShardReplica } from './shard-replica.ts';

type Stats = NonNullable<HeartbeatRequest['stats']>;

/** Times of the last forks kept for the statistics. */
const SPLIT_LOCKS_MAX = 1_000;
/** Requests whose time is kept for the p99 between two statistics: the last ones. */
const ANSWERS_MAX = 4_096;

function p99(samples: readonly number[]): number {
  const sorted = [...samples].sort((left, right) => left - right);
  return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 0;
}

/** What a node tells of its shards on the slower beat: the sums, and its busiest and changed shards. */
export class Statistics {
  private readonly context: HostContext;
  private readonly disk: Disk | null;
  private sinceMs: number;
  /** Role and serving of each shard as last told, to find the changed ones. */
  private answeredMs: number[] = [];
  private nextAnswered = 0;
  private splitLocksMs: readonly number[] = [];
  private told = new Map<string, string>();

  /** `disk`: null where the node can't tell of it. */
  constructor(context: HostContext, disk: Disk | null = null) {
    this.context = context;
    this.disk = disk;
    this.sinceMs = context.env.clock.monotonicMs();
  }

  /** The parent's keys could not be served for so long while it was forked (S1). */
  splitLock(lockMs: number): void {
    this.splitLocksMs = [...this.splitLocksMs, lockMs].slice(-SPLIT_LOCKS_MAX);
  }

  /** A client's request was answered after so long. */
  answered(ms: number): void {
    this.answeredMs[this.nextAnswered++ % ANSWERS_MAX] = ms;
  }

  /** Counts requests since the last call. */
  take(replicas: readonly ShardReplica[]): Stats {
    const nowMs = this.context.env.clock.monotonicMs();
    const seconds = Math.max(0.001, (nowMs - this.sinceMs) / 1000);
    this.sinceMs = nowMs;
    const told = new Map<string, string>();
    const shards = replicas.flatMap((replica) => {
      const meta = replica.meta();
      if (meta === undefined) return [];
      const leadership = replica.leadership();
      const state = leadership?.state();
      const serving = (state === 'SERVING' || state === 'STEPPING_DOWN') && leadership?.entitled() === true;
      const role = leadership === null ? ('FOLLOWER' as const) : ('LEADER' as const);
      const label = `${role} ${serving}`;
      told.set(replica.shardId, label);
      const changed = this.told.get(replica.shardId) !== label;
      const { reads, writes, busyMs } = replica.load.take();
      const requests = reads + writes;
      const split = role === 'LEADER' ? replica.load.split() : null;
      const lag = leadership?.lagEntries() ?? 0;
      const { shardId } = replica;
      const { rows } = meta;
      // A copy that is being filled is as large as what arrived so far: so a move's progress shows.
      const staging = replica.session?.staging ?? null;
      const bytes = staging?.bytes ?? meta.bytes;
      const shard = {
        shard_id: shardId,
        role,
        serving,
        bytes,
        rows,
        lag_entries: lag,
        reads_per_second: reads / seconds,
        writes_per_second: writes / seconds,
        busy_ms_per_second: busyMs / seconds,
        ...(split === null ? {} : { load_split: { key: split.key, left_share: split.leftShare } }),
      };
      return [{ changed: changed || staging !== null, requests, shard }];
    });
    this.told = told;
    const ranked = [...shards].sort(
      (left, right) => Number(right.changed) - Number(left.changed) || right.requests - left.requests,
    );
    const answeredMs = this.answeredMs;
    this.answeredMs = [];
    this.nextAnswered = 0;
    const disk = this.disk?.use() ?? null;
    return {
      ...(disk === null ? {} : { disk: { capacity_bytes: disk.capacityBytes, used_bytes: disk.usedBytes } }),
      shards: shards.length,
      leaders: shards.filter(({ shard }) => shard.role === 'LEADER').length,
      bytes: shards.reduce((sum, { shard }) => sum + shard.bytes, 0),
      requests_per_second: shards.reduce((sum, { requests }) => sum + requests, 0) / seconds,
      fsync_ms_p99: this.context.commits.fsyncMsP99(),
      client_ms_p99: p99(answeredMs),
      disk_full: this.context.commits.diskFull(),
      ...(this.splitLocksMs.length === 0
        ? {}
        : { split_lock_ms_p99: p99(this.splitLocksMs), split_lock_ms_max: Math.max(...this.splitLocksMs) }),
      busiest: ranked.slice(0, HEARTBEAT_SHARDS_MAX).map(({ shard }) => shard),
    };
  }
}
