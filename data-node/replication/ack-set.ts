import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import type { PeerLink } from './peer-link.ts';

/**
 * Whom a leader's acknowledgements need (R1, R2). The descriptor's IN_SYNC list is always a subset of this set: growth is
 * applied here first and shrinkage in the store first.
 */

/** What the set allows to be acknowledged. */
export interface AckState {
  /** Everything up to here is durable at every member (the leader included). */
  readonly ackedSeq: number;
  /** Members, the leader included: `min_in_sync` is compared with this at acknowledgement (R5). */
  readonly members: number;
}

export function ackState(leaderDurableSeq: number, links: Iterable<PeerLink>): AckState {
  let ackedSeq = leaderDurableSeq;
  let members = 1;
  for (const link of links) {
    if (!link.required) continue;
    members++;
    ackedSeq = Math.min(ackedSeq, link.matchSeq);
  }
  return { ackedSeq, members };
}

/**
 * Takes note of a committed descriptor of the leader's own epoch. The caller passes each generation once, rising.
 * A replica that it does not list IN_SYNC leaves the set (R1), unless a proposal to list it can still be applied: one made
 * under this generation or a later one (R2). One made under an earlier generation can't: its condition has failed.
 */
export function applyDescriptor(link: PeerLink, descriptor: WireDescriptor): void {
  const entry = descriptor.replicas.find((replica) => replica.replica_id === link.replicaId);
  if (link.proposal !== null && link.proposal.generation < descriptor.generation) {
    link.proposal = null;
    link.growthTargetSeq = null;
  }
  if (entry?.sync_status === 'IN_SYNC') {
    link.required = true;
    return;
  }
  const mayBeListed = link.proposal !== null;
  const growing = entry !== undefined && link.growthTargetSeq !== null;
  if (!mayBeListed && !growing) link.required = false;
}

/** First half of growth: from now on every acknowledgement needs the replica; it is proposed when it holds the log up to `lastSeq`. */
export function beginGrowth(link: PeerLink, lastSeq: number): void {
  link.required = true;
  link.growthTargetSeq = lastSeq;
}

/** Gives growth up. Only while no proposal was made that may be applied (R2). */
export function abandonGrowth(link: PeerLink): void {
  if (link.proposal !== null || link.growthTargetSeq === null) return;
  link.growthTargetSeq = null;
  link.required = false;
}

/** A proposal is on its way: from here on only a later generation or a definite answer takes the replica out again. */
export function proposalSent(link: PeerLink, generation: number): void {
  const before = link.proposal?.generation === generation && link.proposal.outcomeUnknown;
  link.proposal = { generation, outcomeUnknown: before, refusedSince: false };
}

export function proposalUnknown(link: PeerLink): void {
  if (link.proposal !== null) link.proposal.outcomeUnknown = true;
}

/**
 * The control plane refused it. If no earlier attempt under this generation is open: as if never made. Else the replica stays
 * required, and as repeating the proposal settles nothing, the generation must be raised in another way (proposals.ts).
 */
export function proposalRefused(link: PeerLink, generation: number): void {
  if (link.proposal?.generation !== generation) return;
  if (link.proposal.outcomeUnknown) {
    link.proposal.refusedSince = true;
    return;
  }
  link.proposal = null;
  link.growthTargetSeq = null;
  if (link.listed().sync_status !== 'IN_SYNC') link.required = false;
}
