import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import type { Engine } from '../engine/engine.ts';
import type { ControlPlane, Environment, LeaseView, PeerNetwork } from '../ports.ts';
import type { GroupCommit } from './group-commit.ts';
import type { Joins } from './joins.ts';
import type { Reporter } from './reporter.ts';
import type { SnapshotThrottle } from './snapshot-throttle.ts';
import type { SplitKeySearch } from './split-key.ts';
import type { Splits } from './splits.ts';
import type { Statistics } from './statistics.ts';
import type { Tuning } from './tuning.ts';

/** One acknowledged write or answered read of a node that believes to lead (for the search for double leaders, I-4). */
export interface ServeEvent {
  readonly kind: 'READ' | 'WRITE';
  readonly shardId: string;
  readonly replicaId: string;
  readonly epoch: number;
  /** Monotonic milliseconds: arrival of the request, and the moment at which the node found itself entitled to answer. */
  readonly fromMs: number;
  readonly toMs: number;
}

export interface ReplicationObserver {
  onServe?(event: ServeEvent): void;
  /**
   * A copy was forked (S1). `lockMs`: how much longer the node's thread was taken than by any group commit: the fork's statements, and
   * making both halves known. `commitMs`: from the first statement until then, the fsync that the fork shares with other writes included.
   */
  onFork?(event: {
    readonly shardId: string;
    readonly childShardId: string;
    readonly lockMs: number;
    readonly commitMs: number;
    /** The leader's term went on in the child's. */
    readonly continued: boolean;
  }): void;
  onLeadership?(event: {
    readonly kind: 'SERVING' | 'ENDED';
    readonly shardId: string;
    readonly epoch: number;
    readonly atMs: number;
  }): void;
}

/** What all parts of the shard host share. */
export interface HostContext {
  readonly env: Environment;
  readonly engine: Engine;
  readonly commits: GroupCommit;
  readonly lease: LeaseView;
  readonly controlPlane: ControlPlane;
  readonly peers: PeerNetwork;
  readonly tuning: Tuning;
  readonly reporter: Reporter;
  readonly observer: ReplicationObserver;
  /** False in the control run of a benchmark only, so that its measure of double leaders can fail. */
  readonly selfFencing: boolean;
  /** Reads the shard's descriptor from the control plane and acts on it; coalesced and rate limited. */
  refresh(shardId: string): void;
  /** Acts on a descriptor from any source. */
  adopt(descriptor: WireDescriptor): void;
  /** Splits, and the search for their keys. */
  readonly splits: Splits;
  readonly joins: Joins;
  readonly splitKeys: SplitKeySearch;
  readonly statistics: Statistics;
  readonly snapshots: SnapshotThrottle;
}

/** Runs a background task whose failure is a bug: it is logged, and the rest of the node goes on. */
export function spawn(env: Environment, task: string, work: Promise<unknown>): void {
  work.catch((error: unknown) => {
    env.log.error('background task failed', { task, error: error instanceof Error ? error.message : String(error) });
  });
}
