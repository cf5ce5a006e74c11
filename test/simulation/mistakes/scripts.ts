import type { FaultyCluster, FaultyNode } from '../faults.ts';
import { FAIR_WEATHER } from '../network.ts';
import { FAIR_STORE } from '../process-store.ts';
import type { SeededRandom } from '../random.ts';
import type { VirtualTime } from '../virtual-time.ts';

/** What breaks in the runs of each setting, by the seed. */

export type Script = (cluster: FaultyCluster, time: VirtualTime, random: SeededRandom) => void;

export const RUN_MINUTES = 1;
/** How late a message may come where some are late: shorter than a beat is waited for, ms. */
const LATE_MS_MAX = 1_500;

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
export const cleanStops: Script = (cluster, time, random) =>
  repeatedly(time, random, [1_000, 4_000], () => {
    const node = someNode(cluster, random);
    if (node === null) return;
    node.stop();
    time.after(random.between(4_500, 7_000), () => node.start());
  });

/** Nodes that were stopped register again as soon as their release is answered: no lease runs out in between, and nobody took them off a list. */
const cleanRestarts: Script = (cluster, time, random) =>
  repeatedly(time, random, [300, 1_200], () => {
    const node = someNode(cluster, random);
    if (node === null) return;
    node.stop();
    for (const afterMs of [100, 200, 400, 800, 1_600, 4_500]) time.after(afterMs, () => node.start());
  });

export const cleanRestartsOnSlowStore: Script = (cluster, time, random) => {
  cluster.climate.weather = { ...FAIR_STORE, latencyMsMax: 30 };
  cleanRestarts(cluster, time, random);
};

/** What an election has read is a few tenths of a second old when it is committed: long enough for its candidate to register anew. */
export const cleanRestartsOnVerySlowStore: Script = (cluster, time, random) => {
  cluster.climate.weather = { ...FAIR_STORE, latencyMsMax: 150 };
  cleanRestarts(cluster, time, random);
};

/** One node at a time dies and starts again within 1.5 s, for the most part before anybody fenced it. */
export const restartsOnSlowStore: Script = (cluster, time, random) => {
  cluster.climate.weather = { ...FAIR_STORE, latencyMsMax: 30 };
  repeatedly(time, random, [500, 3_000], () => {
    const node = someNode(cluster, random);
    if (node === null) return;
    node.crash();
    time.after(random.between(20, 1_500), () => node.start());
  });
};

/** One node at a time: each of its links to the control plane and to other nodes is cut with even chances, by direction and for a while. */
export const partitions: Script = (cluster, time, random) =>
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

/** The same, while calls of the store take up to 60 ms: what is decided is old when it is committed. */
export const partitionsOnSlowStore: Script = (cluster, time, random) => {
  cluster.climate.weather = { ...FAIR_STORE, latencyMsMax: 30 };
  partitions(cluster, time, random);
};

/**
 * Once a round, if every copy is whole: a node of three lags and comes back, while the others no longer hear the control plane; before they do
 * again the node is out of their reach once more, and the control plane no longer hears them.
 */
