/**
 * A node's own view of its lease (L3): it counts from the first send of the sequence that was acknowledged, on a clock
 * that runs through suspension, less the drift bound. Pure: time comes in as a value.
 */
export interface LeaseTerms {
  /** Milliseconds of one lease. */
  readonly leaseMs: number;
  /** Milliseconds that the node stops before its lease ends: drift of clock rates and scheduling (L2, L3). */
  readonly driftBoundMs: number;
}

export interface LeaseState {
  readonly terms: LeaseTerms;
  /** First send of each sequence that may still extend the lease, on the node's monotonic clock. */
  readonly firstSentAtMs: ReadonlyMap<number, number>;
  /** The lease holds strictly before this moment; null before the first acknowledgement. */
  readonly heldUntilMs: number | null;
}

export const newLease = (terms: LeaseTerms): LeaseState => ({
  terms,
  firstSentAtMs: new Map(),
  heldUntilMs: null,
});

/** Milliseconds that an acknowledged send is worth. */
const worthMs = (terms: LeaseTerms): number => Math.max(0, terms.leaseMs - terms.driftBoundMs);

/** Notes that `sequence` leaves the node now. A repeated send keeps its first time. */
export function sequenceSent(lease: LeaseState, sequence: number, nowMs: number): LeaseState {
  if (lease.firstSentAtMs.has(sequence)) return lease;
  // A send that could extend nothing any more is forgotten, which bounds the map by leaseMs / renewMs.
  const live = [...lease.firstSentAtMs].filter(([, sentAtMs]) => sentAtMs + worthMs(lease.terms) > nowMs);
  return { ...lease, firstSentAtMs: new Map([...live, [sequence, nowMs]]) };
}

/**
 * Notes that the control plane stored `sequence`. Counts from that sequence's own first send, so a late answer to an older
 * one never extends the lease beyond what a newer one gave, and a sequence that was never sent gives nothing.
 */
export function sequenceAcknowledged(lease: LeaseState, sequence: number): LeaseState {
  const sentAtMs = lease.firstSentAtMs.get(sequence);
  if (sentAtMs === undefined) return lease;
  const heldUntilMs = Math.max(lease.heldUntilMs ?? -Infinity, sentAtMs + worthMs(lease.terms));
  return {
    ...lease,
    heldUntilMs,
    firstSentAtMs: new Map([...lease.firstSentAtMs].filter(([sent]) => sent > sequence)),
  };
}

/** True while the node may acknowledge and answer as leader. */
export const leaseHeld = (lease: LeaseState, nowMs: number): boolean =>
  lease.heldUntilMs !== null && nowMs < lease.heldUntilMs;
