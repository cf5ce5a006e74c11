import type { SplitPlan } from '../contracts/api/split-merge.ts';
import { conflict, invalid } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { shardId } from '../domain/ids.ts';
import type { EncodedKey, OperationId } from '../domain/ids.ts';
import { decodeKey, encodeKey } from '../domain/keys.ts';
import type { OperationRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { ownerOf } from '../domain/shard.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import { divides } from '../domain/split.ts';
import type { Deps, Principal } from '../ports.ts';
import { shardNotFound } from './descriptor-change.ts';
import { keyAdvice } from './routes.ts';
import { shardBusy } from './shard-ownership.ts';
import { startOperation } from './start-operation.ts';
import type { StartRefusal } from './start-operation.ts';
import type { UseCase } from './types.ts';

/** Requests to split a shard: checked against the shard as it is, then the operation split-shard does it. */

export const splitShard: UseCase<'splitShard'> = async (deps, principal, { params, body }) => {
  const located = await deps.directory.locate(shardId(params.shard_id));
  if (located === null) return err(shardNotFound(params.shard_id));
  const { shard } = located;
  const wanted = body.plan?.split_key ?? body.split_key ?? null;
  if (body.generation !== undefined && body.generation !== shard.generation) return err(generationStale(shard));
  if (body.plan !== undefined && !appliesTo(body.plan, shard, body.split_key)) return err(planStale(shard));
  const splitKey = wanted === null ? ok(null) : checkedKey(shard, wanted);
  if (!splitKey.ok) return splitKey;
  const refused = await obstacle(deps, shard);
  if (refused !== null) return err(refused);
  const plan: SplitPlan = {
    shard_id: shard.shardId,
    generation: shard.generation,
    split_key: wanted,
    nodes: shard.replicas.map((replica) => replica.nodeId),
  };
  const at = wanted === null ? 'in the middle of its rows' : `at '${wanted}'`;
  const answer = { status: 'success' as const, shard_id: shard.shardId, plan };
  if (body.dry_run === true)
    return ok({ ...answer, message: `Shard ${shard.shardId} would be split ${at}`, operation_id: null });
  const operation = await startSplit(deps, principal, shard, splitKey.value);
  if (!operation.ok) return err(operation.error.kind === 'PLAN_STALE' ? operation.error.fault : planStale(shard));
  return ok({
    ...answer,
    message: `Shard ${shard.shardId} is being split ${at}`,
    operation_id: operation.value.operationId,
  });
};

/** Starts the operation for a shard that was just read; refused with PLAN_STALE if it has changed. Null: the leader chooses the key. */
export const startSplit = (
  deps: Deps,
  principal: Principal,
  shard: ShardDescriptor,
  splitKey: EncodedKey | null,
  id?: OperationId,
): Promise<Result<OperationRecord, StartRefusal>> =>
  startOperation(deps, principal, {
    type: 'split-shard',
    input: { shard_id: shard.shardId, table: shard.table, split_key: splitKey },
    progress: { total: 1, unit: 'splits' },
    basedOn: [{ shardId: shard.shardId, generation: shard.generation }],
    ...(id === undefined ? {} : { operationId: id }),
  });

function checkedKey(shard: ShardDescriptor, key: string): Result<EncodedKey, Fault> {
  const encoded = encodeKey(shard.keyType, key);
  if (!encoded.ok) return err(invalid('INVALID_KEY', keyAdvice(encoded.error), { field: 'split_key' }));
  if (divides(shard, encoded.value)) return encoded;
  const from = decodeKey(shard.keyType, shard.startKey);
  const to = shard.endKey === null ? 'the end of the table' : `'${decodeKey(shard.keyType, shard.endKey)}'`;
  return err(
    invalid(
      'INVALID_KEY',
      `The key does not divide shard ${shard.shardId}, which holds '${from}' up to ${to}. Name a key above its start and below its end.`,
      { field: 'split_key' },
    ),
  );
}

/** Why the shard can't be split at all now; null if it can. */
async function obstacle(deps: Deps, shard: ShardDescriptor): Promise<Fault | null> {
  const { state } = shard;
  const owner = ownerOf(shard);
  if (owner !== null && state.kind !== 'ACTIVE') return shardBusy(shard.shardId, { owner, state: state.kind });
  const table = await deps.records.get('table', { table: shard.table });
  if (table?.value.tableId === shard.tableId && table.value.state === 'ACTIVE') return null;
  return conflict('TABLE_NOT_ACTIVE', `Table ${shard.table} is not ACTIVE; see GET /tables/${shard.table}.`);
}

/** A plan is applied to the very shard that it was made from, or not at all. */
const appliesTo = (plan: SplitPlan, shard: ShardDescriptor, splitKey: string | undefined): boolean =>
  plan.shard_id === shard.shardId &&
  plan.generation === shard.generation &&
  (splitKey === undefined || splitKey === plan.split_key);

const generationStale = (shard: ShardDescriptor): Fault =>
  conflict(
    'GENERATION_STALE',
    `Shard ${shard.shardId} is at generation ${shard.generation}. Look at it again and decide anew: GET /shards/${shard.shardId}.`,
    { detail: { generation: shard.generation } },
  );

const planStale = (shard: ShardDescriptor): Fault =>
  conflict('PLAN_STALE', `The plan does not fit shard ${shard.shardId} as it is now. Ask for a new one with dry_run.`, {
    detail: { shard_id: shard.shardId },
  });
