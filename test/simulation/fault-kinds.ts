import { PROMPT } from './control-plane.ts';
import type { Deliveries } from './control-plane.ts';
import type { FaultyCluster } from './faults.ts';
import { FAIR_WEATHER } from './network.ts';
import { NODE_FAULTS, runningNode } from './node-fault-kinds.ts';
import { FAIR_STORE } from './process-store.ts';
import type { SeededRandom } from './random.ts';

/** Faults that a run draws from by its seed. docs/testing.md tells which of the faults that matter are among them. */

/** A fault of a run: begins at once, answers how long it lasts and how it ends. Null: nothing to break now. */
export interface FaultKind {
  readonly name: string;
  /** How often it is chosen, relative to the others. */
  readonly weight: number;
  begin(cluster: FaultyCluster, random: SeededRandom): { text: string; forMs: number; end: () => void } | null;
}

function delivered(
  cluster: FaultyCluster,
  random: SeededRandom,
  deliveries: Partial<Deliveries>,
): ReturnType<FaultKind['begin']> {
  Object.assign(cluster.deliveries, deliveries);
  return { text: '', forMs: random.between(5_000, 60_000), end: () => Object.assign(cluster.deliveries, PROMPT) };
}

/** Of the network, the store, functions and schedules. */
const SURROUNDING_FAULTS: readonly FaultKind[] = [
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
        repeatProbability: random.between(0, 0.2),
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
    name: 'store throttled',
    weight: 2,
    begin: (cluster, random) => {
      cluster.climate.weather = { ...FAIR_STORE, throttleProbability: random.pick([0.5, 0.9, 1]) };
      return { text: '', forMs: random.between(5_000, 60_000), end: () => (cluster.climate.weather = FAIR_STORE) };
    },
  },
  {
    name: 'heartbeats lost',
    weight: 2,
    begin: (cluster, random) => {
      cluster.network.lossyPath = { pattern: /heartbeat/, lossProbability: 0.6 };
      return { text: '', forMs: random.between(5_000, 30_000), end: () => (cluster.network.lossyPath = null) };
    },
  },
  {
    name: 'function frozen',
    weight: 3,
    begin: (cluster, random) => {
      // From the length of a lease to an hour, far beyond the timeout of every step; what outlasts the run is as good as killed.
      const forMs = cluster.leaseMs * 1_200 ** random.next();
      cluster.freezeFunction(forMs);
      return { text: `${Math.round(forMs)} ms`, forMs: 0, end: () => undefined };
    },
  },
  {
    name: 'invocations repeated',
    weight: 3,
    begin: (cluster, random) =>
      delivered(cluster, random, { invokeTwiceProbability: random.between(0.02, 0.5), startTwiceProbability: 0.5 }),
  },
  {
    name: 'schedules disturbed',
    weight: 2,
    begin: (cluster, random) =>
      delivered(cluster, random, {
        dropProbability: random.between(0, 0.5),
        repeatProbability: random.between(0, 0.5),
        lateMsMax: random.between(0, 20_000),
      }),
  },
];

export const FAULT_KINDS: readonly FaultKind[] = [...NODE_FAULTS, ...SURROUNDING_FAULTS];
