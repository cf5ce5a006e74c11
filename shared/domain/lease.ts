import type { Incarnation, NodeEpoch, NodeId, PackId, StoreUuid } from './ids.ts';

/**
 * Lease profiles (DESIGN section 5). A node renews every `renewMs` a lease of `leaseMs`; a detector fences after
 * `leaseMs + DRIFT_BOUND_MS` without a new sequence, a node stops serving `DRIFT_BOUND_MS` before its lease ends (L2, L3).
 */
export type LeaseProfileName = 'fast' | 'standard' | 'economy';

export interface LeaseProfile {
  readonly name: LeaseProfileName;
  /** Milliseconds between two renewals. */
  readonly renewMs: number;
  /** Milliseconds of one lease. */
  readonly leaseMs: number;
}

export const LEASE_PROFILES: Readonly<Record<LeaseProfileName, LeaseProfile>> = {
  fast: { name: 'fast', renewMs: 1_000, leaseMs: 3_000 },
  standard: { name: 'standard', renewMs: 3_000, leaseMs: 9_000 },
  economy: { name: 'economy', renewMs: 10_000, leaseMs: 30_000 },
};

/** Bound on clock-rate drift and scheduling error over one lease, on each side (PROTOCOL L2, L3; DESIGN section 5). */
export const DRIFT_BOUND_MS = 500;

/** Where a packed lease lives: one slot of one pack (liveness-pack.ts). */
export interface PackPlace {
  readonly packId: PackId;
  readonly slot: string;
}

/**
 * Liveness item of one node (L1): lease sequence, node epoch and incarnation in one item. Renewals raise `sequence`;
 * a fence or a registration raises `nodeEpoch`.
 *
 * The stored item of a node whose lease is packed (`pack` is not null) holds no lease: its `incarnation` is null, and sequence,
 * release, mark, attestation, heartbeat and mail are in the pack. Only `LivenessReader` (ports.ts) puts the two together; nobody
 * else may read liveness.
 */
export interface LivenessRecord {
  readonly nodeId: NodeId;
  readonly nodeEpoch: NodeEpoch;
  /** The process start that holds `nodeEpoch`; null when the epoch was raised by a fence and nobody registered since. */
  readonly incarnation: Incarnation | null;
  /** Raised by every renewal under one node epoch; 0 after a fence or a registration. */
  readonly sequence: number;
  /** True after the incarnation gave up its lease itself (a clean stop); it never renews again (L4). */
  readonly released: boolean;
  /** Mark of the detector (L4): the lease with this node epoch and sequence was observed expired. */
  readonly expired: { readonly nodeEpoch: NodeEpoch; readonly sequence: number } | null;
  /** Wall clock of the last fence, for the brake's window (L5) and for display; null if never fenced. */
  readonly fencedAtMs: number | null;
  /**
   * An open fence (E3): replica rows of this node must be swept until `cleanSweeps` reaches 2. Null when closed.
   * Leaderships and IN_SYNC entries below the item's present `nodeEpoch` are void.
   */
  readonly openFence: { readonly cleanSweeps: number } | null;
  readonly profile: LeaseProfileName;
  readonly storeUuid: StoreUuid;
  /** Highest counter that the directory reported as fsynced (L4); a directory that presents less was rolled back. */
  readonly attestation: number;
  /** Wall clock of the last renewal or registration, for display only (stored field `last_heartbeat`). */
  readonly lastHeartbeatMs: number;
  /** Raised whenever a command is queued for the node; a heartbeat that has seen less fetches its commands. */
  readonly mail: number;
  /** The pack that holds the lease; null: this item does. Changes only together with `nodeEpoch`. */
  readonly pack: PackPlace | null;
}
