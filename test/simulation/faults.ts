import type { World } from './control-plane.ts';
import { FAIR_WEATHER } from './network.ts';
import type { SimulatedNetwork } from './network.ts';
import type { Pace } from './pace.ts';
import { FAIR_STORE } from './process-store.ts';
import type { StoreClimate } from './process-store.ts';
import type { SeededRandom } from './random.ts';
import type { Trace } from './trace.ts';
import type { VirtualTime } from './virtual-time.ts';

/** A node as faults see it. */
export interface FaultyNode {
  readonly nodeId: string;
  /** `kill -9`: keeps what its engine had committed. */
  crash(): void;
  /** Starts a new process over the directory. Does nothing if one runs. */
  start(): void;
  /** As Ctrl-C: the process steps down, gives its lease up (L4), and ends when that was answered. */
  stop(): void;
  pause(): void;
  resume(): void;
  /** Crashes the node and empties its directory. */
  wipe(): void;
  isUp(): boolean;
}

/** What faults can reach. */
export interface FaultyCluster {
  readonly nodes: readonly FaultyNode[];
  readonly network: SimulatedNetwork;
  readonly climate: StoreClimate;
  /** Host name of the control plane's front door. */
  readonly controlPlaneHost: string;
  readonly leaseMs: number;
  /** True while every shard has all its replicas IN_SYNC under their nodes' present epochs. */
  fullyReplicated(): boolean;
  /** Kills the acting detector loop; the one on stand-by takes over, the schedule starts another within a minute. */
  crashDetector(): void;
  /** Freezes the acting detector loop for a while, then lets it go on with what it believed. */
  pauseDetector(durationMs: number): void;
  /** Kills a warm Lambda environment with everything that runs in it. */
  crashFunction(): void;
}

/** A fault of a run: begins at once, answers how long it lasts and how it ends. Null: nothing to break now. */
interface FaultKind {
  readonly name: string;
  /** How often it is chosen, relative to the others. */
  readonly weight: number;
  begin(cluster: FaultyCluster, random: SeededRandom): { text: string; forMs: number; end: () => void } | null;
}

/** Nodes that faults may take down at once, so that most of a run has something to check: a minority. */
const NODES_DOWN_MAX = 2;

const runningNode = (cluster: FaultyCluster, random: SeededRandom): FaultyNode | null => {
  const up = cluster.nodes.filter((node) => node.isUp());
  return up.length <= cluster.nodes.length - NODES_DOWN_MAX ? null : random.pick(up);
};

