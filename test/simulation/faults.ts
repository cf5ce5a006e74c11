import { PROMPT } from './control-plane.ts';
import type { Deliveries, World } from './control-plane.ts';
import { FAULT_KINDS } from './fault-kinds.ts';
import type { FaultKind } from './fault-kinds.ts';
import type { SimulatedNetwork } from './network.ts';
import type { DiskImage } from './node-disk.ts';
import type { DiskCondition } from './node-faults.ts';
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
  /** Starts the node again, and answers a copy of its directory as it was. */
  image(): DiskImage;
  /** Crashes the node and puts an older copy in place of its directory. */
  restore(image: DiskImage): void;
  /** Crashes both nodes, and gives each the other's directory. */
  swapDisks(other: FaultyNode): void;
  setDisk(condition: DiskCondition): void;
  /** True: from now on it makes up its statistics. */
  setLying(lies: boolean): void;
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
  /** Freezes a warm Lambda environment for a while; thawed, it goes on where it was, and serves again with its old caches. */
  freezeFunction(durationMs: number): void;
  /** How invocations arrive that nobody waits for. */
  readonly deliveries: Deliveries;
}

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
    Object.assign(this.cluster.deliveries, PROMPT);
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
    let draw = this.random.next() * FAULT_KINDS.reduce((sum, kind) => sum + kind.weight, 0);
    for (const kind of FAULT_KINDS) {
      draw -= kind.weight;
      if (draw < 0) return kind;
    }
    return FAULT_KINDS[0]!;
  }
}