export const answersLost: Script = (cluster, time, random) => {
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

/**
 * Once a round, if every copy is whole, requests may come a second time seconds later: a node lags, comes back, and lags again; what its leaders
 * said when it was back comes once more, and one of them dies.
 */
export const lateRepeats: Script = (cluster, time, random) => {
  const { network } = cluster;
  const REPEATED_MS_MAX = 6_000;
  network.weather = { ...FAIR_WEATHER, duplicateProbability: 0.5, spikeMsMax: REPEATED_MS_MAX };
  time.after(RUN_MINUTES * 60_000 - ROUND_MS_MAX, () => {
    network.weather = FAIR_WEATHER;
  });
  let underWay = false;
  repeatedly(time, random, [500, 1_500], () => {
    if (underWay || !cluster.fullyReplicated() || !cluster.nodes.every((node) => node.isUp())) return;
    underWay = true;
    const lagging = random.pick(cluster.nodes);
    const others = cluster.nodes.filter((node) => node !== lagging);
    const leader = random.pick(others);
    const setLinks = (open: boolean): void => {
      for (const { nodeId } of others)
        for (const [from, to] of [
          [lagging.nodeId, nodeId],
          [nodeId, lagging.nodeId],
        ] as const)
          if (open) network.mend(from, to);
          else network.cut(from, to);
    };
    const backMs = random.between(1_500, 2_500);
    const awayMs = backMs + random.between(600, 2_000);
    const diesMs = awayMs + random.between(2_000, 6_000);
    setLinks(false);
    time.after(backMs, () => setLinks(true));
    time.after(awayMs, () => setLinks(false));
    time.after(diesMs, () => leader.crash());
    time.after(diesMs + random.between(200, 1_000), () => setLinks(true));
    time.after(diesMs + 5_000, () => {
      leader.start();
      underWay = false;
    });
  });
};

/** Nodes that the control plane does not hear, and that everybody else reaches. */
export const unheard: Script = (cluster, time, random) =>
  repeatedly(time, random, [1_500, 4_000], () => {
    const node = random.pick(cluster.nodes).nodeId;
    cluster.network.cut(node, cluster.controlPlaneHost);
    time.after(random.between(1, 2) * cluster.leaseMs, () => cluster.network.mend(node, cluster.controlPlaneHost));
  });

/** The same, while some messages come late: an answer to the last beat, too. */
export const unheardAndLate: Script = (cluster, time, random) => {
  cluster.network.weather = { ...FAIR_WEATHER, spikeProbability: 0.2, spikeMsMax: LATE_MS_MAX };
  time.after(RUN_MINUTES * 60_000 - ROUND_MS_MAX, () => {
    cluster.network.weather = FAIR_WEATHER;
  });
  unheard(cluster, time, random);
};

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
export const powerLosses: Script = (cluster, time, random) =>
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

export const contention: Script = (cluster, time, random) => {
  const CONTENDED_MS = 20_000;
  repeatedly(time, random, [22_000, 26_000], () => {
    cluster.climate.weather = { ...FAIR_STORE, conflictProbability: 0.5 };
    time.after(CONTENDED_MS, () => {
      cluster.climate.weather = FAIR_STORE;
    });
  });
};

export const SILENT = ['node-101', 'node-102', 'node-103', 'node-104'];

export const manyLost: Script = (cluster, time) => {
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
export const outageWithCut: Script = (cluster, time, random) => {
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
export const SMALL_OUTAGE_MS = 80_000;
export const outageOfFew: Script = (cluster, time, random) => {
  random.pick(cluster.nodes).crash();
  // Ends at any point of the detector's tick and of the nodes' beats.
  storeOutage(cluster, time, SMALL_OUTAGE_MS, random.between(8_000, 12_000));
};

/**
 * A node hears nothing from the control plane for about a lease, everybody else does, and then mostly it dies: what it did meanwhile others must
 * have known.
 */
export const deafLeaders: Script = (cluster, time, random) =>
  repeatedly(time, random, [600, 1_800], () => {
    if (!cluster.nodes.every((node) => node.isUp())) return;
    const node = random.pick(cluster.nodes);
    const control = cluster.controlPlaneHost;
    cluster.network.cut(control, node.nodeId);
    const deafMs = random.between(1_000, 3_500);
    const dies = random.chance(0.7);
    time.after(deafMs, () => {
      if (dies) node.crash();
      cluster.network.mend(control, node.nodeId);
    });
    time.after(deafMs + random.between(2_000, 5_000), () => node.start());
  });

/**
 * All nodes die, and the first one that is back has the directory of some seconds ago. What was acknowledged since is in all the others. Twice a
 * minute at most, as every copy must be whole before.
 */
export const oldDirectories: Script = (cluster, time, random) =>
  repeatedly(time, random, [15_000, 20_000], () => {
    if (!cluster.fullyReplicated() || !cluster.nodes.every((node) => node.isUp())) return;
    const old = random.pick(cluster.nodes);
    const image = old.image();
    time.after(random.between(8_000, 11_000), () => {
      if (!cluster.fullyReplicated() || !cluster.nodes.every((node) => node.isUp())) return;
      for (const node of cluster.nodes) node.crash();
      old.restore(image);
      time.after(50, () => old.start());
      for (const node of cluster.nodes) if (node !== old) time.after(random.between(500, 1_900), () => node.start());
    });
  });
