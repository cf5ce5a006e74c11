import { assertNever } from '../domain/result.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import type {
  Diagnosis,
  LostReplica,
  PlanObstacle,
  RecoveryPlan,
  RejectedCandidate,
} from '../domain/unclean-election.ts';

/** Quorum loss in words: why a shard can't serve and what to do, for operators (GET /cluster/health, /recovery). */

const LOSS: Readonly<Record<LostReplica['reason'], string>> = {
  NODE_AWAY: 'its node is away',
  DIRECTORY_LOST: 'its node came back without the data directory',
  COPY_DAMAGED: 'its copy is damaged',
};
const REJECTED: Readonly<Record<RejectedCandidate['code'], string>> = {
  NODE_AWAY: 'its node is away',
  NOT_REPORTED: 'its node has not told yet what it holds; it does so within 15 s',
  REPORT_STALE: 'its node registered anew and has not told yet what it holds; it does so within 15 s',
  COPY_DAMAGED: 'its copy is damaged',
  COPY_EMPTY: 'its copy was never filled',
};

const lostWords = (lost: readonly LostReplica[]): string =>
  lost.map(({ nodeId, reason }) => `${nodeId} (${LOSS[reason]})`).join(', ');
const rejectedWords = (rejected: readonly RejectedCandidate[]): string =>
  rejected.map(({ nodeId, code }) => `${nodeId} (${REJECTED[code]})`).join(', ');

/** Why the shard can't serve, and what to do. */
export function explainDiagnosis(shard: ShardDescriptor, found: Exclude<Diagnosis, { kind: 'LED' }>): string {
  const name = `Shard ${shard.shardId} of table ${shard.table}`;
  switch (found.kind) {
    case 'FENCE_AWAITED':
      return `${name} waits for node ${found.nodeId} to be fenced. The detector does it within seconds; if it does not, see the brake in GET /cluster/health.`;
    case 'ELECTION_AWAITED':
      return `${name} has no leader; ${found.nodeId} can lead and is elected within seconds. If it is not, see the reconciler's log.`;
    case 'PROOF_AWAITED':
      return `${name} has no leader; node ${found.nodeId} is back with its data directory and proves itself within 15 s. If it does not, see that node's log.`;
    case 'STALLED':
      return `${name} has a leader on ${shard.leader.nodeId}, whose writes wait for ${lostWords(found.lost)}. Nothing is lost. Bring a node back, or let repair place a copy elsewhere; if neither can be, plan a SHRINK with POST /recovery/unclean-elections.`;
    case 'QUORUM_LOST':
      return found.candidates.length > 0
        ? `${name} has no leader: every replica that held all acknowledged writes is lost: ${lostWords(found.lost)}. Bring one of these nodes back with its data directory; if that can't be, plan an UNCLEAN election with POST /recovery/unclean-elections (writes may be lost; ${found.candidates[0]?.nodeId ?? ''} has the fullest copy left).`
        : `${name} has no leader, and no copy of it can be reached: ${rejectedWords(found.rejected)}. Bring a node back with its data directory, or restore the table from a backup.`;
    default:
      return assertNever(found);
  }
}

/** What a plan would do and what may be lost by it. */
export function explainPlan(plan: RecoveryPlan): string {
  const { candidate, lost } = plan;
  if (plan.kind === 'SHRINK')
    return `${candidate.nodeId} goes on leading without ${lostWords(lost)}. No acknowledged write is lost, but until other copies are filled there is no second one.`;
  const end = plan.logEnd === null ? '' : ` (log ends at epoch ${plan.logEnd.epoch}, entry ${plan.logEnd.seq})`;
  const behind =
    plan.behindEntries === null
      ? 'How many writes that leaves out can not be told: nobody who held them can be asked'
      : plan.behindEntries === 0
        ? 'As far as any replica told, no entry is missing'
        : `At least ${plan.behindEntries} entries are missing`;
  const terms = plan.missingEpochs > 0 ? `, among them all of the last ${plan.missingEpochs} terms` : '';
  const rejected = plan.rejected.filter(({ code }) => code === 'NOT_REPORTED' || code === 'REPORT_STALE');
  const wait = rejected.length === 0 ? '' : ` Wait and plan anew: ${rejectedWords(rejected)}.`;
  return (
    `${candidate.nodeId}${end} becomes the leader although it may lack acknowledged writes; lost: ${lostWords(lost)}. ` +
    `${behind}${terms}. All other copies are made anew from it, for good. Stop the processes of lost nodes first: one that is only ` +
    `cut off from the control plane may still serve its clients.${wait}`
  );
}

/** Why there is no plan. */
export function explainObstacle(shard: ShardDescriptor, obstacle: PlanObstacle): string {
  switch (obstacle.kind) {
    case 'LED':
      return `Shard ${shard.shardId} is led by ${shard.leader.nodeId}; there is nothing to recover.`;
    case 'NO_COPY':
      return `No copy of shard ${shard.shardId} can be reached: ${rejectedWords(obstacle.rejected)}. Bring a node back, or restore the table from a backup.`;
    default:
      return explainDiagnosis(shard, obstacle);
  }
}
