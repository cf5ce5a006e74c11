import { setTimeout as sleep } from 'node:timers/promises';
import { LEASE_PROFILES } from '../shared/domain/lease.ts';
import { ClusterProcess, until } from './load/cluster-process.ts';
import type { ShardView } from './load/cluster-process.ts';
import { Handovers } from './failover/handovers.ts';
import { OldLeaderReaders } from './failover/old-leader-readers.ts';
import type { Overlap } from './load/serve-intervals.ts';
import { readServeLogs } from './load/serve-logs.ts';
import { longestMs, MachinePauses } from './load/machine-pauses.ts';
import { percentile, rounded } from './load/statistics.ts';
import { Writers, preSplitKeys, shardNumber, WRITE_DEADLINE_MS } from './failover/workload.ts';

/**
 * Failover of real processes: nodes are killed (SIGKILL) and frozen (SIGSTOP for lease + 5 s) under an open-loop load, with
 * readers that keep asking former leaders. Figures as the goals name them; a control run with self-fencing switched off must
 * show double leaders, so that the measure is known to be able to fail.
 */
export interface FailoverOptions {
  readonly profile: 'fast' | 'standard';
  readonly kills: number;
  /** Freezes in the control run; 0 leaves it out. */
  readonly controlStops: number;
  readonly keep: boolean;
}

export interface FailoverFigures {
  readonly pass: boolean;
  readonly profile: string;
  readonly kills: number;
  readonly handover_kills: number;
  readonly repeated: number;
  readonly samples: number;
  readonly p50_ms: number | null;
  readonly p99_ms: number | null;
  readonly max_ms: number | null;
  readonly follower_stall_p99_ms: number | null;
  readonly acknowledged_writes: number;
  readonly lost_writes: number;
  readonly double_leaders: number;
  /** Null if the control run was left out. */
  readonly double_leaders_without_self_fencing: number | null;
  /** First writes after a kill that were never acknowledged; each counts as a sample of the whole deadline. */
  readonly unacknowledged_first_writes: number;
  readonly old_leader_reads_answered: number;
}

/** As few as the replication factor asks for: load generator, control plane and nodes share the processors of one machine. */
const NODES = 3;
const ZONES = 3;
/** So many that by the pigeonhole principle one of the nodes leads at least LED_SHARDS_MIN. */
const SHARDS = 22;
const LED_SHARDS_MIN = 8;
const TABLE = 'bench';
/** Of 20 kills; a shorter run, to try things out, asks for fewer. */
const HANDOVER_KILLS_MIN = 4;
/** A planned handover so far away is waited for while such kills are wanting. */
const HANDOVER_WAIT_MS_MAX = 61_000;
const FREEZE_BEYOND_LEASE_MS = 5_000;
/** Load on the present leaders before the next kill: writers and readers have reached every one of them. */
const UNDER_LOAD_MS = 5_000;
const REPLICATED_MS_MAX = 180_000;
/** Writes sent from so long before a kill until so long after it show the stall of shards that lost a follower. */
const STALL_FROM_MS = 2_000;
const STALL_UNTIL_MS = 8_000;
const P99_MS_MAX = { fast: 6_500, standard: 12_000 } as const;
const FOLLOWER_STALL_P99_MS_MAX = 2_500;
/** A kill in which the machine stood still for longer says nothing about the cluster: it is repeated. */
const PAUSE_MS_MAX = 500;

type Signal = 'SIGKILL' | 'SIGSTOP';

interface Kill {
  readonly nodeId: string;
  readonly signal: Signal;
  readonly atMs: number;
  readonly samplesMs: readonly number[];
  readonly followerStallsMs: readonly number[];
  readonly unacknowledged: number;
  readonly metHandover: boolean;
  /** Longest pause of the machine while it was measured. */
  readonly pauseMs: number;
}

