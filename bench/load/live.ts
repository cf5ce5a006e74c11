import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterProcess, until } from './cluster-process.ts';
import { readInNodeLocks } from './node-logs.ts';
import type { InNodeLock } from './node-logs.ts';
import { longestMs, MachinePauses, metPause } from './machine-pauses.ts';
import type { Pause } from './machine-pauses.ts';
import type { Rows } from './rows.ts';
import { readServeLogs } from './serve-logs.ts';
import { percentile, rounded } from './statistics.ts';
import { Traffic } from './traffic.ts';
import { runUndisturbed } from './undisturbed.ts';
import type { Scheduling } from './undisturbed.ts';
import { countsOf, failedOf, figuresOf, medianOf, ratiosOf, refusedAtFirst } from './windows.ts';
import type { Window, WindowFigures } from './windows.ts';

/**
 * Structural changes under clients' load: a cluster of real processes, an open loop at 30 % of what a closed loop gets through,
 * quiet and busy windows in turn, and every row read back at the end.
 */
export interface LiveOptions {
  readonly nodes: number;
  readonly zones: number;
  readonly rows: Rows;
  /** Pairs of a quiet and a busy window. */
  readonly pairs: number;
  readonly windowMs: number;
  readonly keep: boolean;
}

export interface LiveFigures {
  readonly requests: number;
  /** Not acknowledged within a second, retries included. */
  readonly failed_requests: number;
  readonly first_attempt_refusals: number;
  readonly refusals_by_code: Readonly<Record<string, number>>;
  readonly p99_ratio_median: number | null;
  readonly p99_ratios: readonly number[];
  /** Left out of the p99s: requests that were under way while the machine stood still. What they took counts in `failed_requests` all the same. */
  readonly requests_in_pauses: number;
  /** With them. */
  readonly p99_ratio_median_with_pauses: number | null;
  /** Medians over the windows. */
  readonly quiet_p99_ms: number | null;
  readonly busy_p99_ms: number | null;
  /** Since the traffic began: how long a node's thread was held by the change of a shard's structure, without the fsync that it shares with other writes. */
  readonly in_node_lock_ms_p99: number | null;
  readonly in_node_lock_ms_max: number | null;
  /** The same without the time for which the thread was ready and waited for a processor: a node's alone, whatever else runs on the machine. */
  readonly in_node_lock_own_ms_p50: number | null;
  readonly in_node_lock_own_ms_p99: number | null;
  readonly in_node_locks: number;
  /** The same with that fsync; null where there is none. */
  readonly in_node_commit_ms_p99: number | null;
  /** Leaderships that went from node to node, and the time between the answers of the two. */
  readonly leader_handovers: number;
  readonly handover_ms_p99: number | null;
  readonly acknowledged_writes: number;
  readonly rows_verified: number;
  readonly lost_writes: number;
  readonly double_leaders: number;
  readonly capacity_per_second: number;
  readonly rate_per_second: number;
  /** FIRST_COME: in the windows nodes and clients were not stopped for one another, nor for any other program (undisturbed.ts). */
  readonly scheduling: Scheduling;
  /**
   * The machine: its load over the last minute at the start and the end, pauses in which it ran nothing at all (machine-pauses.ts), and the
   * latest start of a request.
   */
  readonly load_average: readonly number[];
  readonly machine_pauses: number;
  readonly machine_pause_ms_max: number;
  readonly generator_late_ms_max: number;
}

/** What the structural work of a benchmark gets. */
export interface LiveCluster {
  readonly cluster: ClusterProcess;
  readonly rows: Rows;
  readonly say: (line: string) => void;
  /** Times of the requests that were due since then. */
  since(fromMs: number): WindowFigures;
}

export const TABLE = 'bench';
/** The cluster changes nothing by itself: a quiet window is quiet, and the work meets no rebalance of the cluster's own. */
const BY_HAND_ALONE = {
  '/config/rebalance': { tick: 'off', repair: 'off' },
  '/config/structure': { split: 'off', merge: 'off' },
};
const CAPACITY_SHARE = 0.3;
const CAPACITY_MS = 4_000;
/** Under load before the first window: connections stand, routes are known, code is compiled. */
const WARM_UP_MS = 5_000;
const REPLICATED_MS_MAX = 180_000;
const P99_RATIO_MAX = 2;
const LOCK_P99_MS_MAX = 1;
/** Requests shown of those that failed. */
const SHOWN_MAX = 5;

