import type { ShardDescriptor } from '../../../shared/domain/shard.ts';
import type { ScenarioCluster, SimulationOptions, SimulationResult } from '../options.ts';
import { seededRandom } from '../random.ts';
import type { SeededRandom } from '../random.ts';
import {
  answersLost,
  cleanRestartsOnSlowStore,
  cleanRestartsOnVerySlowStore,
  cleanStops,
  contention,
  deafLeaders,
  lateRepeats,
  manyLost,
  oldDirectories,
  outageOfFew,
  outageWithCut,
  partitions,
  partitionsOnSlowStore,
  powerLosses,
  restartsOnSlowStore,
  RUN_MINUTES,
  SILENT,
  SMALL_OUTAGE_MS,
  unheard,
  unheardAndLate,
} from './scripts.ts';
import type { Script } from './scripts.ts';
import type { SettingName } from './settings.ts';

/** How a run of each setting is made from its seed, and what must hold in it besides the invariants. */

export interface Run {
  readonly options: Omit<SimulationOptions, 'mistakes'>;
  /** What went wrong besides what the simulation found itself; asked after the run. */
  readonly problems?: (result: SimulationResult) => readonly string[];
}

/** A leader drops a silent follower after 1 s (R3), and a client's first attempt may have begun before. */
const SHRUNK_WITHIN_MS = 6_000;
/** A new leader is given 10 s, then a follower's silence of 5 s (R3), its report's pauses, a step-down. */
const REPLACED_WITHIN_MS = 40_000;
/** Nodes that may be fenced before the brake trips, of four that fall silent in three zones: two of one zone, and one more. */
const FENCED_BEFORE_BRAKE_MAX = 3;
/** DESIGN section 10, profile standard. */
const FAILOVER_MS_MAX = 12_000;

const scripted =
  (script: Script, more: Partial<SimulationOptions> = {}) =>
  (seed: number): Run => ({
    options: {
      seed,
      minutes: RUN_MINUTES,
      ...more,
      script: (cluster, time) => script(cluster, time, seededRandom(`mistakes/${seed}`)),
    },
  });

/** Fences of the detector (registrations apart) that the trace shows between two moments of virtual time. */
function fencesIn(lines: readonly string[], fromMs: number, toMs: number): number {
  return lines.filter((line) => {
    const atMs = Number.parseFloat(line);
    return atMs >= fromMs && atMs < toMs && /STORE\s+\S+ node epoch \d+, fenced$/.test(line);
  }).length;
}

/** A script whose fences are counted from the moment at which it begins. */
function counted(
  script: Script,
  more: Partial<SimulationOptions>,
  judge: (fences: (fromMs: number, toMs: number) => number) => string | null,
) {
  return (seed: number): Run => {
    const lines: string[] = [];
    let beganMs = 0;
    const { options } = scripted((cluster, time, random) => {
      beganMs = time.nowMs();
      script(cluster, time, random);
    }, more)(seed);
    return {
      options: { ...options, onTrace: (line) => lines.push(line) },
      problems: () => {
        const problem = judge((fromMs, toMs) => fencesIn(lines, beganMs + fromMs, beganMs + toMs));
        return problem === null ? [] : [problem];
      },
    };
  };
}

/** A scenario in place of random faults; what takes too long is noted, not waited for to the end. */
function scenario(
  story: (cluster: ScenarioCluster, random: SeededRandom, late: (what: string) => void) => Promise<void>,
  more: Partial<SimulationOptions> = {},
) {
  return (seed: number): Run => {
    const late: string[] = [];
    return {
      options: {
        seed,
        minutes: 0,
        operated: false,
        ...more,
        scenario: (cluster) =>
          story(cluster, seededRandom(`mistakes/${seed}`), (what) => late.push(`Liveness: ${what}`)),
      },
      problems: () => late,
    };
  };
}

async function whole(cluster: ScenarioCluster): Promise<void> {
  const { time } = cluster;
  if (!(await time.run(() => cluster.fullyReplicated(), time.nowMs() + 180_000)))
    throw new Error('the cluster did not become whole');
}

function setLink(cluster: ScenarioCluster, one: string, other: string, open: boolean): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const)
    if (open) cluster.network.mend(from, to);
    else cluster.network.cut(from, to);
}

/** Writes one key of the shard; answers the milliseconds until the acknowledgement, `limitMs` if it did not come. */
async function writeTakesMs(
  cluster: ScenarioCluster,
  shard: ShardDescriptor,
  name: string,
  limitMs: number,
): Promise<number> {
  const { time } = cluster;
  const startMs = time.nowMs();
  let done = false;
  cluster.writeUntilAcknowledged(name, cluster.keyOf(shard), () => (done = true));
  await time.run(() => done, startMs + limitMs);
  return time.nowMs() - startMs;
}

