import type { NodeEpoch, NodeId, ReplicaId, StoreUuid } from './ids.ts';
import { nextEpoch, nextGeneration } from './ids.ts';
import type { LivenessRecord } from './lease.ts';
import { err, ok } from './result.ts';
import type { Result } from './result.ts';
import type { Replica, ShardDescriptor } from './shard.ts';
import { inSyncReplicas } from './shard.ts';

/** Elections (E1, E4): who may lead a shard whose leader's node was fenced, and the descriptor that says so. */

/** Strongly read liveness of the nodes that a decision concerns, read after the fence (E1). */
export type LivenessView = ReadonlyMap<NodeId, LivenessRecord>;

export type RejectionCode =
  | 'NOT_IN_SYNC'
  | 'NODE_UNKNOWN'
  /** The entry's node epoch is not the node's present one (E1). */
  | 'ENTRY_VOID'
  | 'NODE_FENCED'
  | 'NODE_RELEASED'
  /** The detector has marked the node's lease as expired: it is about to be fenced. */
  | 'NODE_EXPIRED';

export interface Rejection {
  readonly replicaId: ReplicaId;
  readonly nodeId: NodeId;
  readonly code: RejectionCode;
}

export type ElectionRefusal =
  /** The leader's node epoch is still in force: electing now could make two leaders (E1). */
  | { readonly code: 'LEADER_NOT_FENCED' }
  /** No IN_SYNC entry is on a node under its present epoch; see `electFromVoid`. */
  | { readonly code: 'NO_CANDIDATE'; readonly rejected: readonly Rejection[]; readonly allVoid: boolean }
  | {
      readonly code: 'NOT_PROVEN';
      readonly reason: 'NOT_LISTED' | 'STORE_MISMATCH' | 'LOG_DAMAGED' | 'NODE_EPOCH_STALE';
    };

export interface Elected {
  readonly shard: ShardDescriptor;
  readonly rejected: readonly Rejection[];
}

/** How much the caller wants a candidate to lead: fewer leaders first, and the better of two random candidates. */
export interface ElectionPreference {
  /** Leaders that a node has or was just given. */
  readonly leadersOn: (nodeId: NodeId) => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly nowMs: number;
}

/** True if the leader recorded in the descriptor can't act any more: its node epoch was raised (E1). */
export function leaderIsFenced(shard: ShardDescriptor, view: LivenessView): boolean {
  const liveness = view.get(shard.leader.nodeId);
  return liveness !== undefined && liveness.nodeEpoch > shard.leader.nodeEpoch;
}

/** Why `replica` may not be elected, or null if it may. */
export function rejectionOf(replica: Replica, view: LivenessView): RejectionCode | null {
  if (replica.syncStatus !== 'IN_SYNC') return 'NOT_IN_SYNC';
  const liveness = view.get(replica.nodeId);
  if (liveness === undefined) return 'NODE_UNKNOWN';
  if (liveness.nodeEpoch !== replica.nodeEpoch) return 'ENTRY_VOID';
  if (liveness.incarnation === null) return 'NODE_FENCED';
  if (liveness.released) return 'NODE_RELEASED';
  const { expired } = liveness;
  if (expired !== null && expired.nodeEpoch === liveness.nodeEpoch && expired.sequence === liveness.sequence) {
    return 'NODE_EXPIRED';
  }
  return null;
}

/**
 * Elects a leader among the IN_SYNC entries that carry their node's current epoch (E1). Fenced entries leave the IN_SYNC
 * list as far as `minInSync` allows; the rest stay listed and required (PROTOCOL, transition "election").
 */
export function electLeader(
  shard: ShardDescriptor,
  view: LivenessView,
  preference: ElectionPreference,
): Result<Elected, ElectionRefusal> {
  if (!leaderIsFenced(shard, view)) return err({ code: 'LEADER_NOT_FENCED' });
  const rejected: Rejection[] = [];
  const candidates: Replica[] = [];
  for (const replica of shard.replicas) {
    const code = rejectionOf(replica, view);
    if (code === null) candidates.push(replica);
    else rejected.push({ replicaId: replica.replicaId, nodeId: replica.nodeId, code });
  }
  const winner = choose(shard, candidates, preference);
  if (winner === null) return err({ code: 'NO_CANDIDATE', rejected, allVoid: allEntriesVoid(shard, view) });
  return ok({ shard: withLeader(shard, winner, dropFenced(shard, winner, view), preference.nowMs), rejected });
}

/** What a node shows of one replica to be elected although its entry is void (E4). */
export interface VoidProof {
  readonly replicaId: ReplicaId;
  readonly nodeId: NodeId;
  /** Node epoch of the reporter's present registration. */
  readonly nodeEpoch: NodeEpoch;
  readonly storeUuid: StoreUuid;
  readonly logIntact: boolean;
}

