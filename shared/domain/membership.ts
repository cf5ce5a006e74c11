import type { LivenessView } from './election.ts';
import { isMarkedExpired } from './detector.ts';
import { nextGeneration } from './ids.ts';
import type { NodeId, OperationId, ReplicaId } from './ids.ts';
import type { LivenessRecord } from './lease.ts';
import type { NodeRecord } from './records.ts';
import { err, ok } from './result.ts';
import type { Result } from './result.ts';
import { inSyncReplicas, majority, ownerOf, replicaById, replicaOn } from './shard.ts';
import type { Replica, ShardDescriptor } from './shard.ts';

/**
 * The membership of one shard: replicas are added and removed one at a time, by the operation that owns the shard
 * (PROTOCOL, transitions "add replica", "remove replica", "RF or min_in_sync change"; R4, S3, I-7, I-9).
 */

/** A node as a place for a new replica. */
export interface TargetNode {
  readonly node: Pick<NodeRecord, 'nodeId' | 'zone' | 'membership' | 'cordoned'>;
  /** Null: the node never registered. */
  readonly lease: LivenessRecord | null;
  /** Free space and what the replica needs, bytes; null while the node does not tell its capacity. */
  readonly room: { readonly freeBytes: number; readonly neededBytes: number } | null;
  /** The placement rule of the shard's table that bars the node, in words; null or missing if none does. */
  readonly barredBy?: string | null;
}

/** Zones, for the rule that replicas sit in distinct zones while enough exist (I-7). */
export interface ZoneView {
  /** Replicas of the shard that will stay, by zone. */
  readonly held: ReadonlyMap<string, number>;
  /** Zones with a node that could take the replica. */
  readonly able: ReadonlySet<string>;
}

export type UnhealthyReason = 'NEVER_REGISTERED' | 'FENCED' | 'RELEASED' | 'EXPIRED';

export type TargetRefusal =
  | { readonly code: 'ALREADY_ON_NODE'; readonly replicaId: ReplicaId }
  | { readonly code: 'NODE_DECOMMISSIONED' }
  | { readonly code: 'NODE_CORDONED' }
  | { readonly code: 'NODE_UNHEALTHY'; readonly reason: UnhealthyReason }
  | { readonly code: 'NODE_FULL'; readonly freeBytes: number; readonly neededBytes: number }
  /** The node's labels break the placement rule of the shard's table. */
  | { readonly code: 'PLACEMENT_RULE'; readonly rule: string }
  /** Another zone with a node for it holds fewer replicas of the shard. */
  | { readonly code: 'ZONE_HELD'; readonly zone: string; readonly betterZones: readonly string[] };

/** The operation does not own the shard: its effects are void (I-9). */
export interface NotOwner {
  readonly code: 'NOT_OWNER';
}

export type AddRefusal = TargetRefusal | NotOwner;

/** Why a node can't be expected to take a command now, or null if it can. */
export function unhealthyReason(lease: LivenessRecord | null | undefined): UnhealthyReason | null {
  if (lease === null || lease === undefined) return 'NEVER_REGISTERED';
  if (lease.incarnation === null) return 'FENCED';
  if (lease.released) return 'RELEASED';
  return isMarkedExpired(lease) ? 'EXPIRED' : null;
}

/** Why the node itself can't take a replica of the shard's table, or null if it can: zones and the shard's other replicas apart. */
export function nodeRefusal(target: TargetNode): TargetRefusal | null {
  const { node, lease, room, barredBy = null } = target;
  if (node.membership !== 'ACTIVE') return { code: 'NODE_DECOMMISSIONED' };
  if (node.cordoned) return { code: 'NODE_CORDONED' };
  const reason = unhealthyReason(lease);
  if (reason !== null) return { code: 'NODE_UNHEALTHY', reason };
  if (barredBy !== null) return { code: 'PLACEMENT_RULE', rule: barredBy };
  if (room !== null && room.freeBytes < room.neededBytes) return { code: 'NODE_FULL', ...room };
  return null;
}

