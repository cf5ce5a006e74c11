import type { Engine } from '../../data-node/engine/engine.ts';
import type { LeaseView, PeerNetwork } from '../../data-node/ports.ts';
import type { LeaseProfileName } from '../../shared/domain/lease.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { Deps } from '../../shared/ports.ts';
import type { FaultyCluster } from './faults.ts';
import type { PaceName } from './pace.ts';
import type { VirtualTime } from './virtual-time.ts';

/** What a simulated run is given, and what it answers. */

/** A cluster that is set up, as a scenario sees it. */
export interface ScenarioCluster extends FaultyCluster {
  readonly time: VirtualTime;
  /** Descriptors as the last commits left them. */
  shards(): readonly ShardDescriptor[];
  /** A client process of its own: writes `key` again and again until a write is acknowledged, then calls `done`. */
  writeUntilAcknowledged(name: string, key: string, done: () => void): void;
  /** A client process of its own: reads `key` until an answer comes. The read is not part of the run's history. */
  readUntilAnswered(name: string, key: string, done: (value: string | null) => void): void;
  /** A request of an administrator: the answer's fields, and `status` with them where they have none of that name. */
  ask(method: 'GET' | 'POST', path: string, body: unknown): Promise<Record<string, unknown>>;
  /** One key of each shard. */
  keyOf(shard: ShardDescriptor): string;
}

/** Planted mistakes: how a part of the cluster is made to break its rules. Test harness only. */
export interface Mistakes {
  readonly alterDeps?: (deps: Deps) => Deps;
  readonly alterLease?: (lease: LeaseView) => LeaseView;
  readonly alterPeers?: (peers: PeerNetwork) => PeerNetwork;
  readonly alterEngine?: (engine: Engine) => Engine;
}

export interface SimulationOptions {
  readonly seed: number;
  /** Minutes of virtual time under faults. */
  readonly minutes: number;
  readonly nodes?: number;
  /** True: the nodes beat through one of them; false: all directly. By the seed when missing. */
  readonly relayed?: boolean;
  /** True: an operator splits, moves and transfers at random; false: nobody does. By the seed when missing. */
  readonly operated?: boolean;
  readonly leaseProfile?: LeaseProfileName;
  /** Where data nodes keep their databases; by the seed when missing. */
  readonly medium?: 'FILE' | 'MEMORY';
  /** True: half of the control plane's processes are of the next release; by the seed when missing. */
  readonly mixedReleases?: boolean;
  /** How much happens in a minute; dense when missing. */
  readonly pace?: PaceName;
  readonly mistakes?: Mistakes;
  /** False: functions reach no node; commands ride on heartbeat answers and clients carry epochs. */
  readonly pushToNodes?: boolean;
  /** Runs in place of random faults and clients, in a cluster that is set up; `minutes` then says nothing. */
  readonly scenario?: (cluster: ScenarioCluster) => Promise<void>;
  /** Called when the faults would begin, and does what breaks in their place; what is still broken at the end is healed then. */
  readonly script?: (cluster: FaultyCluster, time: VirtualTime) => void;
  /** Sees every line of the trace. */
  readonly onTrace?: (line: string) => void;
}

export interface SimulationResult {
  readonly seed: number;
  readonly pass: boolean;
  /** What went wrong, in words; empty if nothing did. */
  readonly problems: readonly string[];
  readonly traceHash: string;
  readonly traceLines: number;
  readonly traceTail: readonly string[];
  readonly virtualMs: number;
  readonly events: number;
  readonly counts: Readonly<Record<string, number>>;
}