/**
 * Election of the void (E4): after a loss of power no listed entry has a current node epoch. Any listed replica may lead under
 * its node's new epoch if it proves the same data directory and an intact log: every listed replica holds every
 * acknowledged write (R1).
 */
export function electFromVoid(
  shard: ShardDescriptor,
  view: LivenessView,
  proof: VoidProof,
  nowMs: number,
): Result<Elected, ElectionRefusal> {
  if (!leaderIsFenced(shard, view)) return err({ code: 'LEADER_NOT_FENCED' });
  if (!allEntriesVoid(shard, view)) return err({ code: 'NO_CANDIDATE', rejected: [], allVoid: false });
  const entry = inSyncReplicas(shard).find((replica) => replica.replicaId === proof.replicaId);
  if (entry === undefined || entry.nodeId !== proof.nodeId) return err({ code: 'NOT_PROVEN', reason: 'NOT_LISTED' });
  if (entry.storeUuid !== proof.storeUuid) return err({ code: 'NOT_PROVEN', reason: 'STORE_MISMATCH' });
  if (!proof.logIntact) return err({ code: 'NOT_PROVEN', reason: 'LOG_DAMAGED' });
  const liveness = view.get(proof.nodeId);
  if (
    liveness === undefined ||
    liveness.nodeEpoch !== proof.nodeEpoch ||
    liveness.incarnation === null ||
    liveness.storeUuid !== proof.storeUuid
  ) {
    return err({ code: 'NOT_PROVEN', reason: 'NODE_EPOCH_STALE' });
  }
  const winner: Replica = { ...entry, nodeEpoch: proof.nodeEpoch };
  const proven: ShardDescriptor = {
    ...shard,
    replicas: shard.replicas.map((replica) => (replica.replicaId === winner.replicaId ? winner : replica)),
  };
  return ok({ shard: withLeader(proven, winner, dropFenced(proven, winner, view), nowMs), rejected: [] });
}

/** True if no IN_SYNC entry carries its node's present epoch, held by an incarnation (E4). */
export function allEntriesVoid(shard: ShardDescriptor, view: LivenessView): boolean {
  return inSyncReplicas(shard).every((replica) => {
    const liveness = view.get(replica.nodeId);
    return liveness !== undefined && liveness.nodeEpoch > replica.nodeEpoch;
  });
}

function choose(
  shard: ShardDescriptor,
  candidates: readonly Replica[],
  preference: ElectionPreference,
): Replica | null {
  const intended = candidates.find((replica) => replica.replicaId === shard.intent?.targetReplicaId);
  if (intended !== undefined) return intended;
  if (candidates.length === 0) return null;
  // Better of two random candidates: spreads leaders over the survivors without a herd on the least loaded one
  // (Mitzenmacher, "The power of two choices in randomized load balancing").
  const pick = (): Replica => candidates[Math.floor(preference.random() * candidates.length)] as Replica;
  const first = pick();
  const second = pick();
  return preference.leadersOn(second.nodeId) < preference.leadersOn(first.nodeId) ? second : first;
}

/** Replicas after the fenced IN_SYNC entries left, as far as `minInSync` allows: unreachable ones first. */
function dropFenced(shard: ShardDescriptor, winner: Replica, view: LivenessView): readonly Replica[] {
  let inSync = inSyncReplicas(shard).length;
  const isVoid = (replica: Replica): boolean => {
    const liveness = view.get(replica.nodeId);
    return replica.replicaId !== winner.replicaId && liveness !== undefined && liveness.nodeEpoch > replica.nodeEpoch;
  };
  // An entry on a node that is back with the same directory is the easiest one to bring up to date: it stays listed if any does.
  const isBack = (replica: Replica): boolean => {
    const liveness = view.get(replica.nodeId);
    return liveness !== undefined && liveness.incarnation !== null && liveness.storeUuid === replica.storeUuid;
  };
  const leaving = new Set<ReplicaId>();
  const fenced = inSyncReplicas(shard).filter(isVoid);
  for (const replica of [...fenced.filter((r) => !isBack(r)), ...fenced.filter(isBack)]) {
    if (inSync <= shard.minInSync) break;
    leaving.add(replica.replicaId);
    inSync -= 1;
  }
  return shard.replicas.map((replica) =>
    leaving.has(replica.replicaId) ? { ...replica, syncStatus: 'OFFLINE' as const } : replica,
  );
}

/** The descriptor under a new leader: epoch + 1, generation + 1, node epoch copied from the leader's entry (E1). */
export function withLeader(
  shard: ShardDescriptor,
  leader: Replica,
  replicas: readonly Replica[],
  nowMs: number,
): ShardDescriptor {
  return {
    ...shard,
    epoch: nextEpoch(shard.epoch),
    generation: nextGeneration(shard.generation),
    leader: { replicaId: leader.replicaId, nodeId: leader.nodeId, nodeEpoch: leader.nodeEpoch },
    replicas,
    intent: null,
    leaderSinceMs: nowMs,
  };
}
