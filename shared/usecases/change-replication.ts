import { conflict } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { tableName } from '../domain/ids.ts';
import type { OperationId, TableName } from '../domain/ids.ts';
import { NO_RULE, ruleFor } from '../domain/rebalance/rules.ts';
import type { Json, TableRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Change, Deps, Principal, Stored } from '../ports.ts';
import { readAbleNodes } from './able-nodes.ts';
import { configWrites, REPLICATION_CONFIG_KEY, replicationConfig } from './config.ts';
import { everyRecord } from './every-record.ts';
import { freeSlot } from './operation-slot.ts';
import { placementRules, tooFewFor } from './placement-config.ts';
import { principalName } from './principal.ts';
import { newOperationId, startOperation } from './start-operation.ts';
import { tableNotFound } from './table-lookup.ts';
import type { UseCase } from './types.ts';

/** The replication factor of the cluster, or of one table (DESIGN section 8, call 8). The operation brings every shard to it. */

const slotOf = (table: TableName | null): string => (table === null ? 'replication' : `replication:${table}`);

/** The slots of operations that may be changing a table's factor. */
export const replicationSlots = ({ table }: Pick<TableRecord, 'table'>): readonly string[] => [
  slotOf(null),
  slotOf(table),
];

type Answer = ReturnType<UseCase<'setReplicationConfig'>>;

export const setReplicationConfig: UseCase<'setReplicationConfig'> = async (deps, principal, { body }): Answer => {
  const { replication_factor: factor } = body;
  const [before, tables] = await Promise.all([replicationConfig(deps), everyRecord(deps, 'table', {})]);
  const following = tables.filter((table) => !table.replicationFactorIsOwn);
  const enough = await enoughNodes(deps, factor, before.replicationFactor, following);
  if (!enough.ok) return enough;
  const shards = following.reduce((sum, table) => sum + table.shardCount, 0);
  const answer = { status: 'success' as const, replication_factor: factor, shards };
  if (body.dry_run === true)
    return ok({ ...answer, message: `Nothing was changed: ${shards} shards would change`, operation_id: null });
  const started = await start(deps, principal, {
    table: null,
    input: { replication_factor: factor, previous: before.replicationFactor, table: null, was_own: false },
    shards,
    change: await configChange(deps, principal, factor),
  });
  if (!started.ok) return started;
  return ok({ ...answer, message: `Replication factor updated to ${factor}`, operation_id: started.value });
};

export const setTableReplication: UseCase<'setTableReplication'> = async (deps, principal, { params, body }) => {
  const { replication_factor: factor } = body;
  const stored = await deps.records.get('table', { table: tableName(params.table) });
  if (stored === null) return err(tableNotFound(params.table));
  if (stored.value.state !== 'ACTIVE')
    return err(
      conflict('TABLE_NOT_ACTIVE', `Table ${params.table} is ${stored.value.state}; wait until it is ACTIVE.`),
    );
  const enough = await enoughNodes(deps, factor, stored.value.replicationFactor, [stored.value]);
  if (!enough.ok) return enough;
  const { table, shardCount: shards, replicationFactor: previous, replicationFactorIsOwn } = stored.value;
  const answer = { status: 'success' as const, replication_factor: factor, shards };
  if (body.dry_run === true)
    return ok({ ...answer, message: `Nothing was changed: ${shards} shards would change`, operation_id: null });
  const started = await start(deps, principal, {
    table,
    input: { replication_factor: factor, previous, table, was_own: replicationFactorIsOwn },
    shards,
    change: tableChange(principal, stored, factor, true),
  });
  if (!started.ok) return started;
  const message = `Replication factor of table ${table} updated to ${factor}`;
  return ok({ ...answer, message, operation_id: started.value });
};

async function start(
  deps: Deps,
  principal: Principal,
  request: {
    readonly table: TableName | null;
    readonly input: Json;
    readonly shards: number;
    readonly change: Change;
  },
): Promise<Result<OperationId, Fault>> {
  const slot = await freeSlot(deps, slotOf(request.table));
  if (!slot.ok) return err(running(request.table, slot.error.holder));
  const operationId = newOperationId(deps);
  const { writes, audit, events } = request.change;
  const started = await startOperation(deps, principal, {
    type: 'change-replication-factor',
    operationId,
    input: request.input,
    progress: { total: request.shards, unit: 'shards' },
    also: { writes: [slot.value.taking(operationId), ...writes], audit, events },
  });
  if (started.ok) return ok(operationId);
  return err(conflict('CONFLICT', 'The replication factor just changed. Send the request again.'));
}

/**
 * As many nodes that can hold a copy as copies, by every table's placement rule too, or nothing is changed. What needs no more copies than it
 * has is not judged: lowering the factor is what helps a cluster with too few nodes.
 */
async function enoughNodes(
  deps: Deps,
  factor: number,
  before: number,
  tables: readonly Pick<TableRecord, 'table' | 'replicationFactor'>[],
): Promise<Result<null, Fault>> {
  const growing = tables.filter(({ replicationFactor }) => replicationFactor < factor);
  if (growing.length === 0 && factor <= before) return ok(null);
  const [nodesUnder, { rules }] = await Promise.all([readAbleNodes(deps), placementRules(deps)]);
  // Many tables, few rules.
  const applied = new Map(growing.map(({ table }) => [ruleFor(rules, table), table]));
  for (const [rule, table] of applied) {
    const nodes = nodesUnder(rule);
    if (nodes.able < factor && rule !== NO_RULE) return err(tooFewFor({ table }, factor, nodes));
  }
  const nodes = nodesUnder(NO_RULE);
  return nodes.able >= factor ? ok(null) : err(tooFewFor(null, factor, nodes));
}

/** The configured factor as part of a commit; nothing if it is that already. */
export async function configChange(deps: Deps, principal: Principal, factor: number): Promise<Change> {
  const stored = await deps.records.get('config', { configKey: REPLICATION_CONFIG_KEY });
  const value = { replicationFactor: factor, strategy: 'rack-aware' };
  return {
    ...configWrites(deps, principal, REPLICATION_CONFIG_KEY, stored, value),
    events: [{ eventType: 'REPLICATION_FACTOR_SET', payload: { replication_factor: factor } }],
  };
}

/** A table's factor as part of a commit. `isOwn`: it no longer follows the cluster's. */
export function tableChange(principal: Principal, stored: Stored<'table'>, factor: number, isOwn: boolean): Change {
  const value: TableRecord = { ...stored.value, replicationFactor: factor, replicationFactorIsOwn: isOwn };
  return {
    writes: [{ kind: 'put', entity: 'table', value, when: [{ kind: 'revision', is: stored.revision }] }],
    audit: [
      {
        entity: `table:${value.tableId}`,
        number: stored.revision + 1,
        action: 'TABLE_REPLICATION_SET',
        principal: principalName(principal),
        detail: { table: value.table, replication_factor: factor, is_own: isOwn },
      },
    ],
    events: [],
  };
}

const running = (table: TableName | null, holder: OperationId): Fault =>
  conflict(
    'REPLICATION_CHANGE_RUNNING',
    `Operation ${holder} is changing the replication factor${table === null ? '' : ` of table ${table}`}. Wait for its end, or cancel it.`,
    { detail: { operation_id: holder } },
  );
