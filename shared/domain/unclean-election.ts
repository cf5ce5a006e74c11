import { allEntriesVoid, leaderIsFenced, rejectionOf } from './election.ts';
import type { LivenessView } from './election.ts';
import { isMarkedExpired } from './detector.ts';
import type { Epoch, Generation, NodeId, ReplicaId, ShardId } from './ids.ts';
import { nextEpoch, nextGeneration } from './ids.ts';
import type { ReplicaLogRecord } from './records.ts';
import { err, ok } from './result.ts';
import type { Result } from './result.ts';
import type { Replica, ShardDescriptor } from './shard.ts';
import { inSyncReplicas, replicaById } from './shard.ts';

/**
 * Recovery after the loss of a quorum (E4): what keeps a shard from serving, what an operator can do about it, and the descriptor
 * that says so. Whatever the protocol can do by itself without losing a write is waited for: an UNCLEAN election is the last resort.
 */

/** Log positions that replicas' nodes reported, by replica id. */
export type LogView = ReadonlyMap<ReplicaId, ReplicaLogRecord>;

export interface LogEnd {
  readonly epoch: number;
  readonly seq: number;
}

/** Why an entry that is in sync can't help the shard now. */
export type LossReason =
  /** Its node is fenced and did not come back. */
  | 'NODE_AWAY'
  /** Its node came back with another data directory: the copy is gone. */
  | 'DIRECTORY_LOST'
  /** Its node came back and said that the copy can't be trusted. */
  | 'COPY_DAMAGED';

export interface LostReplica {
  readonly replicaId: ReplicaId;
  readonly nodeId: NodeId;
  readonly reason: LossReason;
}

/** Why a replica is no candidate for an UNCLEAN election. */
export type CandidateRejection =
  | 'NODE_AWAY'
  /** The node lives, and has not told yet what it holds. */
  | 'NOT_REPORTED'
  /** What it told was under an earlier registration or another directory. */
  | 'REPORT_STALE'
  | 'COPY_DAMAGED'
  /** An empty copy that was never filled. */
  | 'COPY_EMPTY';

export interface RejectedCandidate {
  readonly replicaId: ReplicaId;
  readonly nodeId: NodeId;
  readonly code: CandidateRejection;
}

/** Something that comes by itself, and has to be waited for. */
export type Awaited =
  /** The leader's node is expired or released and not fenced yet: the detector's turn, or the brake's (L5). */
  | { readonly kind: 'FENCE_AWAITED'; readonly nodeId: NodeId }
  /** A replica in sync can be elected: detector and reconciler do it within seconds. */
  | { readonly kind: 'ELECTION_AWAITED'; readonly nodeId: NodeId }
  /** The node of a replica in sync is back with its directory: its proof makes it the leader, nothing is lost (E4). */
  | { readonly kind: 'PROOF_AWAITED'; readonly nodeId: NodeId };

/** What stands between a shard and its clients. */
export type Diagnosis =
  | { readonly kind: 'LED' }
  | Awaited
  /** It has a leader, whose writes wait for replicas that are gone: the list can't shrink below `min_in_sync` (R1). No write is lost. */
  | { readonly kind: 'STALLED'; readonly lost: readonly LostReplica[] }
  /** Nobody that held every acknowledged write is left. */
  | {
      readonly kind: 'QUORUM_LOST';
      readonly lost: readonly LostReplica[];
      /** Best first: by (epoch, seq) of their logs. */
      readonly candidates: readonly ReplicaLogRecord[];
      readonly rejected: readonly RejectedCandidate[];
    };

export function diagnose(shard: ShardDescriptor, view: LivenessView, logs: LogView): Diagnosis {
  if (!leaderIsFenced(shard, view)) return underALeader(shard, view);
  for (const replica of shard.replicas)
    if (rejectionOf(replica, view) === null) return { kind: 'ELECTION_AWAITED', nodeId: replica.nodeId };
  const entries = inSyncReplicas(shard);
  if (!allEntriesVoid(shard, view)) {
    const unfenced = entries.find(({ nodeId, nodeEpoch }) => (view.get(nodeId)?.nodeEpoch ?? 0) <= nodeEpoch);
    return { kind: 'FENCE_AWAITED', nodeId: unfenced?.nodeId ?? shard.leader.nodeId };
  }
  const lost: LostReplica[] = [];
  for (const entry of entries) {
    const reason = lossOf(entry, view, logs);
    if (reason === null) return { kind: 'PROOF_AWAITED', nodeId: entry.nodeId };
    lost.push({ replicaId: entry.replicaId, nodeId: entry.nodeId, reason });
  }
  return { kind: 'QUORUM_LOST', lost, ...rank(shard, view, logs) };
}

