import type { FaultKind } from './fault-kinds.ts';
import type { FaultyCluster, FaultyNode } from './faults.ts';
import type { DiskCondition } from './node-faults.ts';
import type { SeededRandom } from './random.ts';

/** Faults of data nodes: their processes, disks and directories. */

/** Nodes that faults may take down at once, so that most of a run has something to check: a minority. */
const NODES_DOWN_MAX = 2;

/** A running node, while few enough are down. */
export const runningNode = (cluster: FaultyCluster, random: SeededRandom): FaultyNode | null => {
  const up = cluster.nodes.filter((node) => node.isUp());
  return up.length <= cluster.nodes.length - NODES_DOWN_MAX ? null : random.pick(up);
};

function withDisk(
  cluster: FaultyCluster,
  random: SeededRandom,
  condition: DiskCondition,
): ReturnType<FaultKind['begin']> {
  const node = runningNode(cluster, random);
  if (node === null) return null;
  node.setDisk(condition);
  return { text: node.nodeId, forMs: random.between(0.5, 5) * cluster.leaseMs, end: () => node.setDisk('WELL') };
}

export const NODE_FAULTS: readonly FaultKind[] = [
  {
    name: 'crash and restart',
    weight: 6,
    begin: (cluster, random) => {
      const node = runningNode(cluster, random);
      if (node === null) return null;
      node.crash();
      return { text: node.nodeId, forMs: random.between(50, 3 * cluster.leaseMs), end: () => node.start() };
    },
  },
  {
    name: 'pause around the lease',
    weight: 6,
    begin: (cluster, random) => {
      const node = runningNode(cluster, random);
      if (node === null) return null;
      node.pause();
      return { text: node.nodeId, forMs: random.between(0.3, 3) * cluster.leaseMs, end: () => node.resume() };
    },
  },
  {
    name: 'directory wiped',
    weight: 1,
    begin: (cluster, random) => {
      // One copy may be lost at a time: with a second one lost before the first was copied anew, rows are gone rightly.
      if (!cluster.nodes.every((node) => node.isUp()) || !cluster.fullyReplicated()) return null;
      const node = random.pick(cluster.nodes);
      node.wipe();
      return { text: node.nodeId, forMs: random.between(100, 2 * cluster.leaseMs), end: () => node.start() };
    },
  },
  {
    name: 'power loss',
    weight: 1,
    begin: (cluster, random) => {
      const down = cluster.nodes.filter((node) => node.isUp());
      for (const node of down) node.crash();
      const spreadMs = random.between(0, 2 * cluster.leaseMs);
      return {
        text: `${down.length} nodes`,
        forMs: random.between(100, 4 * cluster.leaseMs) + spreadMs,
        end: () => {
          for (const node of down) node.start();
        },
      };
    },
  },
  {
    name: 'disk slow',
    weight: 2,
    begin: (cluster, random) => withDisk(cluster, random, 'SLOW'),
  },
  {
    name: 'disk full',
    weight: 2,
    begin: (cluster, random) => withDisk(cluster, random, 'FULL'),
  },
  {
    name: "yesterday's data",
    weight: 1,
    begin: (cluster, random) => {
      const node = runningNode(cluster, random);
      if (node === null) return null;
      const image = node.image();
      return {
        text: node.nodeId,
        forMs: random.between(2, 10) * cluster.leaseMs,
        end: () => {
          // The copies on it are lost: one at a time, as with a wiped directory.
          if (!cluster.nodes.every((other) => other.isUp()) || !cluster.fullyReplicated()) return;
          node.restore(image);
          node.start();
        },
      };
    },
  },
  {
    name: 'directories swapped',
    weight: 1,
    begin: (cluster, random) => {
      if (!cluster.nodes.every((node) => node.isUp())) return null;
      const one = random.pick(cluster.nodes);
      const other = random.pick(cluster.nodes.filter((node) => node !== one));
      const swap = (): void => {
        one.swapDisks(other);
        one.start();
        other.start();
      };
      swap();
      return { text: `${one.nodeId} ${other.nodeId}`, forMs: random.between(0.3, 3) * cluster.leaseMs, end: swap };
    },
  },
  {
    name: 'lies in heartbeats',
    weight: 2,
    begin: (cluster, random) => {
      const node = random.pick(cluster.nodes);
      node.setLying(true);
      return { text: node.nodeId, forMs: random.between(5_000, 60_000), end: () => node.setLying(false) };
    },
  },
];
