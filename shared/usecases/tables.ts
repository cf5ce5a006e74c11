import { toTimestamp, LIST_LIMIT_DEFAULT } from '../contracts/primitives.ts';
import { firstDisorder } from '../domain/create-table.ts';
import { conflict, invalid } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { tableId, tableName } from '../domain/ids.ts';
import type { EncodedKey, OperationId } from '../domain/ids.ts';
import { encodeKey, utf8Bytes } from '../domain/keys.ts';
import type { KeyType } from '../domain/keys.ts';
import { hasEnded as operationHasEnded } from '../domain/operation.ts';
import { NO_RULE, ruleFor } from '../domain/rebalance/rules.ts';
import type { TableRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Deps } from '../ports.ts';
import { readAbleNodes } from './able-nodes.ts';
import { replicationConfig } from './config.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { principalName } from './principal.ts';
import { newOperationId, startOperation } from './start-operation.ts';
import { placementRules, tooFewFor } from './placement-config.ts';
import { keyAdvice } from './routes.ts';
import { tableNotFound } from './table-lookup.ts';
import type { UseCase } from './types.ts';

/** Tables: created and deleted by operations; the request only records what is wanted and starts the state machine. */

/** The split keys are part of the operation's item, which the store limits to 400 KB. */
const PRE_SPLIT_BYTES_MAX = 256 * 1024;
/** Bytes that one key costs in the item besides itself. */
const KEY_OVERHEAD_BYTES = 3;

export const createTable: UseCase<'createTable'> = async (deps, principal, { body }) => {
  const keyType = body.key_type ?? 'string';
  const splitKeys = encodeSplitKeys(keyType, body.pre_split ?? []);
  if (!splitKeys.ok) return splitKeys;
  const replicationFactor = body.replication_factor ?? (await replicationConfig(deps)).replicationFactor;
  const [nodesUnder, { rules }] = await Promise.all([readAbleNodes(deps), placementRules(deps)]);
  const rule = ruleFor(rules, tableName(body.table));
  const nodes = nodesUnder(rule);
  if (nodes.able < replicationFactor)
    return err(tooFewFor(rule === NO_RULE ? null : { table: body.table }, replicationFactor, nodes));
  const nowMs = deps.clock.wallMs();
  const id = newOperationId(deps);
  const table: TableRecord = {
    table: tableName(body.table),
    tableId: tableId(`tbl-${deps.random.hex(8)}`),
    keyType,
    state: 'CREATING',
    replicationFactor,
    replicationFactorIsOwn: body.replication_factor !== undefined,
    shardCount: splitKeys.value.length + 1,
    operationId: id,
    createdAtMs: nowMs,
  };
  const started = await startOperation(deps, principal, {
    type: 'create-table',
    operationId: id,
    input: {
      table: table.table,
      table_id: table.tableId,
      key_type: keyType,
      replication_factor: replicationFactor,
      replication_factor_is_own: table.replicationFactorIsOwn,
      split_keys: splitKeys.value,
    },
    progress: { total: table.shardCount, unit: 'shards' },
    also: {
      writes: [{ kind: 'put', entity: 'table', value: table, when: [{ kind: 'absent' }] }],
      audit: [
        {
          entity: `table:${table.tableId}`,
          number: 1,
          action: 'TABLE_CREATING',
          principal: principalName(principal),
          detail: { table: table.table, shards: table.shardCount },
        },
      ],
      events: [],
    },
  });
  if (!started.ok) {
    return err(
      conflict('TABLE_EXISTS', `There is a table ${body.table} already. Choose another name, or delete it first.`),
    );
  }
  return ok({
    status: 'initiated',
    message: `Table ${body.table} is being created`,
    table: body.table,
    operation_id: id,
  });
};

