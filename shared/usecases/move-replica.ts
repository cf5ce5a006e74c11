import type { MovePlan } from '../contracts/api/shards.ts';
import { conflict, notFound } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { nodeId, replicaId, shardId } from '../domain/ids.ts';
import type { NodeId, OperationId, ReplicaId, ShardId } from '../domain/ids.ts';
import { planRefusal, targetRefusal, unhealthyReason } from '../domain/membership.ts';
import { chooseSource } from '../domain/move-source.ts';
import { claim } from '../domain/ownership.ts';
import type { SourceNode } from '../domain/move-source.ts';
import type { Json, OperationRecord } from '../domain/records.ts';
import { Bug, err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { replicaOn } from '../domain/shard.ts';
import type { Replica, ShardDescriptor } from '../domain/shard.ts';
import type { Deps, LocatedShard, Principal, RecordWrite } from '../ports.ts';
import { ownershipWrites, shardNotFound } from './descriptor-change.ts';
import { membershipFault } from './membership-faults.ts';
import { principalName } from './principal.ts';
import { nodeUse, readTarget, readZones, shardBytes } from './replica-target.ts';
import { shardBusy } from './shard-ownership.ts';
import { newOperationId, startOperation } from './start-operation.ts';
import type { UseCase } from './types.ts';

/**
 * The membership change of one shard as an operation (`move-replica`): a move adds one replica and removes one, a repair does the same
 * with a dead one, a change of the replication factor only adds or only removes.
 */

/** A replica and its node. */
export interface PlacedReplica {
  readonly nodeId: NodeId;
  readonly replicaId: ReplicaId;
}

/** What the operation is asked to do; its record's input. */
export interface MembershipInput {
  readonly shardId: ShardId;
  readonly add: readonly NodeId[];
  readonly remove: readonly PlacedReplica[];
  /** `min_in_sync` becomes a majority of it. Copies that the shard shall have in the end, if it has them by `add` and `remove`. */
  readonly replicationFactor: number;
  /** The replicas that the request or its plan saw: with other ones the operation changes nothing. */
  readonly seen: readonly ReplicaId[];
}

/**
 * Copies in sync that a removal of the operation has to leave (I-7): as many as the factor asks for, but no more than the shard has when all is
 * done, since nobody else adds one while the operation owns it.
 */
export const copiesToLeave = ({ add, remove, seen, replicationFactor }: MembershipInput): number =>
  Math.min(replicationFactor, seen.length + add.length - remove.length);

export function membershipJson(input: MembershipInput): Json {
  return {
    shard_id: input.shardId,
    add: input.add,
    remove: input.remove.map((one) => ({ node_id: one.nodeId, replica_id: one.replicaId })),
    replication_factor: input.replicationFactor,
    seen: input.seen,
  };
}

/** The input of a move-replica operation, which `startMembershipChange` wrote. Throws Bug if it is none. */
export function membershipInput(json: Json): MembershipInput {
  if (json === null || typeof json !== 'object' || Array.isArray(json))
    throw new Bug('no input of a membership change');
  const fields = json as { readonly [key: string]: Json };
  const texts = (name: string): readonly string[] => {
    const value = fields[name];
    if (!Array.isArray(value)) throw new Bug(`input of a membership change without ${name}`);
    return value as readonly string[];
  };
  if (typeof fields['shard_id'] !== 'string') throw new Bug('input of a membership change without a shard');
  const remove = texts('remove') as unknown as readonly { readonly node_id: string; readonly replica_id: string }[];
  return {
    shardId: shardId(fields['shard_id']),
    add: texts('add').map(nodeId),
    remove: remove.map((one) => ({ nodeId: nodeId(one.node_id), replicaId: replicaId(one.replica_id) })),
    replicationFactor: Number(fields['replication_factor']),
    seen: texts('seen').map(replicaId),
  };
}

/** A change of one shard's membership, before it is checked. */
export interface MembershipRequest {
  readonly add: readonly NodeId[];
  /** Listed replicas that leave. */
  readonly remove: readonly ReplicaId[];
  readonly replicationFactor: number;
}

/** Checks a change against shard and nodes as they are. What it returns is the input of the operation. */
export async function checkMembershipChange(
  deps: Deps,
  shard: ShardDescriptor,
  request: MembershipRequest,
): Promise<Result<MembershipInput, Fault>> {
  const { state } = shard;
  if (state.kind !== 'ACTIVE') return err(shardBusy(shard.shardId, { owner: state.operationId, state: state.kind }));
  const refusal = planRefusal(shard, request);
  if (refusal !== null) return err(membershipFault(refusal, shard, null));
  let planned = shard;
  for (const target of request.add) {
    const node = await readTarget(deps, shard, target);
    if (node === null) return err(nodeNotFound(target));
    const zones = await readZones(deps, planned, node.node.zone, request.remove);
    const refused = targetRefusal(planned, node, zones);
    if (refused !== null) return err(membershipFault(refused, shard, target));
    planned = withPlanned(planned, target);
  }
  const leaving = shard.replicas.filter((replica) => request.remove.includes(replica.replicaId));
  return ok({
    shardId: shard.shardId,
    add: request.add,
    remove: leaving.map((replica) => ({ nodeId: replica.nodeId, replicaId: replica.replicaId })),
    replicationFactor: factorFor(shard, request),
    seen: shard.replicas.map((replica) => replica.replicaId),
  });
}

/**
 * A replacement keeps the number of copies that it found (I-7), also where the table's factor is larger: held to that, its removal would wait for copies that
 * only a change of the factor or a repair adds, which waits for the shard. Nor does it lower `min_in_sync`: where that is a majority of more
 * copies than there are, it stays.
 */
function factorFor(shard: ShardDescriptor, { add, remove, replicationFactor }: MembershipRequest): number {
  const copies = shard.replicas.length;
  if (add.length !== remove.length || copies >= replicationFactor) return replicationFactor;
  // A majority of 2m - 1 is m.
  return Math.min(replicationFactor, Math.max(copies, 2 * shard.minInSync - 1));
}

/** The shard as it would be: the next one of several new replicas must find another node and zone. */
function withPlanned(shard: ShardDescriptor, node: NodeId): ShardDescriptor {
  const [first] = shard.replicas;
  if (first === undefined) return shard;
  const replica: Replica = { ...first, nodeId: node, replicaId: replicaId(`planned-${node}`), syncStatus: 'LAGGING' };
  return { ...shard, replicas: [...shard.replicas, replica] };
}

/**
 * Records and starts the operation for a checked change, which owns the shard from the same commit on (I-9): of two requests at once one gets
 * SHARD_BUSY. The commit is conditional on the generation that `located` was read at; CONFLICT when it has moved. `operationId` (with
 * `parentId`) makes the part of a larger operation findable, so that a repeated start starts nothing.
 */
export async function startMembershipChange(
  deps: Deps,
  principal: Principal,
  located: LocatedShard,
  change: {
    readonly input: MembershipInput;
    readonly plan?: Json;
    readonly operationId?: OperationId;
    readonly parentId?: OperationId;
    /** What must hold in the same commit besides. */
    readonly checks?: readonly RecordWrite[];
  },
): Promise<Result<OperationRecord, Fault>> {
  const { input } = change;
  const operationId = change.operationId ?? newOperationId(deps);
  const existing = await deps.records.get('operation', { operationId });
  if (existing !== null) return ok(existing.value);
  const { shard } = located;
  const claimed = claim(shard, { kind: 'CHANGING_REPLICAS', operationId });
  if (!claimed.ok) return err(shardBusy(shard.shardId, claimed.error));
  const next = claimed.value;
  if (next === null) throw new Bug(`shard ${shard.shardId} is owned by ${operationId}, which has no record`);
  const started = await startOperation(deps, principal, {
    type: 'move-replica',
    operationId,
    input: membershipJson(input),
    progress: { total: input.add.length + input.remove.length, unit: 'replicas' },
    ...(change.plan === undefined ? {} : { plan: change.plan }),
    ...(change.parentId === undefined ? {} : { parentId: change.parentId }),
    also: {
      writes: [
        ...deps.directory.replaceWrites(located, next),
        ...ownershipWrites(deps, shard, next),
        ...(change.checks ?? []),
      ],
      audit: [
        {
          entity: `shard:${shard.shardId}`,
          number: next.generation,
          action: 'SHARD_CLAIMED',
          principal: principalName(principal),
          detail: { epoch: next.epoch, leader: next.leader.nodeId },
        },
      ],
      events: [],
    },
  });
  return started.ok ? started : err(justChanged(shard.shardId));
}

/** DESIGN section 8, call 6. */
export const moveShard: UseCase<'moveShard'> = async (deps, principal, { params, body }) => {
  const located = await deps.directory.locate(shardId(params.shard_id));
  if (located === null) return err(shardNotFound(params.shard_id));
  const { shard } = located;
  const planned = await planMove(deps, shard, body);
  if (!planned.ok) return planned;
  const { plan, input } = planned.value;
  const answer = { status: 'success' as const, shard_id: shard.shardId, plan };
  if (body.dry_run === true) {
    const message = `Shard ${shard.shardId} would be moved from ${plan.source_node_id} to ${plan.target_node_id}`;
    return ok({ ...answer, message, operation_id: null });
  }
  const started = await startMembershipChange(deps, principal, located, { input, plan });
  if (!started.ok) {
    const isStale = started.error.code === 'CONFLICT' && body.plan !== undefined;
    return err(isStale ? planStale(shard.shardId) : started.error);
  }
  return ok({
    ...answer,
    message: `Shard ${shard.shardId} is being moved to ${plan.target_node_id}`,
    operation_id: started.value.operationId,
  });
};

type MoveBody = Parameters<typeof moveShard>[2]['body'];

async function planMove(
  deps: Deps,
  shard: ShardDescriptor,
  body: MoveBody,
): Promise<Result<{ plan: MovePlan; input: MembershipInput }, Fault>> {
  const given = body.plan;
  if (body.generation !== undefined && body.generation !== shard.generation) return err(generationStale(shard));
  if (given !== undefined && !appliesTo(given, shard, body)) return err(planStale(shard.shardId));
  const target = nodeId(body.target_node_id);
  const node = await deps.records.get('node', { nodeId: target });
  if (node === null) return err(nodeNotFound(target));
  const table = await deps.records.get('table', { table: shard.table });
  if (table?.value.tableId !== shard.tableId || table.value.state !== 'ACTIVE') return err(tableNotActive(shard));
  const sourceNode = given?.source_node_id ?? body.source_node_id;
  const source =
    sourceNode === undefined
      ? chooseSource(shard, node.value.zone, await sourceNodes(deps, shard))
      : replicaOn(shard, nodeId(sourceNode));
  if (source === null || source === undefined) return err(noReplicaOn(shard, sourceNode ?? ''));
  const checked = await checkMembershipChange(deps, shard, {
    add: [target],
    remove: [source.replicaId],
    replicationFactor: table.value.replicationFactor,
  });
  if (!checked.ok) return checked;
  const use = await nodeUse(
    deps,
    shard.replicas.map((replica) => replica.nodeId),
  );
  return ok({
    input: checked.value,
    plan: given ?? {
      shard_id: shard.shardId,
      generation: shard.generation,
      source_node_id: source.nodeId,
      source_replica_id: source.replicaId,
      target_node_id: target,
      transfers_leader: source.replicaId === shard.leader.replicaId,
      bytes: shardBytes(shard, use),
    },
  });
}

/** A plan is applied to the very shard that it was made from, or not at all. */
const appliesTo = (plan: MovePlan, shard: ShardDescriptor, body: MoveBody): boolean =>
  plan.shard_id === shard.shardId &&
  plan.generation === shard.generation &&
  plan.target_node_id === body.target_node_id &&
  (body.source_node_id === undefined || body.source_node_id === plan.source_node_id) &&
  replicaOn(shard, nodeId(plan.source_node_id))?.replicaId === plan.source_replica_id;

async function sourceNodes(deps: Deps, shard: ShardDescriptor): Promise<ReadonlyMap<NodeId, SourceNode>> {
  const ids = shard.replicas.map((replica) => replica.nodeId);
  const [nodes, leases, use] = await Promise.all([
    deps.records.getMany(
      'node',
      ids.map((id) => ({ nodeId: id })),
    ),
    deps.liveness.of(ids),
    nodeUse(deps, ids),
  ]);
  return new Map(
    ids.map((id, index) => {
      const record = nodes[index]?.value;
      const alive = unhealthyReason(leases.get(id)) === null;
      return [
        id,
        {
          nodeId: id,
          zone: record?.zone ?? null,
          alive,
          wanted: alive && record?.membership === 'ACTIVE' && !record.cordoned,
          bytes: use.get(id)?.bytes ?? null,
        },
      ];
    }),
  );
}

const nodeNotFound = (id: string): Fault =>
  notFound('NODE_NOT_FOUND', `No node is registered as ${id}. List nodes with GET /cluster/nodes.`);

const generationStale = (shard: ShardDescriptor): Fault =>
  conflict(
    'GENERATION_STALE',
    `Shard ${shard.shardId} is at generation ${shard.generation}. Look at it again and decide anew: GET /shards/${shard.shardId}.`,
    { detail: { generation: shard.generation } },
  );

const planStale = (id: ShardId): Fault =>
  conflict('PLAN_STALE', `The plan does not fit shard ${id} as it is now. Ask for a new one with dry_run.`, {
    detail: { shard_id: id },
  });

const tableNotActive = (shard: ShardDescriptor): Fault =>
  conflict('TABLE_NOT_ACTIVE', `Table ${shard.table} is not ACTIVE; see GET /tables/${shard.table}.`);

const noReplicaOn = (shard: ShardDescriptor, node: string): Fault =>
  conflict(
    'REPLICA_UNKNOWN',
    `Node ${node} holds no replica of shard ${shard.shardId}. Its replicas are on ${shard.replicas.map((replica) => replica.nodeId).join(', ')}.`,
  );

const justChanged = (id: ShardId): Fault => conflict('CONFLICT', `Shard ${id} just changed. Send the request again.`);