const followerCut = scenario(async (cluster, random, late) => {
  for (const { shardId } of cluster.shards()) {
    await whole(cluster);
    const shard = cluster.shards().find((one) => one.shardId === shardId)!;
    const leader = shard.leader.nodeId;
    const follower = random.pick(shard.replicas.filter(({ nodeId }) => nodeId !== leader)).nodeId;
    setLink(cluster, leader, follower, false);
    const tookMs = await writeTakesMs(cluster, shard, `writer-${shardId}`, SHRUNK_WITHIN_MS);
    if (tookMs >= SHRUNK_WITHIN_MS)
      late(
        `${shardId} took no write within ${SHRUNK_WITHIN_MS} ms although one follower alone was out of its leader's reach (R3)`,
      );
    setLink(cluster, leader, follower, true);
  }
});

const leaderCut = scenario(async (cluster, random, late) => {
  await whole(cluster);
  const shard = random.pick(cluster.shards());
  const leader = shard.leader.nodeId;
  const followers = cluster.nodes.map(({ nodeId }) => nodeId).filter((nodeId) => nodeId !== leader);
  for (const follower of followers) setLink(cluster, leader, follower, false);
  const tookMs = await writeTakesMs(cluster, shard, 'writer', REPLACED_WITHIN_MS);
  if (tookMs >= REPLACED_WITHIN_MS)
    late(
      `${shard.shardId} took no write within ${REPLACED_WITHIN_MS} ms: its leader, who reaches no follower, was not replaced (R3)`,
    );
  for (const follower of followers) setLink(cluster, leader, follower, true);
});

const failoverWithoutPush = scenario(
  async (cluster, random, late) => {
    const { time } = cluster;
    for (let kill = 1; kill <= 3; kill++) {
      await whole(cluster);
      await time.run(time.nowMs() + random.between(1_000, 4_000));
      const shard = random.pick(cluster.shards());
      const node = cluster.nodes.find(({ nodeId }) => nodeId === shard.leader.nodeId)!;
      node.crash();
      const tookMs = await writeTakesMs(cluster, shard, `writer-${kill}`, FAILOVER_MS_MAX);
      if (tookMs >= FAILOVER_MS_MAX)
        late(`${shard.shardId} took no write within ${FAILOVER_MS_MAX} ms after the death of its leader (R6)`);
      node.start();
    }
  },
  { pushToNodes: false, leaseProfile: 'standard' },
);

export const RUNS: Readonly<Record<SettingName, (seed: number) => Run>> = {
  ordinary: (seed) => ({ options: { seed, minutes: RUN_MINUTES } }),
  operated: (seed) => ({ options: { seed, minutes: RUN_MINUTES, operated: true } }),
  'clocks at their bounds': scripted(unheard),
  'late answers, clocks at their bounds': scripted(unheardAndLate),
  'clean stops': scripted(cleanStops),
  // Three nodes: each of them leads one shard and follows the others.
  partitions: scripted(partitions, { nodes: 3 }),
  'answers lost': scripted(answersLost, { nodes: 3, operated: false }),
  'requests repeated late': scripted(lateRepeats, { nodes: 3 }),
  'splits under partitions': scripted(partitions, { operated: true }),
  'power losses': scripted(powerLosses),
  'splits that leaders do not hear of': scripted(deafLeaders, { operated: true }),
  'power losses with an old directory': scripted(oldDirectories),
  'moves and clean restarts': scripted(cleanRestartsOnSlowStore, { operated: true }),
  'factors and drains': scripted(restartsOnSlowStore, { operated: true }),
  'clean restarts on a slow store': scripted(cleanRestartsOnVerySlowStore),
  'transfers and clean restarts': scripted(cleanRestartsOnVerySlowStore, { operated: true }),
  'small pages': scripted(partitionsOnSlowStore, { operated: true }),
  'copies raised and lowered': scripted(partitionsOnSlowStore, { operated: true }),
  'contended store': scripted(contention),
  'store outage with a node cut off': scripted(outageWithCut),
  'many nodes lost at once': counted(manyLost, {}, (fences) => {
    const fenced = fences(5_000, 25_000);
    return fenced <= FENCED_BEFORE_BRAKE_MAX
      ? null
      : `L5: ${fenced} nodes in three zones were fenced, of ${SILENT.length} that fell silent at once`;
  }),
  'store outage of a small cluster': counted(outageOfFew, { nodes: 3, minutes: 2 }, (fences) => {
    const fenced = fences(SMALL_OUTAGE_MS, Infinity);
    return fenced === 0 ? null : `L2: ${fenced} living nodes were fenced after an outage of the store`;
  }),
  'a follower cut off from its leader': followerCut,
  'a leader cut off from its followers': leaderCut,
  'failover without push': failoverWithoutPush,
};