export const deleteTable: UseCase<'deleteTable'> = async (deps, principal, { params }) => {
  const stored = await deps.records.get('table', { table: tableName(params.table) });
  if (stored === null) return err(tableNotFound(params.table));
  if (stored.value.state !== 'ACTIVE' && !(await hasEnded(deps, stored.value.operationId))) {
    return err(
      conflict(
        'TABLE_NOT_ACTIVE',
        `Table ${params.table} is ${stored.value.state}; see GET /operations/${stored.value.operationId}.`,
        {
          detail: { state: stored.value.state, operation_id: stored.value.operationId },
        },
      ),
    );
  }
  const id = newOperationId(deps);
  const table: TableRecord = { ...stored.value, state: 'DELETING', operationId: id };
  const started = await startOperation(deps, principal, {
    type: 'delete-table',
    operationId: id,
    input: { table: table.table, table_id: table.tableId },
    progress: { total: table.shardCount, unit: 'shards' },
    also: {
      writes: [{ kind: 'put', entity: 'table', value: table, when: [{ kind: 'revision', is: stored.revision }] }],
      audit: [
        {
          entity: `table:${table.tableId}`,
          number: stored.revision + 1,
          action: 'TABLE_DELETING',
          principal: principalName(principal),
          detail: { table: table.table },
        },
      ],
      events: [],
    },
  });
  if (!started.ok) return err(conflict('CONFLICT', `Table ${params.table} just changed. Send the request again.`));
  return ok({
    status: 'initiated',
    message: `Table ${params.table} is being deleted`,
    table: params.table,
    operation_id: id,
  });
};

export const getTable: UseCase<'getTable'> = async (deps, _principal, { params }) => {
  const stored = await deps.records.get('table', { table: tableName(params.table) });
  return stored === null ? err(tableNotFound(params.table)) : ok(shown(stored.value));
};

export const listTables: UseCase<'listTables'> = async (deps, _principal, { query }) => {
  const after = decodeCursor(query.cursor);
  if (!after.ok) return after;
  const page = await deps.records.query('table', {
    partition: {},
    order: 'forward',
    limit: query.limit ?? LIST_LIMIT_DEFAULT,
    ...(after.value === null ? {} : { after: after.value }),
  });
  return ok({ tables: page.items.map((stored) => shown(stored.value)), next_cursor: encodeCursor(page.next) });
};

function shown(table: TableRecord) {
  return {
    table: table.table,
    table_id: table.tableId,
    key_type: table.keyType,
    state: table.state,
    replication_factor: table.replicationFactor,
    shards: table.shardCount,
    operation_id: table.operationId,
    created_at: toTimestamp(table.createdAtMs),
  };
}

function encodeSplitKeys(keyType: KeyType, keys: readonly string[]): Result<EncodedKey[], Fault> {
  const encoded: EncodedKey[] = [];
  let bytes = 0;
  for (const [index, text] of keys.entries()) {
    const key = encodeKey(keyType, text);
    if (!key.ok) return err(invalid('INVALID_KEY', keyAdvice(key.error), { field: `pre_split.${index}` }));
    encoded.push(key.value);
    bytes += utf8Bytes(key.value) + KEY_OVERHEAD_BYTES;
  }
  if (bytes > PRE_SPLIT_BYTES_MAX) {
    return err(
      invalid(
        'INVALID_REQUEST',
        `The split keys take ${bytes} bytes; at most ${PRE_SPLIT_BYTES_MAX} fit into one request. Split further afterwards.`,
        { field: 'pre_split' },
      ),
    );
  }
  const disorder = firstDisorder(encoded);
  if (disorder !== null) {
    return err(
      invalid(
        'INVALID_REQUEST',
        'Split keys must ascend strictly, in the order of their UTF-8 bytes (or as integers).',
        { field: `pre_split.${disorder}` },
      ),
    );
  }
  return ok(encoded);
}

/** True if the operation that holds a table came to its end without freeing it: deleting may go on from there. */
async function hasEnded(deps: Deps, id: OperationId): Promise<boolean> {
  const stored = await deps.records.get('operation', { operationId: id });
  return stored === null || operationHasEnded(stored.value);
}
