import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import type { NodeReport } from '../../shared/contracts/node/heartbeat.ts';
import type { SyncStatus } from '../../shared/domain/shard.ts';
import { abandonGrowth, beginGrowth } from './ack-set.ts';
import type { PeerLink } from './peer-link.ts';
import type { Tuning } from './tuning.ts';

/** What a leader proposes to the control plane about one replica (R1-R3); one at a time, as each raises the generation. */
export interface Proposal {
  readonly link: PeerLink;
  readonly status: SyncStatus;
  readonly report: Extract<NodeReport, { type: 'replica_status' }>;
}

export interface ProposalInput {
  readonly descriptor: WireDescriptor;
  readonly links: readonly PeerLink[];
  /** Last entry of the leader's log. */
  readonly lastSeq: number;
  readonly nowMs: number;
  readonly tuning: Tuning;
}

/** Chooses the next proposal, or null. Begins and abandons growth on the way. */
export function nextProposal(input: ProposalInput): Proposal | null {
  const { descriptor, links, lastSeq, nowMs, tuning } = input;
  const silent = (link: PeerLink): boolean => nowMs - link.lastCaughtUpMs > tuning.ackTimeoutMs;

  // Shrinkage first: it is what writes wait for. Never below min_in_sync (R3).
  const listed = descriptor.replicas.filter((replica) => replica.sync_status === 'IN_SYNC').length;
  const dead = links.find((link) => link.listed().sync_status === 'IN_SYNC' && silent(link));
  if (dead !== undefined && listed > descriptor.min_in_sync) {
    const { node_epoch, store_uuid } = dead.listed();
    return proposal(descriptor, dead, 'LAGGING', node_epoch, store_uuid);
  }

  for (const link of links) {
    const session = link.session();
    if (link.listed().sync_status === 'IN_SYNC') {
      // The node started again: its entry is void (unelectable) until it is proposed under its new node epoch.
      const renewed = session !== null && session.nodeEpoch > link.listed().node_epoch;
      if (renewed && link.matchSeq > 0 && link.matchSeq >= lastSeq)
        return proposal(descriptor, link, 'IN_SYNC', session.nodeEpoch, session.storeUuid);
      continue;
    }
    // An open outcome is settled by raising the generation, even if the replica is silent again by now (R2). When the
    // control plane refuses the same proposal now (its session is over), any other change of the entry raises it as well.
    if (link.proposal?.refusedSince === true) {
      const { sync_status, node_epoch, store_uuid } = link.listed();
      return proposal(descriptor, link, sync_status === 'LAGGING' ? 'OFFLINE' : 'LAGGING', node_epoch, store_uuid);
    }
    if (link.proposal !== null && link.proposedAs !== null)
      return proposal(descriptor, link, 'IN_SYNC', link.proposedAs.nodeEpoch, link.proposedAs.storeUuid);
    if (silent(link) || session === null) {
      abandonGrowth(link);
      continue;
    }
    // Few entries may be many bytes: a replica that writes would have to wait for is not required yet.
    if (link.growthTargetSeq === null && !link.caughtUp) continue;
    if (!link.required && link.matchSeq > 0 && lastSeq - link.matchSeq <= tuning.growthLagEntriesMax)
      beginGrowth(link, lastSeq);
    if (link.growthTargetSeq !== null && link.matchSeq >= link.growthTargetSeq)
      return proposal(descriptor, link, 'IN_SYNC', session.nodeEpoch, session.storeUuid);
  }
  return null;
}

function proposal(
  descriptor: WireDescriptor,
  link: PeerLink,
  status: SyncStatus,
  nodeEpoch: number,
  storeUuid: string,
): Proposal {
  return {
    link,
    status,
    report: {
      type: 'replica_status',
      shard_id: descriptor.shard_id,
      epoch: descriptor.epoch,
      generation: descriptor.generation,
      replica_id: link.replicaId,
      node_epoch: nodeEpoch,
      store_uuid: storeUuid,
      sync_status: status,
    },
  };
}
