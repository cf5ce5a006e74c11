import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../bench/load/cluster-process.ts';
import { seededRandom } from '../simulation/random.ts';
import { ChaosCluster, NODES } from './cluster.ts';
import { Injector } from './injector.ts';
import { OldLeaders } from './old-leaders.ts';
import { Operator } from './operator.ts';
import { plannedFaults } from './plan.ts';
import { fullyReplicated, readServed, settled } from './verdict.ts';
import { PRE_SPLIT, TABLE, Workload } from './workload.ts';

/** One run: a cluster under load and faults for some minutes, then healed, and what it showed. */
export interface ChaosOptions {
  readonly minutes: number;
  readonly seed: number;
  /** False: a control run, whose checks must find something. */
  readonly selfFencing: boolean;
  readonly keep: boolean;
}

export interface ChaosReport {
  readonly minutes: number;
  readonly seed: number;
  readonly self_fencing: boolean;
  /** Nodes through which the others beat. */
  readonly relays: number;
  readonly faults: Readonly<Record<string, number>>;
  /** Kinds of faults that were left out at least once, and why. */
  readonly skipped_faults: Readonly<Record<string, string>>;
  readonly requests: number;
  readonly acknowledged: number;
  /** Writes whose outcome their client never learned. */
  readonly unknown_outcomes: number;
  readonly reads: number;
  readonly old_leader_reads: number;
  /** Acknowledged rows that were not there at the end. */
  readonly lost_writes: number;
  readonly double_leaders: number;
  /** Answers that nodes gave as leaders, and terms of one node that followed those of another. */
  readonly served: number;
  readonly leader_changes: number;
  readonly structural_requests: Readonly<Record<string, number>>;
  readonly operations: number;
  readonly histories_checked: number;
  readonly operations_in_longest_history: number;
  readonly linearizable: boolean;
  /** From the end of the faults until every replica was IN_SYNC and every operation had ended. */
  readonly settled_seconds: number;
  /** What must not have happened, in words. */
  readonly problems: readonly string[];
  readonly pass: boolean;
}

const ACTIVE_MS_MAX = 60_000;
/** Clients are under way this long before the first fault. */
const WARM_UP_MS = 3_000;
const SETTLE_MS_MAX = 120_000;
/** Clients go on this long in the healed cluster. */
const AFTER_MS = 2_000;
const PROBLEMS_SHOWN_MAX = 20;

/** `begun` is given, before anything is started, what ends all of it at once. */
export async function runChaos(
  options: ChaosOptions,
  say: (line: string) => void,
  signal: AbortSignal,
  begun: (killNow: () => void) => void,
): Promise<ChaosReport> {
  const startMs = performance.now();
  const timed = (line: string): void =>
    say(`${((performance.now() - startMs) / 1000).toFixed(1).padStart(6)} s  ${line}`);
  const cluster = await ChaosCluster.start({
    relays: relaysOf(options),
    selfFencing: options.selfFencing,
    say: timed,
    begun,
  });
  let keep = options.keep;
  try {
    const report = await underLoad(cluster, options, timed, signal);
    keep ||= !report.pass;
    if (keep) say(`logs, serve logs and histories are kept in ${cluster.folder}`);
    return report;
  } finally {
    await cluster.stop(keep ? 'KEEP' : 'REMOVE');
  }
}

/** With every other seed the nodes beat through one of them. */
const relaysOf = ({ seed }: ChaosOptions): number => Math.abs(seed % 2);

/** What acts on a cluster during a run. */
interface Actors {
  readonly workload: Workload;
  readonly oldLeaders: OldLeaders;
  readonly operator: Operator;
  readonly injector: Injector;
}

interface Healing {
  /** What was not whole again in time, in words. */
  readonly open: readonly string[];
  readonly settledSeconds: number;
}