/**
 * Runs `before` before the capacity is measured, and `work` in each busy window; it begins nothing new after `untilMs`, and answers when
 * what it began is done: the window ends then. `after` follows the windows, under the same load, and adds figures of its own.
 */
export async function runLive<F extends object>(
  options: LiveOptions,
  say: (line: string) => void,
  parts: {
    readonly before?: (cluster: ClusterProcess) => Promise<void>;
    readonly work: (live: LiveCluster, untilMs: number) => Promise<void>;
    readonly after: (live: LiveCluster) => Promise<F>;
  },
): Promise<{ readonly met: boolean; readonly figures: LiveFigures; readonly own: F }> {
  const loadBefore = loadOfMachine();
  const { rows } = options;
  say(`starting ${options.nodes} nodes; load average of the machine ${loadBefore}`);
  const cluster = await ClusterProcess.start({ ...options, profile: 'standard', selfFencing: 'on' });
  const machine = new MachinePauses();
  await machine.started();
  try {
    for (const [path, body] of Object.entries(BY_HAND_ALONE)) await cluster.call('PUT', path, body);
    await cluster.createTable(TABLE, rows.preSplitKeys());
    const traffic = new Traffic({ url: cluster.url, token: cluster.adminToken, table: TABLE, rows });
    try {
      await rows.load(traffic.client, TABLE, say);
      await settled(cluster);
      await parts.before?.(cluster);
      const capacity = await traffic.capacity(CAPACITY_MS);
      const rate = capacity * CAPACITY_SHARE;
      say(`${Math.round(capacity)} requests/s in a closed loop; from here on ${Math.round(rate)} a second`);
      const scheduling = await runUndisturbed([process.pid, ...(await pidsOf(cluster))]);
      if (scheduling === 'SHARED') say('nodes are stopped for one another: chrt is missing or not allowed');
      const trafficFromMs = Date.now();
      traffic.start(rate);
      await sleep(WARM_UP_MS);
      const live: LiveCluster = {
        cluster,
        rows,
        say,
        since: (fromMs) => figuresOf(traffic.requests, { kind: 'BUSY', fromMs, toMs: Infinity }),
      };
      const windows: Window[] = [];
      const measured = async (kind: Window['kind'], work: (untilMs: number) => Promise<unknown>): Promise<void> => {
        const fromMs = performance.now();
        await work(fromMs + options.windowMs);
        const window = { kind, fromMs, toMs: performance.now() };
        windows.push(window);
        say(`${kind.toLowerCase()}: ${inWords(traffic, window, machine.all())}`);
      };
      for (let pair = 0; pair < options.pairs; pair++) {
        await settled(cluster);
        await measured('QUIET', () => sleep(options.windowMs));
        await measured('BUSY', (untilMs) => parts.work(live, untilMs));
      }
      await settled(cluster);
      const own = await parts.after(live);
      await settled(cluster);
      await traffic.stop();
      say(`reading ${traffic.written.size} acknowledged writes and all rows back`);
      const { keys: lost, rowsRead } = await rows.lost(traffic.client, TABLE, traffic.written);
      for (const key of lost.slice(0, SHOWN_MAX)) say(`LOST: ${key}`);
      const nodes = await cluster.nodes();
      const locks = await readInNodeLocks(
        nodes.map((node) => cluster.logFile(node.node_id)),
        trafficFromMs,
      );
      const served = await readServeLogs(cluster.serveLogs);
      const overlaps = served.overlaps();
      for (const overlap of overlaps.slice(0, SHOWN_MAX)) say(`DOUBLE LEADER: ${JSON.stringify(overlap)}`);
      const figures: LiveFigures = {
        ...requestFigures(traffic, windows, machine.all(), say),
        ...lockFigures(locks),
        leader_handovers: served.handovers().length,
        handover_ms_p99: rounded(percentile(served.handovers(), 99)),
        acknowledged_writes: traffic.written.size,
        rows_verified: rowsRead,
        lost_writes: lost.length,
        double_leaders: overlaps.length,
        capacity_per_second: Math.round(capacity),
        rate_per_second: Math.round(rate),
        scheduling,
        load_average: [loadBefore, loadOfMachine()],
        machine_pauses: machine.all().length,
        machine_pause_ms_max: Math.round(longestMs(machine.all())),
        generator_late_ms_max: Math.round(traffic.lateMsMax),
      };
      return { met: meets(figures), figures, own };
    } finally {
      traffic.close();
    }
  } finally {
    await machine.stop();
    await cluster.stop();
  }
}

