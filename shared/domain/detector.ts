import type { NodeEpoch, NodeId } from './ids.ts';
import type { LivenessRecord } from './lease.ts';
import { DRIFT_BOUND_MS, LEASE_PROFILES } from './lease.ts';

/** What a detector loop has seen of the nodes' leases, by its own monotonic clock; never a wall clock (L2). */

export interface Observation {
  readonly nodeEpoch: NodeEpoch;
  readonly sequence: number;
  /** When the first strong read that showed this (node epoch, sequence) had been answered. */
  readonly sinceMs: number;
  /** When the latest strong read that showed it had been answered. */
  readonly lastReadMs: number;
}

export type Observations = ReadonlyMap<NodeId, Observation>;

/**
 * Takes the result of one complete strong read of the liveness items. A sequence seen before keeps its start, unless the
 * detector did not read for longer than lease - renew period: then the observation starts anew (L2).
 */
export function observe(before: Observations, items: readonly LivenessRecord[], readAnsweredMs: number): Observations {
  const after = new Map<NodeId, Observation>();
  for (const item of items) {
    const seen = before.get(item.nodeId);
    const profile = LEASE_PROFILES[item.profile];
    const gapMaxMs = profile.leaseMs - profile.renewMs;
    const continues =
      seen !== undefined &&
      seen.nodeEpoch === item.nodeEpoch &&
      seen.sequence === item.sequence &&
      readAnsweredMs - seen.lastReadMs <= gapMaxMs;
    after.set(item.nodeId, {
      nodeEpoch: item.nodeEpoch,
      sequence: item.sequence,
      sinceMs: continues ? seen.sinceMs : readAnsweredMs,
      lastReadMs: readAnsweredMs,
    });
  }
  return after;
}

/** Monotonic time from which the node may be fenced: its observed sequence stood still for lease + bound (L2). */
export function fenceDeadlineMs(item: LivenessRecord, observation: Observation): number {
  if (item.released) return observation.sinceMs; // the incarnation said itself that it is over (L4)
  return observation.sinceMs + LEASE_PROFILES[item.profile].leaseMs + DRIFT_BOUND_MS;
}

/** True for a lease that somebody may hold: registered, and not fenced since. */
export const isHeld = (item: LivenessRecord): boolean => item.incarnation !== null;

/** True if an observed lease is over by `nowMs`. */
export function isExpired(item: LivenessRecord, observation: Observation | undefined, nowMs: number): boolean {
  return isHeld(item) && observation !== undefined && nowMs >= fenceDeadlineMs(item, observation);
}

/** True if the record already carries the mark of L4 for its present state. */
export function isMarkedExpired(item: LivenessRecord): boolean {
  return item.expired !== null && item.expired.nodeEpoch === item.nodeEpoch && item.expired.sequence === item.sequence;
}
