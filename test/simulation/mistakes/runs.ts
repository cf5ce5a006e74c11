import type { ShardDescriptor } from '../../../shared/domain/shard.ts';
import type { FaultyCluster, FaultyNode } from '../faults.ts';
import type { ScenarioCluster, SimulationOptions, SimulationResult } from '../options.ts';
import { FAIR_STORE } from '../process-store.ts';
import { seededRandom } from '../random.ts';
import type { SeededRandom } from '../random.ts';
import type { VirtualTime } from '../virtual-time.ts';
import type { SettingName } from './settings.ts';

/** How a run of each setting is made from its seed, and what must hold in it besides the invariants. */

export interface Run {
  readonly options: Omit<SimulationOptions, 'mistakes'>;
  /** What went wrong besides what the simulation found itself; asked after the run. */
  readonly problems?: (result: SimulationResult) => readonly string[];
}

type Script = (cluster: FaultyCluster, time: VirtualTime, random: SeededRandom) => void;

const RUN_MINUTES = 1;
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

/** The longest round of any script: none begins later, so that nothing breaks any more when a run is over and heals. */
const ROUND_MS_MAX = 13_000;

/** Does something again and again, with random pauses, for as long as the faults of a run last. */
function repeatedly(
  time: VirtualTime,
  random: SeededRandom,
  betweenMs: readonly [number, number],
  act: () => void,
): void {
  const untilMs = time.nowMs() + RUN_MINUTES * 60_000 - ROUND_MS_MAX;
  const next = (): void => {
    if (time.nowMs() >= untilMs) return;
    act();
    time.after(random.between(...betweenMs), next);
  };
  time.after(random.between(...betweenMs), next);
}

/** One of the running nodes, if a majority runs. */
function someNode(cluster: FaultyCluster, random: SeededRandom): FaultyNode | null {
  const up = cluster.nodes.filter((node) => node.isUp());
  return up.length < cluster.nodes.length - 1 ? null : random.pick(up);
}

/** Five seconds are enough for a clean stop, which waits 2 s for writes in flight and 2 s for the release's answer. */
const cleanStops: Script = (cluster, time, random) =>
  repeatedly(time, random, [1_000, 4_000], () => {
    const node = someNode(cluster, random);
    if (node === null) return;
    node.stop();
    time.after(random.between(4_500, 7_000), () => node.start());
  });

const restarts: Script = (cluster, time, random) =>
  repeatedly(time, random, [500, 3_000], () => {
    const node = someNode(cluster, random);
    if (node === null) return;
    node.crash();
    time.after(random.between(20, 1_500), () => node.start());
  });

/** One node at a time: each of its links to the control plane and to other nodes is cut with even chances, by direction and for a while. */
const partitions: Script = (cluster, time, random) =>
  repeatedly(time, random, [3_500, 6_500], () => {
    const node = random.pick(cluster.nodes).nodeId;
    const others = [cluster.controlPlaneHost, ...cluster.nodes.map(({ nodeId }) => nodeId)];
    for (const other of others.filter((one) => one !== node))
      for (const [from, to] of [
        [node, other],
        [other, node],
      ] as const) {
        if (random.chance(0.5)) continue;
        const fromMs = random.between(0, 2_000);
        time.after(fromMs, () => cluster.network.cut(from, to));
        time.after(fromMs + random.between(0.5, 2) * cluster.leaseMs, () => cluster.network.mend(from, to));
      }
  });

/**
 * Once a round, if every copy is whole: a node of three lags and comes back, while the others no longer hear the control plane; before they do
 * again the node is out of their reach once more, and the control plane no longer hears them.
 */
const answersLost: Script = (cluster, time, random) => {
  const { network, controlPlaneHost: control } = cluster;
  const setLinks = (links: readonly (readonly [string, string])[], open: boolean): void => {
    for (const [from, to] of links)
      if (open) network.mend(from, to);
      else network.cut(from, to);
  };
  let underWay = false;
  repeatedly(time, random, [1_000, 3_000], () => {
    if (underWay || !cluster.fullyReplicated()) return;
    underWay = true;
    const lagging = random.pick(cluster.nodes).nodeId;
    const others = cluster.nodes.map(({ nodeId }) => nodeId).filter((nodeId) => nodeId !== lagging);
    const among = others.flatMap((other) => [[lagging, other] as const, [other, lagging] as const]);
    const toOthers = others.map((other) => [control, other] as const);
    const fromOthers = others.map((other) => [other, control] as const);
    const backMs = random.between(1_800, 2_500);
    const lostMs = backMs + random.between(800, 2_200);
    setLinks(among, false);
    time.after(backMs, () => setLinks(among, true));
    time.after(backMs + random.between(0, 400), () => setLinks(toOthers, false));
    time.after(lostMs, () => setLinks(among, false));
    time.after(lostMs + random.between(200, 1_500), () => setLinks(fromOthers, false));
    time.after(lostMs + 7_500, () => {
      network.heal();
      underWay = false;
    });
  });
};