export async function runFailover(options: FailoverOptions, say: (line: string) => void): Promise<FailoverFigures> {
  const { profile } = options;
  const main = await underLoad({ ...options, selfFencing: 'on' }, say, async (run) => {
    const counted: Kill[] = [];
    let repeated = 0;
    const handoverKillsMin = Math.min(HANDOVER_KILLS_MIN, Math.floor(options.kills / 5));
    const handoverKills = (): number => counted.filter((kill) => kill.metHandover).length;
    while (counted.length < options.kills || handoverKills() < handoverKillsMin) {
      if (counted.length >= options.kills * 2) throw new Error('too few kills met a planned handover');
      const wantHandover = handoverKills() < handoverKillsMin;
      const kill = await run.kill(counted.length % 2 === 0 ? 'SIGKILL' : 'SIGSTOP', wantHandover);
      const again = kill.pauseMs > PAUSE_MS_MAX;
      if (again) repeated++;
      else counted.push(kill);
      if (repeated > Math.max(1, options.kills)) throw new Error('the machine keeps standing still');
      say(
        `kill ${counted.length}/${options.kills}: ${kill.signal} ${kill.nodeId}, ${kill.samplesMs.length} led shards, ` +
          `p50 ${rounded(percentile(kill.samplesMs, 50))} max ${rounded(percentile(kill.samplesMs, 100))} ms, ` +
          `follower stall max ${rounded(percentile(kill.followerStallsMs, 100))} ms` +
          `${kill.metHandover ? ', at a handover' : ''}${again ? `, repeated (the machine stood still for ${Math.round(kill.pauseMs)} ms)` : ''}`,
      );
    }
    return { counted, repeated, handoverKills: handoverKills() };
  });
  const { counted, repeated, handoverKills } = main.result;
  const control = options.controlStops === 0 ? null : await controlRun(options, say);
  const samples = counted.flatMap((kill) => kill.samplesMs);
  const stalls = counted.flatMap((kill) => kill.followerStallsMs);
  const figures = {
    profile,
    kills: counted.length,
    handover_kills: handoverKills,
    repeated,
    samples: samples.length,
    p50_ms: rounded(percentile(samples, 50)),
    p99_ms: rounded(percentile(samples, 99)),
    max_ms: rounded(percentile(samples, 100)),
    follower_stall_p99_ms: rounded(percentile(stalls, 99)),
    acknowledged_writes: main.acknowledged,
    lost_writes: main.lost.length,
    double_leaders: main.overlaps.length,
    double_leaders_without_self_fencing: control,
    unacknowledged_first_writes: counted.reduce((sum, kill) => sum + kill.unacknowledged, 0),
    old_leader_reads_answered: main.oldLeaderReads,
  };
  for (const key of main.lost.slice(0, 10)) say(`LOST: ${key}`);
  for (const overlap of main.overlaps.slice(0, 10)) say(`DOUBLE LEADER: ${JSON.stringify(overlap)}`);
  const pass =
    (figures.p99_ms ?? Infinity) <= P99_MS_MAX[profile] &&
    (figures.follower_stall_p99_ms ?? Infinity) <= FOLLOWER_STALL_P99_MS_MAX &&
    figures.lost_writes === 0 &&
    figures.double_leaders === 0 &&
    (control === null || control > 0) &&
    repeated <= counted.length / 4;
  return { pass, ...figures };
}

/** Freezes without self-fencing: the measure must find two leaders. */
async function controlRun(options: FailoverOptions, say: (line: string) => void): Promise<number> {
  const { overlaps } = await underLoad({ ...options, selfFencing: 'off' }, say, async (run) => {
    for (let i = 0; i < options.controlStops; i++) await run.kill('SIGSTOP', false);
  });
  say(`control run without self-fencing: ${overlaps.length} double leaders`);
  return overlaps.length;
}

interface LoadResult<T> {
  readonly result: T;
  readonly acknowledged: number;
  readonly lost: readonly string[];
  readonly overlaps: readonly Overlap[];
  readonly oldLeaderReads: number;
}

/** Starts a cluster and its load, runs `work`, then reads everything back. */
async function underLoad<T>(
  options: FailoverOptions & { readonly selfFencing: 'on' | 'off' },
  say: (line: string) => void,
  work: (run: LoadedCluster) => Promise<T>,
): Promise<LoadResult<T>> {
  say(`starting ${NODES} nodes, lease profile ${options.profile}, self-fencing ${options.selfFencing}`);
  const cluster = await ClusterProcess.start({ ...options, nodes: NODES, zones: ZONES });
  try {
    await cluster.createTable(TABLE, preSplitKeys(SHARDS));
    const writers = new Writers({ url: cluster.url, token: cluster.adminToken, table: TABLE, shards: SHARDS });
    const readers = new OldLeaderReaders({ table: TABLE, token: await cluster.dataToken() });
    const run = new LoadedCluster(cluster, writers, readers, LEASE_PROFILES[options.profile].leaseMs);
    try {
      await run.settled();
      await writers.start();
      say(`${SHARDS} shards under load`);
      const result = await work(run);
      await run.settled();
      await writers.stop();
      const { acknowledged } = writers;
      say(`reading ${acknowledged} acknowledged writes back`);
      const lost = await writers.lost();
      return {
        result,
        acknowledged,
        lost,
        overlaps: (await readServeLogs(cluster.serveLogs)).overlaps(),
        oldLeaderReads: readers.counts.answered,
      };
    } finally {
      run.stop();
    }
  } finally {
    await cluster.stop();
  }
}