async function underLoad(
  cluster: ChaosCluster,
  options: ChaosOptions,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<ChaosReport> {
  const { api } = cluster;
  const random = seededRandom(options.seed);
  await createTable(cluster);
  const token = await api.dataToken();
  const workload = new Workload({ url: cluster.clientUrl, token: cluster.adminToken, seed: options.seed });
  const actors: Actors = {
    workload,
    oldLeaders: new OldLeaders({ api, workload, token, random: random.fork('old leaders') }),
    operator: new Operator(api, random.fork('operator'), say),
    injector: new Injector(cluster, say),
  };
  const healing = await faultsAndHealing(cluster, actors, options, say, signal);
  say(`settled after ${healing.settledSeconds.toFixed(1)} s; reading back and checking histories`);
  return reportOf(cluster, actors, healing, options, say);
}

async function faultsAndHealing(
  cluster: ChaosCluster,
  { workload, oldLeaders, operator, injector }: Actors,
  options: ChaosOptions,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<Healing> {
  try {
    workload.start();
    oldLeaders.start();
    await sleep(WARM_UP_MS);
    cluster.copyDirectories();
    operator.start();
    say(`${NODES} nodes under load; faults for ${options.minutes} minutes`);
    const untilMs = performance.now() + options.minutes * 60_000;
    const plan = plannedFaults(seededRandom(options.seed).fork('faults'), NODES);
    await injector.run(plan, untilMs, signal);
    await operator.stop();
    signal.throwIfAborted();
    say('the faults are over');
    const healedMs = performance.now();
    const open = await settled(cluster.api, SETTLE_MS_MAX, signal);
    const settledSeconds = (performance.now() - healedMs) / 1000;
    await sleep(AFTER_MS);
    signal.throwIfAborted();
    return { open, settledSeconds };
  } finally {
    oldLeaders.stop();
    await Promise.all([operator.stop(), workload.stop()]);
  }
}

async function reportOf(
  cluster: ChaosCluster,
  { workload, operator, injector }: Actors,
  { open, settledSeconds }: Healing,
  options: ChaosOptions,
  say: (line: string) => void,
): Promise<ChaosReport> {
  const { api } = cluster;
  const lost = await workload.readBack();
  const { histories } = workload.recorder;
  const notLinearizable = workload.recorder.problems();
  const served = await readServed(cluster.serveLogs);
  const overlaps = served.overlaps();
  const lossy = (await api.shards(TABLE)).filter((shard) => shard.data_loss);
  const problems = [
    ...open.map((what) => `not settled within ${SETTLE_MS_MAX / 1000} s: ${what}`),
    ...lost.map((key) => `I-6: the acknowledged row ${key} is not there`),
    ...notLinearizable.map((what) => `I-6: not linearizable: ${what}`),
    ...overlaps.map((overlap) => `I-4: two leaders: ${JSON.stringify(overlap)}`),
    ...lossy.map((shard) => `I-6: ${shard.shard_id} is marked data_loss`),
    ...injector.failures,
    ...cluster.deaths,
    ...api.serverErrors.map((what) => `a request was answered by a server error: ${what}`),
  ];
  for (const problem of problems.slice(0, PROBLEMS_SHOWN_MAX)) say(`PROBLEM: ${problem}`);
  writeFileSync(join(cluster.folder, 'histories.json'), JSON.stringify(Object.fromEntries(histories)));
  say(`failed requests: ${JSON.stringify(Object.fromEntries(workload.failures))}`);
  const { counts } = workload;
  return {
    minutes: options.minutes,
    seed: options.seed,
    self_fencing: options.selfFencing,
    relays: relaysOf(options),
    faults: Object.fromEntries(injector.injected),
    skipped_faults: Object.fromEntries(injector.skipped),
    requests: counts.requests,
    acknowledged: counts.acknowledged,
    unknown_outcomes: counts.unknown,
    reads: counts.reads,
    old_leader_reads: counts.oldLeaderReads,
    lost_writes: lost.length,
    double_leaders: overlaps.length,
    served: served.events,
    leader_changes: served.handovers().length,
    structural_requests: Object.fromEntries(operator.counts),
    operations: (await api.operations()).length,
    histories_checked: histories.size,
    operations_in_longest_history: Math.max(...[...histories.values()].map(({ length }) => length)),
    linearizable: notLinearizable.length === 0,
    settled_seconds: Math.round(settledSeconds * 10) / 10,
    problems: problems.slice(0, PROBLEMS_SHOWN_MAX),
    pass: problems.length === 0,
  };
}

async function createTable({ api }: ChaosCluster): Promise<void> {
  // Shards change when the operator of the run says so, not by themselves.
  await api.send('PUT', '/config/structure', { split: 'off', merge: 'off' });
  const body = { table: TABLE, pre_split: PRE_SPLIT, replication_factor: 3 };
  const created = await api.send('POST', '/tables', body);
  if (created.status !== 200) throw new Error(`the table is refused: ${JSON.stringify(created.body)}`);
  await until(ACTIVE_MS_MAX, 'the table is active and replicated', async () => {
    const { body: table } = await api.send('GET', `/tables/${TABLE}`);
    const isActive = typeof table === 'object' && table !== null && 'state' in table && table.state === 'ACTIVE';
    return isActive && (await fullyReplicated(api));
  });
}