/** Nodes that the control plane does not hear, and that everybody else reaches. */
const unheard: Script = (cluster, time, random) =>
  repeatedly(time, random, [1_500, 4_000], () => {
    const node = random.pick(cluster.nodes).nodeId;
    cluster.network.cut(node, cluster.controlPlaneHost);
    time.after(random.between(1, 2) * cluster.leaseMs, () => cluster.network.mend(node, cluster.controlPlaneHost));
  });

/** Cuts a node off from everybody, or mends it. */
function setReachable(cluster: FaultyCluster, nodeId: string, reachable: boolean): void {
  for (const [from, to] of [
    ['*', nodeId],
    [nodeId, '*'],
  ] as const)
    if (reachable) cluster.network.mend(from, to);
    else cluster.network.cut(from, to);
}

/**
 * Once a round, if every copy is whole: a node lags, a second one loses its disk, and before its copies are filled all die, one soon after the
 * other. What was acknowledged is on the third ones all the time.
 */
const powerLosses: Script = (cluster, time, random) =>
  repeatedly(time, random, [9_000, 14_000], () => {
    if (!cluster.fullyReplicated() || !cluster.nodes.every((node) => node.isUp())) return;
    const lagging = random.pick(cluster.nodes);
    const wiped = random.pick(cluster.nodes.filter((node) => node !== lagging));
    setReachable(cluster, lagging.nodeId, false);
    time.after(random.between(1_500, 2_500), () => {
      wiped.wipe();
      wiped.start();
    });
    const lossMs = random.between(3_000, 7_500);
    time.after(lossMs, () => setReachable(cluster, lagging.nodeId, true));
    for (const node of cluster.nodes) {
      const diesMs = lossMs + random.between(0, 2_500);
      time.after(diesMs, () => node.crash());
      time.after(diesMs + random.between(50, 1_500), () => node.start());
    }
  });

const contention: Script = (cluster, time, random) => {
  const CONTENDED_MS = 20_000;
  repeatedly(time, random, [22_000, 26_000], () => {
    cluster.climate.weather = { ...FAIR_STORE, conflictProbability: 0.5 };
    time.after(CONTENDED_MS, () => {
      cluster.climate.weather = FAIR_STORE;
    });
  });
};

const restartsOnSlowStore: Script = (cluster, time, random) => {
  cluster.climate.weather = { ...FAIR_STORE, latencyMsMax: 30 };
  restarts(cluster, time, random);
};

const SILENT = ['node-101', 'node-102', 'node-103', 'node-104'];

const manyLost: Script = (cluster, time) => {
  const silent = cluster.nodes.filter(({ nodeId }) => SILENT.includes(nodeId));
  time.after(5_000, () => silent.forEach((node) => node.crash()));
  time.after(25_000, () => silent.forEach((node) => node.start()));
};

function storeOutage(cluster: FaultyCluster, time: VirtualTime, fromMs: number, forMs: number): void {
  time.after(fromMs, () => {
    cluster.climate.weather = { ...FAIR_STORE, throttleProbability: 1, refusal: 'UNAVAILABLE' };
  });
  time.after(fromMs + forMs, () => {
    cluster.climate.weather = FAIR_STORE;
  });
}

/** Half-way through the outage the node is cut off from all but clients: it is fenced when the store is back, and hears of it from nobody. */
const outageWithCut: Script = (cluster, time, random) => {
  storeOutage(cluster, time, 5_000, 20_000);
  const victim = random.pick(cluster.nodes.slice(1));
  for (const other of [cluster.controlPlaneHost, ...cluster.nodes.map(({ nodeId }) => nodeId)])
    if (other !== victim.nodeId)
      time.after(15_000, () => {
        cluster.network.cut(victim.nodeId, other);
        cluster.network.cut(other, victim.nodeId);
      });
};

/** When the store is gone, the dead node counts as lost no longer: two lost nodes do not trip the brake (L5). */
const SMALL_OUTAGE_MS = 80_000;
const outageOfFew: Script = (cluster, time, random) => {
  random.pick(cluster.nodes).crash();
  // Ends at any point of the detector's tick and of the nodes' beats.
  storeOutage(cluster, time, SMALL_OUTAGE_MS, random.between(8_000, 12_000));
};

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
  'clean stops': scripted(cleanStops),
  // Three nodes: each of them leads one shard and follows the others.
  partitions: scripted(partitions, { nodes: 3 }),
  'answers lost': scripted(answersLost, { nodes: 3, operated: false }),
  'splits under partitions': scripted(partitions, { operated: true }),
  'power losses': scripted(powerLosses),
  'moves and restarts': scripted(restartsOnSlowStore, { operated: true }),
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