function underALeader(shard: ShardDescriptor, view: LivenessView): Diagnosis {
  const leader = view.get(shard.leader.nodeId);
  if (leader === undefined || isMarkedExpired(leader) || leader.released)
    return { kind: 'FENCE_AWAITED', nodeId: shard.leader.nodeId };
  const entries = inSyncReplicas(shard);
  if (entries.length > shard.minInSync) return { kind: 'LED' };
  // A node that is back is filled again by the leader, whatever its directory lost (ADR 0003): only who stays away holds writes up.
  const lost = entries
    .filter((entry) => isAway(entry, view))
    .map(({ replicaId, nodeId }) => ({ replicaId, nodeId, reason: 'NODE_AWAY' as const }));
  return lost.length === 0 ? { kind: 'LED' } : { kind: 'STALLED', lost };
}

function isAway(entry: Replica, view: LivenessView): boolean {
  const liveness = view.get(entry.nodeId);
  return liveness === undefined || (liveness.nodeEpoch > entry.nodeEpoch && liveness.incarnation === null);
}

/** Why a void entry can't be proved any more; null: it may be. */
function lossOf(entry: Replica, view: LivenessView, logs: LogView): LossReason | null {
  const liveness = view.get(entry.nodeId);
  if (liveness === undefined || liveness.incarnation === null || liveness.released) return 'NODE_AWAY';
  if (liveness.storeUuid !== entry.storeUuid) return 'DIRECTORY_LOST';
  const log = logs.get(entry.replicaId);
  const damaged = log?.nodeEpoch === liveness.nodeEpoch && log.storeUuid === liveness.storeUuid && !log.intact;
  return damaged ? 'COPY_DAMAGED' : null;
}

/** Candidates among all listed replicas, whatever their status: the fullest log first, ties by replica id. */
function rank(
  shard: ShardDescriptor,
  view: LivenessView,
  logs: LogView,
): { candidates: readonly ReplicaLogRecord[]; rejected: readonly RejectedCandidate[] } {
  const candidates: ReplicaLogRecord[] = [];
  const rejected: RejectedCandidate[] = [];
  for (const { replicaId, nodeId } of shard.replicas) {
    const log = logs.get(replicaId);
    const code = candidateRejection(nodeId, log, view);
    if (code !== null) rejected.push({ replicaId, nodeId, code });
    else if (log !== undefined) candidates.push(log);
  }
  candidates.sort((a, b) => b.lastEpoch - a.lastEpoch || b.lastSeq - a.lastSeq || (a.replicaId < b.replicaId ? -1 : 1));
  return { candidates, rejected };
}

function candidateRejection(
  nodeId: NodeId,
  log: ReplicaLogRecord | undefined,
  view: LivenessView,
): CandidateRejection | null {
  const liveness = view.get(nodeId);
  if (liveness === undefined || liveness.incarnation === null || liveness.released || isMarkedExpired(liveness))
    return 'NODE_AWAY';
  if (log === undefined) return 'NOT_REPORTED';
  if (log.nodeId !== nodeId || log.nodeEpoch !== liveness.nodeEpoch || log.storeUuid !== liveness.storeUuid)
    return 'REPORT_STALE';
  if (!log.intact) return 'COPY_DAMAGED';
  return log.lastSeq === 0 ? 'COPY_EMPTY' : null;
}

/** What an operator is asked to agree to, made from the descriptor at `generation`. */
export interface RecoveryPlan {
  readonly kind: 'UNCLEAN' | 'SHRINK';
  readonly shardId: ShardId;
  readonly generation: Generation;
  readonly epoch: Epoch;
  readonly candidate: { readonly replicaId: ReplicaId; readonly nodeId: NodeId };
  /** Where the candidate's log ends; null for a SHRINK, whose leader holds every acknowledged write. */
  readonly logEnd: LogEnd | null;
  readonly lost: readonly LostReplica[];
  readonly rejected: readonly RejectedCandidate[];
  /** Entries by which another replica that reported is ahead, though it may not lead; null if nobody that was in sync can be asked. */
  readonly behindEntries: number | null;
  /** Terms of leaders of which the candidate holds no entry: what they acknowledged is missing as a whole. */
  readonly missingEpochs: number;
}

export type PlanObstacle =
  | Extract<Diagnosis, { kind: 'LED' }>
  | Awaited
  | { readonly kind: 'NO_COPY'; readonly rejected: readonly RejectedCandidate[] };

