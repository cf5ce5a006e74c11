import type { Incarnation, NodeId } from '../ids.ts';
import type { NodeLabels } from '../rebalance/rules.ts';
import type { Json } from './json.ts';

/** What a node is good for: the basis of placement rules and of its share of the data. */
export interface NodePlacement {
  readonly labels: NodeLabels;
  /** Capacity relative to the other nodes, above 0; a node of weight 2 gets twice the share of one of weight 1. */
  readonly capacityWeight: number;
  /** OPERATOR: set by a call, and kept whatever the node says of itself when it registers. */
  readonly setBy: 'REGISTRATION' | 'OPERATOR';
}

/** Of a node that says nothing of itself. */
export const DEFAULT_NODE_PLACEMENT: NodePlacement = { labels: {}, capacityWeight: 1, setBy: 'REGISTRATION' };

/** A node's identity and address; what changes with its lease is in `LivenessRecord`. */
export interface NodeRecord {
  readonly nodeId: NodeId;
  readonly host: string;
  readonly port: number;
  readonly zone: string;
  /** ACTIVE until a drain for decommission starts; DECOMMISSIONED is a tombstone, never deleted. */
  readonly membership: 'ACTIVE' | 'DECOMMISSIONING' | 'DECOMMISSIONED';
  readonly cordoned: boolean;
  /**
   * Somebody works on the node until `untilMs` (wall clock): it is cordoned, its leaders go elsewhere, its replicas are not replaced.
   * The reconcile tick ends it; `cordonedBefore` is what the node goes back to.
   */
  readonly maintenance: { readonly untilMs: number; readonly cordonedBefore: boolean } | null;
  /** The node's public key (JWK, ES256); null for a node that registered without one. */
  readonly publicKey: { readonly [key: string]: Json } | null;
  /** Node epoch of the registration that wrote host and port: an address cached under a lower one is stale. */
  readonly addressNodeEpoch: number;
  readonly version: string;
  readonly registeredAtMs: number;
  /** Absent in records from before there was placement: `DEFAULT_NODE_PLACEMENT`. */
  readonly placement?: NodePlacement;
}

/** Statistics that a node sent on its slower beat, as the wire carries them; busiest shards first. For display and planning. */
export interface NodeStatsRecord {
  readonly nodeId: NodeId;
  readonly nodeEpoch: number;
  readonly stats: Json;
  readonly atMs: number;
}

/** What a node's statistics were judged to be, kept from beat to beat (gray failure). Written only when it changes. */
export interface NodePaceRecord {
  readonly nodeId: NodeId;
  readonly pace: 'NORMAL' | 'SLOW';
  /** Successive beats that spoke against the present pace. */
  readonly against: number;
  /** The beat that was judged last: its time as the statistics carry it. */
  readonly judgedAtMs: number;
  /** FULL: the node's disk refuses writes. */
  readonly disk: 'OK' | 'FULL';
  /** Why it is SLOW, in words; null while it is not. */
  readonly reason: string | null;
}

/** A join token that was issued; `usedBy` makes it single-use. */
export interface JoinTokenRecord {
  readonly tokenId: string;
  readonly createdBy: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly usedBy: { readonly nodeId: NodeId; readonly incarnation: Incarnation; readonly atMs: number } | null;
}

/** Record of the acting detector loop and of the brake (L5). `token` fences older loops' brake records. */
export interface DetectorRecord {
  readonly holder: string;
  readonly token: number;
  /** Raised by the holder at every tick; a standby takes over when it stands still for the loop's lease. */
  readonly beat: number;
  readonly released: boolean;
  readonly brake: { readonly engagedAtMs: number; readonly lost: number; readonly reason: string } | null;
}
