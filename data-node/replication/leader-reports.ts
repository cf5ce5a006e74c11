import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import type { ReplicaMeta } from '../engine/types.ts';
import { proposalRefused, proposalSent, proposalUnknown } from './ack-set.ts';
import { spawn } from './context.ts';
import type { HostContext } from './context.ts';
import type { LeadershipState } from './leadership.ts';
import type { PeerLink } from './peer-link.ts';
import { nextProposal } from './proposals.ts';
import type { Proposal } from './proposals.ts';

/** Pause before a proposal that failed or was refused is made again, ms. */
const PROPOSAL_RETRY_MS = 300;
/**
 * After a report whose answer was lost the descriptor is read again, until a read came later than this, ms: an API call's
 * function runs at most 29 s, so nothing of the report can take effect any more.
 */
const REPORT_LIFE_MS = 30_000;
/** Between two such reads, ms. */
const SETTLE_READ_MS = 2_000;
/** Between two reports that a node does not hold its replica, ms. */
const MISSING_REPORT_MS = 5_000;

/** A leader's term, as far as its reports go. */
export interface ReportingTerm {
  readonly shardId: string;
  readonly epoch: number;
  state(): LeadershipState;
  descriptor(): WireDescriptor;
  meta(): ReplicaMeta | undefined;
  /** L3, E1: only who holds a lease reports. */
  entitled(): boolean;
  progressed(): void;
}

/** What a leader tells the control plane during its term: changes of the IN_SYNC set (R2, R3), and copies that are gone (R4). One proposal at a time. */
export class LeaderReports {
  private readonly context: HostContext;
  private readonly term: ReportingTerm;
  private proposing = false;
  private proposeNotBeforeMs = 0;
  private missingReportedMs = -Infinity;
  /** R2: a report that was lost may take effect until then; the descriptor is read until `descriptorSeenMs` passes it. */
  private unsettledUntilMs = -Infinity;
  private descriptorSeenMs = -Infinity;
  private settleReadDueMs = -Infinity;

  constructor(context: HostContext, term: ReportingTerm) {
    this.context = context;
    this.term = term;
  }

  /** The descriptor came, and no newer one is known. */
  descriptorSeen(): void {
    this.descriptorSeenMs = this.context.env.clock.monotonicMs();
  }

  /** A lost answer may have been that of a change which nobody else tells of: without it, leader and descriptor would differ for good. */
  settle(): void {
    const nowMs = this.context.env.clock.monotonicMs();
    if (this.descriptorSeenMs >= this.unsettledUntilMs || nowMs < this.settleReadDueMs) return;
    this.settleReadDueMs = nowMs + SETTLE_READ_MS;
    this.context.refresh(this.term.shardId);
  }

  /** Proposes the change of the IN_SYNC set that is due. E5: a node without a lease must not shrink the set; it proposes nothing. */
  propose(links: Iterable<PeerLink>): void {
    const { env, tuning } = this.context;
    const nowMs = env.clock.monotonicMs();
    const meta = this.term.meta();
    if (this.proposing || nowMs < this.proposeNotBeforeMs || meta === undefined || !this.term.entitled()) return;
    const descriptor = this.term.descriptor();
    const next = nextProposal({ descriptor, links: [...links], lastSeq: meta.last.seq, nowMs, tuning });
    if (next === null) return;
    this.proposing = true;
    spawn(env, 'propose a replica status', this.carryOut(next));
  }

  private async carryOut({ link, status, report }: Proposal): Promise<void> {
    const { env, reporter } = this.context;
    if (status === 'IN_SYNC') {
      link.proposedAs = { nodeEpoch: report.node_epoch, storeUuid: report.store_uuid };
      proposalSent(link, report.generation);
    }
    const outcome = await reporter.report(report);
    this.proposing = false;
    if (this.term.state() === 'ENDED') return;
    const applied = outcome.ok && outcome.value.outcome === 'APPLIED';
    if (!applied) this.proposeNotBeforeMs = env.clock.monotonicMs() + PROPOSAL_RETRY_MS;
    if (!outcome.ok) {
      if (status === 'IN_SYNC') proposalUnknown(link);
      this.unsettledUntilMs = env.clock.monotonicMs() + REPORT_LIFE_MS;
      return;
    }
    const { descriptor } = outcome.value;
    if (descriptor !== null) this.context.adopt(descriptor);
    if (status === 'IN_SYNC' && outcome.value.outcome === 'REFUSED') proposalRefused(link, report.generation);
    this.term.progressed();
  }

  /** Reports that the link's node does not hold the replica that it is listed with. */
  missing(link: PeerLink, storeUuid: string): void {
    const { env, reporter } = this.context;
    const nowMs = env.clock.monotonicMs();
    if (nowMs - this.missingReportedMs < MISSING_REPORT_MS || !this.term.entitled()) return;
    this.missingReportedMs = nowMs;
    const report = reporter.report({
      type: 'missing_replica',
      shard_id: this.term.shardId,
      epoch: this.term.epoch,
      generation: this.term.descriptor().generation,
      replica_id: link.replicaId,
      node_epoch: link.listed().node_epoch,
      store_uuid: storeUuid,
    });
    spawn(
      env,
      'report a missing replica',
      report.then((result) => {
        if (result.ok && result.value.descriptor !== null) this.context.adopt(result.value.descriptor);
      }),
    );
  }
}