/** The plan for a shard that can't serve, or why there is none to be made. */
export function planRecovery(
  shard: ShardDescriptor,
  view: LivenessView,
  logs: LogView,
): Result<RecoveryPlan, PlanObstacle> {
  const found = diagnose(shard, view, logs);
  const { shardId, generation, epoch } = shard;
  switch (found.kind) {
    case 'STALLED': {
      const { replicaId, nodeId } = shard.leader;
      const nothing = { logEnd: null, rejected: [], behindEntries: 0, missingEpochs: 0 };
      return ok({
        kind: 'SHRINK',
        shardId,
        generation,
        epoch,
        candidate: { replicaId, nodeId },
        lost: found.lost,
        ...nothing,
      });
    }
    case 'QUORUM_LOST': {
      const [best] = found.candidates;
      if (best === undefined) return err({ kind: 'NO_COPY', rejected: found.rejected });
      return ok({
        kind: 'UNCLEAN',
        shardId,
        generation,
        epoch,
        candidate: { replicaId: best.replicaId, nodeId: best.nodeId },
        logEnd: { epoch: best.lastEpoch, seq: best.lastSeq },
        lost: found.lost,
        rejected: found.rejected,
        behindEntries: entriesBehind(shard, best, logs),
        missingEpochs: Math.max(0, shard.epoch - best.lastEpoch),
      });
    }
    default:
      return err(found);
  }
}

/** By how much the fullest log that anyone told of is ahead; null: no replica that was in sync told of its log, so nobody knows. */
function entriesBehind(shard: ShardDescriptor, best: ReplicaLogRecord, logs: LogView): number | null {
  const told = inSyncReplicas(shard).flatMap(({ replicaId }) => logs.get(replicaId) ?? []);
  if (told.length === 0) return null;
  return Math.max(0, ...told.map(({ lastSeq }) => lastSeq - best.lastSeq));
}

/**
 * The descriptor after an UNCLEAN election: the candidate leads at an epoch above all that anyone saw, under its node's present
 * registration; `data_loss` is raised. Every other replica gets a new id and is filled anew: what the old copies hold may contradict
 * the new leader's log below their commits, and nothing that is said of them later concerns the shard any more (R4).
 * `newReplicaId` draws an id that was never used.
 */
export function electUnclean(
  shard: ShardDescriptor,
  view: LivenessView,
  logs: LogView,
  newReplicaId: () => ReplicaId,
  nowMs: number,
): Result<ShardDescriptor, PlanObstacle> {
  const planned = planRecovery(shard, view, logs);
  if (!planned.ok) return planned;
  const { candidate, kind } = planned.value;
  const log = logs.get(candidate.replicaId);
  const entry = replicaById(shard, candidate.replicaId);
  if (kind !== 'UNCLEAN' || log === undefined || entry === undefined) return err({ kind: 'LED' });
  const winner: Replica = { ...entry, nodeEpoch: log.nodeEpoch, storeUuid: log.storeUuid, syncStatus: 'IN_SYNC' };
  const seen = Math.max(shard.epoch, ...shard.replicas.map(({ replicaId }) => logs.get(replicaId)?.lastEpoch ?? 0));
  return ok({
    ...shard,
    epoch: nextEpoch(seen as Epoch),
    generation: nextGeneration(shard.generation),
    leader: { replicaId: winner.replicaId, nodeId: winner.nodeId, nodeEpoch: winner.nodeEpoch },
    minInSync: 1,
    replicas: shard.replicas.map((replica) =>
      replica.replicaId === winner.replicaId ? winner : emptied(replica, view, newReplicaId()),
    ),
    intent: null,
    dataLoss: true,
    leaderSinceMs: nowMs,
  });
}

/** The entry of a copy that is to be made anew on the same node, in the directory that the node has now. */
function emptied(replica: Replica, view: LivenessView, replicaId: ReplicaId): Replica {
  const liveness = view.get(replica.nodeId);
  return {
    replicaId,
    nodeId: replica.nodeId,
    nodeEpoch: liveness?.nodeEpoch ?? replica.nodeEpoch,
    storeUuid: liveness?.storeUuid ?? replica.storeUuid,
    syncStatus: 'OFFLINE',
  };
}

/**
 * The descriptor of a stalled shard whose leader may go on without the replicas that are gone: below its `min_in_sync`, which is
 * lowered along. The leader keeps its epoch, and drops them once this has committed (R1): it holds every acknowledged write.
 */
export function shrinkBelow(shard: ShardDescriptor, view: LivenessView): Result<ShardDescriptor, PlanObstacle> {
  const found = diagnose(shard, view, new Map());
  if (found.kind !== 'STALLED')
    return found.kind === 'QUORUM_LOST' ? err({ kind: 'NO_COPY', rejected: [] }) : err(found);
  const gone = new Set(found.lost.map(({ replicaId }) => replicaId));
  const left = inSyncReplicas(shard).filter(({ replicaId }) => !gone.has(replicaId)).length;
  return ok({
    ...shard,
    generation: nextGeneration(shard.generation),
    minInSync: Math.min(shard.minInSync, left),
    replicas: shard.replicas.map((replica) =>
      gone.has(replica.replicaId) ? { ...replica, syncStatus: 'OFFLINE' as const } : replica,
    ),
  });
}