/** Why `zone` is no good place, or null: another zone that could take the replica holds fewer of the shard (I-7). */
export function zoneRefusal(zone: string, zones: ZoneView): Extract<TargetRefusal, { code: 'ZONE_HELD' }> | null {
  const uses = (name: string): number => zones.held.get(name) ?? 0;
  const betterZones = [...zones.able].filter((name) => uses(name) < uses(zone)).sort();
  return betterZones.length === 0 ? null : { code: 'ZONE_HELD', zone, betterZones };
}

/** Why `target` can't take a replica of `shard`, or null if it can. */
export function targetRefusal(shard: ShardDescriptor, target: TargetNode, zones: ZoneView): TargetRefusal | null {
  const held = replicaOn(shard, target.node.nodeId);
  if (held !== undefined) return { code: 'ALREADY_ON_NODE', replicaId: held.replicaId };
  return nodeRefusal(target) ?? zoneRefusal(target.node.zone, zones);
}

/**
 * Adds a LAGGING replica under the node epoch and directory of its node's present registration; the leader fills it and proposes
 * it IN_SYNC (R2). `replicaId` must never have been listed anywhere (R4): the caller draws it at random. Null: it is listed already.
 */
export function decideAddReplica(
  shard: ShardDescriptor,
  operationId: OperationId,
  replicaId: ReplicaId,
  target: TargetNode,
  zones: ZoneView,
): Result<ShardDescriptor | null, AddRefusal> {
  if (!ownsMembership(shard, operationId)) return err({ code: 'NOT_OWNER' });
  if (replicaById(shard, replicaId) !== undefined) return ok(null);
  const refusal = targetRefusal(shard, target, zones);
  if (refusal !== null) return err(refusal);
  const { lease, node } = target;
  if (lease === null) return err({ code: 'NODE_UNHEALTHY', reason: 'NEVER_REGISTERED' });
  const entry: Replica = {
    replicaId,
    nodeId: node.nodeId,
    nodeEpoch: lease.nodeEpoch,
    storeUuid: lease.storeUuid,
    syncStatus: 'LAGGING',
  };
  return ok({ ...shard, generation: nextGeneration(shard.generation), replicas: [...shard.replicas, entry] });
}

export type RemoveRefusal =
  | NotOwner
  /** The leader is never removed: transfer the leadership first. */
  | { readonly code: 'IS_LEADER' }
  /** The leadership is on its way to this replica. */
  | { readonly code: 'TRANSFER_PENDING' }
  /** The leader's node is fenced: nobody vouches for the survivors before a new leader is elected (E1, E4). */
  | { readonly code: 'LEADER_VOID' }
  /** Fewer copies in sync would be left than the floor of I-7. */
  | { readonly code: 'REPLICA_FLOOR'; readonly left: number; readonly floor: number }
  /** The IN_SYNC list would fall below min_in_sync (R1). */
  | { readonly code: 'NOT_ENOUGH_IN_SYNC'; readonly inSync: number; readonly minInSync: number };

export interface Removal {
  readonly shard: ShardDescriptor;
  /** Survivors that were counted: the commit checks that each one's node still has the node epoch of its entry (S3). */
  readonly counted: readonly Replica[];
}

/**
 * Removes a replica. What counts is IN_SYNC under its node's present epoch, in a directory that is still its own: of these, at least
 * min(`replicationFactor`, as many as before) stay (I-7), the leader among them; so an election of the void (E4) never needs the
 * copy that left. Null: it is not listed (any more).
 */
