import type { NodeId } from './ids.ts';

/**
 * The brake (L5): when many nodes are lost at once, in more than one zone, the store or the network in front of it is the
 * likelier culprit, and fencing everybody would turn a short outage into a long one.
 */

/** Share and count of lost nodes at which the brake trips, over all zones (L5). */
const LOST_SHARE = 0.15;
const LOST_NODES_MIN = 3;
/** The same outside the worst-hit zone: the loss of one zone alone never trips it (L5). */
const LOST_OUTSIDE_SHARE = 0.05;
const LOST_OUTSIDE_NODES_MIN = 2;
/** A fenced node counts as lost for this long (L5). */
export const LOST_WINDOW_MS = 60_000;
/** After this long the brake yields at a capped rate, with an alarm: the nodes are really gone. 20 leases of profile `fast`. */
export const BRAKE_LIMIT_MS = 60_000;
/** Pace of fencing once the brake yields: one node, or 0.1 % of all, each 5 s. */
export const BRAKED_FENCE_INTERVAL_MS = 5_000;
const BRAKED_FENCE_SHARE = 0.001;

export interface NodeCensus {
  readonly nodeId: NodeId;
  readonly zone: string;
  /** Lease observed expired, or fenced within the window, and not renewing again. */
  readonly lost: boolean;
}

export interface BrakeReading {
  readonly lost: number;
  readonly total: number;
  readonly lostOutsideWorstZone: number;
  readonly tripped: boolean;
}

/** Reads the brake over all nodes in service. */
export function readBrake(census: readonly NodeCensus[]): BrakeReading {
  const lostByZone = new Map<string, number>();
  for (const node of census) {
    if (node.lost) lostByZone.set(node.zone, (lostByZone.get(node.zone) ?? 0) + 1);
  }
  const counts = [...lostByZone.values()];
  const lost = counts.reduce((sum, count) => sum + count, 0);
  const lostOutsideWorstZone = lost - Math.max(0, ...counts);
  const total = census.length;
  const tripped =
    lost >= Math.max(LOST_NODES_MIN, LOST_SHARE * total) &&
    lostOutsideWorstZone >= Math.max(LOST_OUTSIDE_NODES_MIN, LOST_OUTSIDE_SHARE * total);
  return { lost, total, lostOutsideWorstZone, tripped };
}

/** Nodes that may be fenced at one step of the capped pace. */
export const brakedFenceBatch = (total: number): number => Math.max(1, Math.floor(total * BRAKED_FENCE_SHARE));