/** The goals that split, move and rebalance share. */
const meets = (figures: LiveFigures): boolean =>
  figures.failed_requests === 0 &&
  (figures.p99_ratio_median ?? Infinity) <= P99_RATIO_MAX &&
  (figures.in_node_lock_ms_p99 ?? Infinity) <= LOCK_P99_MS_MAX &&
  figures.lost_writes === 0 &&
  figures.double_leaders === 0;

const pidsOf = async (cluster: ClusterProcess): Promise<readonly number[]> =>
  (await cluster.nodes()).map((node) => cluster.pid(node.node_id));

const settled = (cluster: ClusterProcess): Promise<void> =>
  until(REPLICATED_MS_MAX, 'every replica IN_SYNC', () => cluster.fullyReplicated(TABLE));

function requestFigures(
  traffic: Traffic,
  windows: readonly Window[],
  pauses: readonly Pause[],
  say: (line: string) => void,
) {
  const { requests } = traffic;
  const failed = failedOf(requests);
  for (const request of failed.slice(0, SHOWN_MAX))
    say(
      `FAILED: ${request.kind} ${request.key}: ${request.error ?? `${request.tookMs} ms`}; ${JSON.stringify(request.attempts)}`,
    );
  const refused = refusedAtFirst(requests);
  const ratios = ratiosOf(requests, windows, pauses);
  const p99 = (kind: Window['kind']): number | null =>
    medianOf(
      windows.filter((window) => window.kind === kind).map((window) => figuresOf(requests, window, pauses).p99Ms ?? 0),
    );
  return {
    requests: requests.length,
    failed_requests: failed.length,
    first_attempt_refusals: refused.length,
    refusals_by_code: countsOf(refused.map(({ attempts }) => attempts[0]?.code ?? '')),
    p99_ratio_median: medianOf(ratios),
    p99_ratios: ratios,
    requests_in_pauses: requests.filter(({ dueMs, tookMs }) => metPause(pauses, dueMs, dueMs + (tookMs ?? 0))).length,
    p99_ratio_median_with_pauses: medianOf(ratiosOf(requests, windows)),
    quiet_p99_ms: p99('QUIET'),
    busy_p99_ms: p99('BUSY'),
  };
}

function lockFigures(locks: readonly InNodeLock[]) {
  const held = locks.map((lock) => lock.lockMs);
  const own = locks.map((lock) => Math.max(0, lock.lockMs - lock.waitMs));
  const committed = locks.flatMap((lock) => lock.commitMs ?? []);
  const fine = (value: number | null): number | null => (value === null ? null : Math.round(value * 1000) / 1000);
  return {
    in_node_lock_ms_p99: fine(percentile(held, 99)),
    in_node_lock_ms_max: fine(percentile(held, 100)),
    in_node_lock_own_ms_p50: fine(percentile(own, 50)),
    in_node_lock_own_ms_p99: fine(percentile(own, 99)),
    in_node_locks: held.length,
    in_node_commit_ms_p99: fine(percentile(committed, 99)),
  };
}

function inWords(traffic: Traffic, window: Window, pauses: readonly Pause[]): string {
  const { p50Ms, p99Ms, maxMs, requests } = figuresOf(traffic.requests, window);
  const held = pauses.filter((pause) => pause.toMs > window.fromMs && pause.fromMs < window.toMs);
  const without = figuresOf(traffic.requests, window, held).p99Ms;
  const inside = traffic.requests.filter(({ dueMs }) => dueMs >= window.fromMs && dueMs < window.toMs);
  const refused = refusedAtFirst(inside);
  const codes = countsOf(refused.map(({ attempts }) => attempts[0]?.code ?? ''));
  return (
    `${requests} requests in ${rounded((window.toMs - window.fromMs) / 1000)} s, p50 ${p50Ms} p99 ${p99Ms} max ${maxMs} ms; ` +
    `refused at first ${refused.length}${refused.length === 0 ? '' : ` ${JSON.stringify(codes)}`}` +
    (held.length === 0
      ? ''
      : `; the machine stood still ${held.length} times, ${Math.round(longestMs(held))} ms at the most, p99 without ${without} ms`)
  );
}

const loadOfMachine = (): number => Math.round((loadavg()[0] ?? 0) * 100) / 100;