export function decideRemoveReplica(
  shard: ShardDescriptor,
  operationId: OperationId,
  replicaId: ReplicaId,
  replicationFactor: number,
  view: LivenessView,
): Result<Removal | null, RemoveRefusal> {
  if (!ownsMembership(shard, operationId)) return err({ code: 'NOT_OWNER' });
  const leaving = replicaById(shard, replicaId);
  if (leaving === undefined) return ok(null);
  if (shard.leader.replicaId === replicaId) return err({ code: 'IS_LEADER' });
  if (shard.intent?.targetReplicaId === replicaId) return err({ code: 'TRANSFER_PENDING' });
  const before = currentInSync(shard, view);
  const counted = before.filter((replica) => replica.replicaId !== replicaId);
  const leads = counted.find((replica) => replica.replicaId === shard.leader.replicaId);
  if (leads?.nodeEpoch !== shard.leader.nodeEpoch) return err({ code: 'LEADER_VOID' });
  const floor = Math.min(replicationFactor, before.length);
  if (counted.length < floor) return err({ code: 'REPLICA_FLOOR', left: counted.length, floor });
  const replicas = shard.replicas.filter((replica) => replica.replicaId !== replicaId);
  const listed = replicas.filter((replica) => replica.syncStatus === 'IN_SYNC').length;
  if (listed < shard.minInSync) return err({ code: 'NOT_ENOUGH_IN_SYNC', inSync: listed, minInSync: shard.minInSync });
  return ok({ shard: { ...shard, generation: nextGeneration(shard.generation), replicas }, counted });
}

export type MinInSyncRefusal =
  NotOwner | { readonly code: 'NOT_ENOUGH_IN_SYNC'; readonly inSync: number; readonly minInSync: number };

/**
 * Brings `min_in_sync` to a majority of `replicationFactor`: raised only once enough replicas are in sync under node epochs that are
 * in force, so that the next loss of a node does not stop writes. The leader uses the larger value until it has acknowledged the
 * new one. Null: it is that already.
 */
export function decideMinInSync(
  shard: ShardDescriptor,
  operationId: OperationId,
  replicationFactor: number,
  view: LivenessView,
): Result<ShardDescriptor | null, MinInSyncRefusal> {
  if (!ownsMembership(shard, operationId)) return err({ code: 'NOT_OWNER' });
  const minInSync = majority(replicationFactor);
  if (minInSync === shard.minInSync) return ok(null);
  const inSync = currentInSync(shard, view).length;
  if (minInSync > shard.minInSync && inSync < minInSync) return err({ code: 'NOT_ENOUGH_IN_SYNC', inSync, minInSync });
  return ok({ ...shard, generation: nextGeneration(shard.generation), minInSync });
}

/** IN_SYNC entries that could be elected by their node epoch, on nodes that still have the directory the entry names. */
export function currentInSync(shard: ShardDescriptor, view: LivenessView): readonly Replica[] {
  return inSyncReplicas(shard).filter((replica) => {
    const lease = view.get(replica.nodeId);
    return lease?.nodeEpoch === replica.nodeEpoch && lease.storeUuid === replica.storeUuid;
  });
}

const ownsMembership = (shard: ShardDescriptor, operationId: OperationId): boolean =>
  shard.state.kind === 'CHANGING_REPLICAS' && ownerOf(shard) === operationId;

/** A change of one shard's membership, as it was asked for and checked against the descriptor that it names. */
export interface MembershipPlan {
  readonly add: readonly NodeId[];
  readonly remove: readonly ReplicaId[];
  /** Copies that the shard shall have; `min_in_sync` becomes a majority of it. */
  readonly replicationFactor: number;
}

export type PlanRefusal =
  | { readonly code: 'REPLICA_UNKNOWN'; readonly replicaId: ReplicaId }
  | { readonly code: 'NOTHING_TO_DO' }
  /** The plan would leave fewer copies than the replication factor asks for, and fewer than there are. */
  | { readonly code: 'TOO_FEW_REPLICAS'; readonly left: number; readonly replicationFactor: number };

/** What can be told from the descriptor alone: only listed replicas leave, and enough stay. */
export function planRefusal(shard: ShardDescriptor, plan: MembershipPlan): PlanRefusal | null {
  const stranger = plan.remove.find((id) => replicaById(shard, id) === undefined);
  if (stranger !== undefined) return { code: 'REPLICA_UNKNOWN', replicaId: stranger };
  const idle = plan.add.length === 0 && plan.remove.length === 0;
  if (idle && shard.minInSync === majority(plan.replicationFactor)) return { code: 'NOTHING_TO_DO' };
  const left = shard.replicas.length + plan.add.length - plan.remove.length;
  if (left < Math.min(plan.replicationFactor, shard.replicas.length))
    return { code: 'TOO_FEW_REPLICAS', left, replicationFactor: plan.replicationFactor };
  return null;
}
