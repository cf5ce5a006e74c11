import type { MergePlan } from '../contracts/api/split-merge.ts';
import { conflict } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { shardId } from '../domain/ids.ts';
import { allows, ruleFor } from '../domain/rebalance/rules.ts';
import type { NodeId, OperationId, ReplicaId } from '../domain/ids.ts';
import type { Json, OperationRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import type { Deps, LocatedShard, Principal } from '../ports.ts';
import { shardNotFound } from './descriptor-change.ts';
import { checkMembershipChange } from './move-replica.ts';
import { placementOf } from './node-placement.ts';
import { placementRules } from './placement-config.ts';
import { nodeUse, shardBytes } from './replica-target.ts';
import { shardBusy } from './shard-ownership.ts';
import { startOperation } from './start-operation.ts';
import type { StartRefusal } from './start-operation.ts';
import type { UseCase } from './types.ts';

/** Requests to merge a shard with a neighbour: checked against both as they are, then the operation merge-shards does it. */

/** Two neighbours, in key order. */
export interface Neighbours {
  readonly left: LocatedShard;
  readonly right: LocatedShard;
}

export const mergeShards: UseCase<'mergeShards'> = async (deps, principal, { params, body }) => {
  const asked = await deps.directory.locate(shardId(params.shard_id));
  if (asked === null) return err(shardNotFound(params.shard_id));
  const { shard } = asked;
  if (body.generation !== undefined && body.generation !== shard.generation) return err(generationStale(shard));
  const pair = await neighbours(deps, asked, body.with_shard_id ?? null);
  if (!pair.ok) return pair;
  const { left, right } = pair.value;
  if (body.plan !== undefined && !appliesTo(body.plan, left.shard, right.shard)) return err(planStale(left.shard));
  const planned = await planMerge(deps, left.shard, right.shard);
  if (!planned.ok) return planned;
  const plan = body.plan ?? planned.value;
  const names = { shard_id: left.shard.shardId, with_shard_id: right.shard.shardId };
  const answer = { status: 'success' as const, ...names, plan };
  if (body.dry_run === true) {
    const message = `Shard ${names.with_shard_id} would be merged into ${names.shard_id}`;
    return ok({ ...answer, message, operation_id: null });
  }
  const operation = await startMerge(deps, principal, left.shard, right.shard, { plan });
  if (!operation.ok) return err(operation.error.kind === 'PLAN_STALE' ? operation.error.fault : planStale(left.shard));
  return ok({
    ...answer,
    message: `Shard ${names.with_shard_id} is being merged into ${names.shard_id}`,
    operation_id: operation.value.operationId,
  });
};

/** Starts the operation for two shards that were just read; refused with PLAN_STALE if one has changed. */
export const startMerge = (
  deps: Deps,
  principal: Principal,
  left: ShardDescriptor,
  right: ShardDescriptor,
  options: { readonly plan?: Json; readonly operationId?: OperationId } = {},
): Promise<Result<OperationRecord, StartRefusal>> =>
  startOperation(deps, principal, {
    type: 'merge-shards',
    input: { shard_id: left.shardId, with_shard_id: right.shardId, table: left.table },
    progress: { total: 1, unit: 'merges' },
    basedOn: [left, right].map((shard) => ({ shardId: shard.shardId, generation: shard.generation })),
    ...options,
  });

/** The shard and its right neighbour, or the neighbour that is named, on either side. */
export async function neighbours(
  deps: Deps,
  asked: LocatedShard,
  withId: string | null,
): Promise<Result<Neighbours, Fault>> {
  const { tableId, endKey } = asked.shard;
  if (withId === null) {
    const right = endKey === null ? null : await deps.directory.lookup(tableId, endKey);
    if (right !== null) return ok({ left: asked, right });
    return err(
      conflict(
        'NO_NEIGHBOUR',
        `Shard ${asked.shard.shardId} is the last one of its table. Name its left neighbour in with_shard_id.`,
      ),
    );
  }
  const other = await deps.directory.locate(shardId(withId));
  if (other === null) return err(shardNotFound(withId));
  const sameTable = other.shard.tableId === tableId;
  if (sameTable && endKey !== null && endKey === other.shard.startKey) return ok({ left: asked, right: other });
  if (sameTable && other.shard.endKey !== null && other.shard.endKey === asked.shard.startKey)
    return ok({ left: other, right: asked });
  return err(
    conflict(
      'NOT_NEIGHBOURS',
      `Shards ${asked.shard.shardId} and ${withId} do not lie side by side in one table. List its shards with GET /shards?table=${asked.shard.table}.`,
    ),
  );
}

/** What has to happen first: the smaller one's copies go where the larger one's are, and one node leads both. */
export async function planMerge(
  deps: Deps,
  left: ShardDescriptor,
  right: ShardDescriptor,
): Promise<Result<MergePlan, Fault>> {
  for (const { state, shardId: id } of [left, right])
    if (state.kind !== 'ACTIVE') return err(shardBusy(id, { owner: state.operationId, state: state.kind }));
  for (const { dataLoss, shardId: id } of [left, right]) {
    if (!dataLoss) continue;
    return err(
      conflict('DATA_LOSS_FLAG', `Shard ${id} may lack acknowledged writes. Settle that first: GET /shards/${id}.`),
    );
  }
  const table = await deps.records.get('table', { table: left.table });
  if (table?.value.tableId !== left.tableId || table.value.state !== 'ACTIVE')
    return err(conflict('TABLE_NOT_ACTIVE', `Table ${left.table} is not ACTIVE; see GET /tables/${left.table}.`));
  const move = await coLocation(deps, left, right);
  if (move !== null) {
    const checked = await checkMembershipChange(deps, move.shard, {
      ...move,
      replicationFactor: table.value.replicationFactor,
    });
    if (!checked.ok) return checked;
  }
  const stays = move?.shard.shardId === left.shardId ? right : left;
  return ok({
    shard_id: left.shardId,
    with_shard_id: right.shardId,
    generation: left.generation,
    with_generation: right.generation,
    nodes: stays.replicas.map((replica) => replica.nodeId),
    moves:
      move === null
        ? []
        : [{ shard_id: move.shard.shardId, add: [...move.add], remove: [...nodesOf(move.shard, move.remove)] }],
    transfers_leader: left.leader.nodeId !== right.leader.nodeId,
  });
}

export interface CoLocation {
  /** The one that is moved. */
  readonly shard: ShardDescriptor;
  readonly add: readonly NodeId[];
  readonly remove: readonly ReplicaId[];
}

/**
 * The change of membership that brings both to the same nodes; null if they are there. The smaller one moves, the right one of equals, unless the
 * table's placement rule lets only the other one's nodes keep copies.
 */
export async function coLocation(
  deps: Deps,
  left: ShardDescriptor,
  right: ShardDescriptor,
): Promise<CoLocation | null> {
  const use = await nodeUse(
    deps,
    [...left.replicas, ...right.replicas].map((replica) => replica.nodeId),
  );
  const bytes = (shard: ShardDescriptor): number => shardBytes(shard, use) ?? 0;
  const bySize = bytes(left) < bytes(right) ? ([left, right] as const) : ([right, left] as const);
  const [shard, stays] = (await staysWhereBarred(deps, ...bySize)) ? [bySize[1], bySize[0]] : bySize;
  const there = new Set(stays.replicas.map((replica) => replica.nodeId));
  const here = new Set(shard.replicas.map((replica) => replica.nodeId));
  const add = [...there].filter((node) => !here.has(node));
  const remove = shard.replicas.filter((replica) => !there.has(replica.nodeId)).map((replica) => replica.replicaId);
  return add.length === 0 && remove.length === 0 ? null : { shard, add, remove };
}

/** True if the placement rule bars a node of `stays`, and none of `moves`. */
async function staysWhereBarred(deps: Deps, moves: ShardDescriptor, stays: ShardDescriptor): Promise<boolean> {
  const rule = ruleFor((await placementRules(deps)).rules, stays.table);
  if (rule.required.length + rule.forbidden.length === 0) return false;
  const isBarred = async ({ replicas }: ShardDescriptor): Promise<boolean> => {
    const nodes = await deps.records.getMany(
      'node',
      replicas.map(({ nodeId }) => ({ nodeId })),
    );
    return nodes.some((node) => node === null || !allows(rule, placementOf(node.value).labels));
  };
  return (await isBarred(stays)) && !(await isBarred(moves));
}

const nodesOf = (shard: ShardDescriptor, replicas: readonly ReplicaId[]): readonly NodeId[] =>
  shard.replicas.filter((replica) => replicas.includes(replica.replicaId)).map((replica) => replica.nodeId);

/** A plan is applied to the very shards that it was made from, or not at all. */
const appliesTo = (plan: MergePlan, left: ShardDescriptor, right: ShardDescriptor): boolean =>
  plan.shard_id === left.shardId &&
  plan.with_shard_id === right.shardId &&
  plan.generation === left.generation &&
  plan.with_generation === right.generation;

const generationStale = (shard: ShardDescriptor): Fault =>
  conflict(
    'GENERATION_STALE',
    `Shard ${shard.shardId} is at generation ${shard.generation}. Look at it again and decide anew: GET /shards/${shard.shardId}.`,
    { detail: { generation: shard.generation } },
  );

const planStale = (shard: ShardDescriptor): Fault =>
  conflict(
    'PLAN_STALE',
    `The plan does not fit shard ${shard.shardId} and its neighbour as they are now. Ask for a new one with dry_run.`,
    {
      detail: { shard_id: shard.shardId },
    },
  );
