import type { Incarnation, NodeEpoch, StoreUuid } from './ids.ts';
import { nextNodeEpoch, nodeEpoch } from './ids.ts';
import type { LivenessRecord } from './lease.ts';
import { DRIFT_BOUND_MS, LEASE_PROFILES } from './lease.ts';
import type { NodeRecord } from './records.ts';
import { err, ok } from './result.ts';
import type { Result } from './result.ts';

/** Registration is a fence (L4): every process start takes a new node epoch and a new incarnation. */

export interface RegistrationRequest {
  readonly incarnation: Incarnation;
  readonly storeUuid: StoreUuid;
  /** What the directory last persisted; null for a directory that never attested. */
  readonly attestation: { readonly nodeEpoch: NodeEpoch; readonly counter: number } | null;
}

export type RegistrationRefusal =
  /** An incarnation may still hold the lease (L4). */
  | { readonly code: 'NODE_ALIVE'; readonly retryAfterMs: number }
  | { readonly code: 'NODE_DECOMMISSIONED' }
  /** The directory is older than what it attested before (L4). */
  | { readonly code: 'STORE_ROLLED_BACK'; readonly attested: number; readonly presented: number }
  /**
   * The node registered with another directory since this one: what that one acknowledged, this one lacks, and what this one
   * attested is no longer known (L4).
   */
  | { readonly code: 'STORE_REPLACED'; readonly storeUuid: StoreUuid }
  /** The directory knows a node epoch that was never given out: it belongs to another cluster, or the store was rolled back. */
  | { readonly code: 'STORE_MISMATCH'; readonly presentedNodeEpoch: NodeEpoch; readonly nodeEpoch: NodeEpoch };

export type RegistrationDecision =
  /** A repeat of the registration that is in force (its answer was lost): answered again, nothing written. */
  | { readonly kind: 'REPEATED'; readonly nodeEpoch: NodeEpoch }
  | { readonly kind: 'REGISTER'; readonly nodeEpoch: NodeEpoch; readonly attestation: number };

/**
 * Decides a registration. An existing lease must be over: fenced and never held since, given up by its incarnation, or
 * observed expired at exactly its present (node epoch, sequence) (L4). The write must be conditional on
 * `liveness.nodeEpoch` and `liveness.sequence`.
 */
export function decideRegistration(
  node: NodeRecord | null,
  liveness: LivenessRecord | null,
  request: RegistrationRequest,
): Result<RegistrationDecision, RegistrationRefusal> {
  if (node?.membership === 'DECOMMISSIONED') return err({ code: 'NODE_DECOMMISSIONED' });
  if (liveness === null) {
    return ok({ kind: 'REGISTER', nodeEpoch: nodeEpoch(1), attestation: request.attestation?.counter ?? 0 });
  }
  if (liveness.incarnation === request.incarnation && !liveness.released) {
    return ok({ kind: 'REPEATED', nodeEpoch: liveness.nodeEpoch });
  }
  if (!leaseIsOver(liveness)) {
    return err({ code: 'NODE_ALIVE', retryAfterMs: LEASE_PROFILES[liveness.profile].leaseMs + DRIFT_BOUND_MS });
  }
  if (request.attestation !== null && request.attestation.nodeEpoch > liveness.nodeEpoch) {
    return err({
      code: 'STORE_MISMATCH',
      presentedNodeEpoch: request.attestation.nodeEpoch,
      nodeEpoch: liveness.nodeEpoch,
    });
  }
  const presented = request.attestation?.counter ?? 0;
  if (request.storeUuid !== liveness.storeUuid) {
    // A new directory never registered; one that did stands in the store, or was replaced there (L4, E4).
    if (request.attestation !== null) return err({ code: 'STORE_REPLACED', storeUuid: liveness.storeUuid });
  } else if (presented < liveness.attestation) {
    return err({ code: 'STORE_ROLLED_BACK', attested: liveness.attestation, presented });
  }
  return ok({ kind: 'REGISTER', nodeEpoch: nextNodeEpoch(liveness.nodeEpoch), attestation: presented });
}

/** True if no process can hold the node's lease any more, by the store's own record (L4). */
export function leaseIsOver(liveness: LivenessRecord): boolean {
  if (liveness.incarnation === null || liveness.released) return true;
  const { expired } = liveness;
  return expired !== null && expired.nodeEpoch === liveness.nodeEpoch && expired.sequence === liveness.sequence;
}