const KINDS: readonly FaultKind[] = [
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
    name: 'node cut off',
    weight: 5,
    begin: (cluster, random) => {
      const node = runningNode(cluster, random);
      if (node === null) return null;
      // From peers and clients, from the control plane, or from everybody; in one direction or in both.
      const other = random.pick(['*', cluster.controlPlaneHost, ...cluster.nodes.map(({ nodeId }) => nodeId)]);
      const direction = random.pick(['in', 'out', 'both']);
      if (direction !== 'out') cluster.network.cut(other, node.nodeId);
      if (direction !== 'in') cluster.network.cut(node.nodeId, other);
      return {
        text: `${node.nodeId} ${direction} ${other}`,
        forMs: random.between(0.2, 4) * cluster.leaseMs,
        end: () => {
          cluster.network.mend(other, node.nodeId);
          cluster.network.mend(node.nodeId, other);
        },
      };
    },
  },
  {
    name: 'bad network',
    weight: 4,
    begin: (cluster, random) => {
      cluster.network.weather = {
        ...FAIR_WEATHER,
        latencyMsMax: random.between(2, 60),
        lossProbability: random.between(0, 0.25),
        spikeProbability: random.between(0, 0.1),
        spikeMsMax: random.between(50, 2 * cluster.leaseMs),
        duplicateProbability: 0.02,
      };
      return {
        text: `loss ${cluster.network.weather.lossProbability.toFixed(2)}`,
        forMs: random.between(500, 8_000),
        end: () => {
          cluster.network.weather = FAIR_WEATHER;
        },
      };
    },
  },
  {
    name: 'store trouble',
    weight: 4,
    begin: (cluster, random) => {
      cluster.climate.weather = {
        latencyMsMax: random.between(3, 150),
        throttleProbability: random.chance(0.2) ? 1 : random.between(0, 0.3),
        refusal: 'THROTTLED',
        conflictProbability: random.between(0, 0.2),
        lostAnswerProbability: random.between(0, 0.2),
      };
      return {
        text: `throttle ${cluster.climate.weather.throttleProbability.toFixed(2)}`,
        forMs: random.between(500, 8_000),
        end: () => {
          cluster.climate.weather = FAIR_STORE;
        },
      };
    },
  },
  {
    name: 'detector crashed',
    weight: 2,
    begin: (cluster) => {
      cluster.crashDetector();
      return { text: '', forMs: 0, end: () => undefined };
    },
  },
  {
    name: 'detector frozen',
    weight: 2,
    begin: (cluster, random) => {
      const forMs = random.between(0.5, 4) * cluster.leaseMs;
      cluster.pauseDetector(forMs);
      return { text: `${Math.round(forMs)} ms`, forMs: 0, end: () => undefined };
    },
  },
  {
    name: 'function killed',
    weight: 3,
    begin: (cluster) => {
      cluster.crashFunction();
      return { text: '', forMs: 0, end: () => undefined };
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
];

/** Breaks things by the seed until `untilMs`; `stop` ends every fault that is under way. */
export class FaultPlan {
  private readonly cluster: FaultyCluster;
  private readonly time: VirtualTime;
  private readonly random: SeededRandom;
  private readonly trace: Trace;
  private readonly pace: Pace;
  private readonly underWay = new Map<number, { name: string; end: () => void }>();
  private number = 0;
  private stopped = false;
  /** Faults begun, by name. */
  readonly counts = new Map<string, number>();

  constructor(cluster: FaultyCluster, { time, random, trace }: Pick<World, 'time' | 'random' | 'trace'>, pace: Pace) {
    this.cluster = cluster;
    this.pace = pace;
    this.time = time;
    this.random = random;
    this.trace = trace;
  }

  start(): void {
    this.time.after(this.random.between(...this.pace.betweenFaultsMs), () => this.next());
  }

  /** Ends all faults: nodes run, messages arrive, the store answers. */
  stop(): void {
    this.stopped = true;
    for (const { end } of this.underWay.values()) end();
    this.underWay.clear();
    this.cluster.network.heal();
    this.cluster.climate.weather = FAIR_STORE;
    for (const node of this.cluster.nodes) {
      node.resume();
      node.start();
    }
    this.trace.add('FAULTS', 'all healed');
  }

  private next(): void {
    if (this.stopped) return;
    const kind = this.choose();
    const begun = kind.begin(this.cluster, this.random);
    if (begun !== null) {
      const number = this.number++;
      this.counts.set(kind.name, (this.counts.get(kind.name) ?? 0) + 1);
      this.trace.add('FAULTS', `${kind.name}: ${begun.text} (for ${Math.round(begun.forMs)} ms)`);
      this.underWay.set(number, { name: kind.name, end: begun.end });
      this.time.after(begun.forMs, () => this.end(number));
    }
    this.time.after(this.random.between(...this.pace.betweenFaultsMs), () => this.next());
  }

  private end(number: number): void {
    const fault = this.underWay.get(number);
    if (fault === undefined) return;
    this.underWay.delete(number);
    this.trace.add('FAULTS', `${fault.name}: over`);
    fault.end();
  }

  private choose(): FaultKind {
    let draw = this.random.next() * KINDS.reduce((sum, kind) => sum + kind.weight, 0);
    for (const kind of KINDS) {
      draw -= kind.weight;
      if (draw < 0) return kind;
    }
    return KINDS[0]!;
  }
}