class LoadedCluster {
  private readonly cluster: ClusterProcess;
  private readonly writers: Writers;
  private readonly readers: OldLeaderReaders;
  private readonly leaseMs: number;
  private readonly machine = new MachinePauses();
  private readonly handovers: Handovers;

  constructor(cluster: ClusterProcess, writers: Writers, readers: OldLeaderReaders, leaseMs: number) {
    this.cluster = cluster;
    this.writers = writers;
    this.readers = readers;
    this.leaseMs = leaseMs;
    this.handovers = new Handovers(cluster);
  }

  /** Waits until every replica is IN_SYNC; tells the readers who leads. */
  async settled(): Promise<readonly ShardView[]> {
    await until(REPLICATED_MS_MAX, 'every replica IN_SYNC', () => this.cluster.fullyReplicated(TABLE));
    return this.learnLeaders();
  }

  async kill(signal: Signal, atHandover: boolean): Promise<Kill> {
    let shards = await this.settled();
    const dueMs = this.handovers.nextMs();
    const waitMs = dueMs === null ? Infinity : dueMs - performance.now();
    if (atHandover && waitMs < HANDOVER_WAIT_MS_MAX) {
      await sleep(Math.max(0, waitMs));
      shards = await this.settled();
    } else {
      await sleep(UNDER_LOAD_MS);
      shards = await this.settled();
    }
    const victim = mostLoaded(shards);
    const led = shards.filter((shard) => shard.leader === victim);
    if (led.length < LED_SHARDS_MIN) throw new Error(`${victim} leads ${led.length} shards only`);
    const followed = shards.filter((shard) => shard.leader !== victim && shard.replicas.includes(victim));
    const pid = this.cluster.pid(victim);
    const atMs = performance.now();
    process.kill(pid, signal);
    if (signal === 'SIGSTOP') {
      await sleep(this.leaseMs + FREEZE_BEYOND_LEASE_MS);
      process.kill(pid, 'SIGCONT');
    }
    const first = await Promise.all(led.map((shard) => this.firstWriteAfter(shard, atMs)));
    await sleep(Math.max(0, atMs + STALL_UNTIL_MS - performance.now()));
    await this.learnLeaders();
    return {
      nodeId: victim,
      signal,
      atMs,
      samplesMs: first.map((ms) => ms ?? WRITE_DEADLINE_MS),
      followerStallsMs: followed.map((shard) => this.longestWrite(shard, atMs)),
      unacknowledged: first.filter((ms) => ms === null).length,
      metHandover: this.handovers.metAt(atMs),
      pauseMs: longestMs(this.machine.all().filter((pause) => pause.toMs >= atMs)),
    };
  }

  stop(): void {
    this.handovers.stop();
    this.readers.stop();
    void this.machine.stop();
  }

  /** Milliseconds from `atMs` to the acknowledgement of the first write sent after it; null if it never came. */
  private async firstWriteAfter(shard: ShardView, atMs: number): Promise<number | null> {
    const number = shardNumber(shard.data_range_start);
    for (;;) {
      const [write] = this.writers.sentBetween(number, atMs, Infinity);
      if (write !== undefined && write.ackedMs !== null) return write.ackedMs - atMs;
      if (write?.failed === true) return null;
      await sleep(20);
    }
  }

  /** Longest time to acknowledgement of writes to `shard` sent around the kill. */
  private longestWrite(shard: ShardView, atMs: number): number {
    const number = shardNumber(shard.data_range_start);
    const writes = this.writers.sentBetween(number, atMs - STALL_FROM_MS, atMs + STALL_UNTIL_MS - STALL_FROM_MS);
    return Math.max(0, ...writes.map((write) => (write.ackedMs ?? performance.now()) - write.sentMs));
  }

  private async learnLeaders(): Promise<readonly ShardView[]> {
    const [shards, nodes] = await Promise.all([this.cluster.shards(TABLE), this.cluster.nodes()]);
    const addresses = new Map(nodes.map((node) => [node.node_id, { host: node.host, port: node.port }]));
    this.readers.learn(shards, (nodeId) => addresses.get(nodeId));
    return shards;
  }
}

/** The node that leads most shards. */
function mostLoaded(shards: readonly ShardView[]): string {
  const led = Map.groupBy(shards, (shard) => shard.leader);
  const [first] = [...led].toSorted(([, left], [, right]) => right.length - left.length);
  if (first === undefined) throw new Error('no shard has a leader');
  return first[0];
}
