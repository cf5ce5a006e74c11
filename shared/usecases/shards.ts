import { LIST_LIMIT_DEFAULT, toTimestamp } from '../contracts/primitives.ts';
import { invalid, notFound } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { encodedKey, nodeId, shardId, tableId, tableName } from '../domain/ids.ts';
import type { EncodedKey, TableId } from '../domain/ids.ts';
import { decodeKey, KEY_SPACE_START } from '../domain/keys.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { ownerOf, replicaById } from '../domain/shard.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import type { Deps, LocatedShard } from '../ports.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { shardNotFound } from './descriptor-change.ts';
import { tableNotFound } from './table-lookup.ts';
import type { UseCase } from './types.ts';
import { describeForNodes } from './wire-descriptor.ts';

/** Lists and details of shards. A page of a million-shard table costs a page. */

/** Tables looked through by one page of the list of all shards. */
const TABLES_PER_PAGE = 100;

export function shownShard(shard: ShardDescriptor) {
  const target = shard.intent === null ? undefined : replicaById(shard, shard.intent.targetReplicaId);
  return {
    shard_id: shard.shardId,
    table: shard.table,
    leader: shard.leader.nodeId,
    replicas: shard.replicas.map((replica) => replica.nodeId),
    replica_details: shard.replicas.map((replica) => ({
      replica_id: replica.replicaId,
      node_id: replica.nodeId,
      node_epoch: replica.nodeEpoch,
      sync_status: replica.syncStatus,
      is_leader: replica.replicaId === shard.leader.replicaId,
    })),
    data_range_start: decodeKey(shard.keyType, shard.startKey),
    data_range_end: shard.endKey === null ? null : decodeKey(shard.keyType, shard.endKey),
    epoch: shard.epoch,
    generation: shard.generation,
    leader_node_epoch: shard.leader.nodeEpoch,
    min_in_sync: shard.minInSync,
    state: shard.state.kind,
    operation_id: ownerOf(shard),
    transfer_to: target?.nodeId ?? null,
    data_loss: shard.dataLoss,
    created_at: toTimestamp(shard.createdAtMs),
  };
}

export const getShard: UseCase<'getShard'> = async (deps, _principal, { params }) => {
  const located = await deps.directory.locate(shardId(params.shard_id));
  if (located === null) return err(shardNotFound(params.shard_id));
  // A leader reads this when a follower's address does not answer. Its entry stays under the old node epoch until it is reached at the new one.
  const descriptor = await describeForNodes(deps, located.shard, 'BYPASS');
  return ok({ ...shownShard(located.shard), descriptor });
};

export const listShards: UseCase<'listShards'> = async (deps, _principal, { query }) => {
  const cursor = decodeCursor(query.cursor);
  if (!cursor.ok) return cursor;
  const limit = query.limit ?? LIST_LIMIT_DEFAULT;
  const page =
    query.node !== undefined
      ? await shardsOfNode(deps, query.node, query.table ?? null, limit, cursor.value)
      : await shardsInKeyOrder(deps, query.table ?? null, limit, cursor.value);
  if (!page.ok) return page;
  return ok({
    shards: page.value.shards.map(({ shard }) => shownShard(shard)),
    next_cursor: encodeCursor(page.value.next),
  });
};

interface ShardPage {
  readonly shards: readonly LocatedShard[];
  readonly next: string | null;
}

async function shardsOfNode(
  deps: Deps,
  node: string,
  table: string | null,
  limit: number,
  after: string | null,
): Promise<Result<ShardPage, Fault>> {
  if ((await deps.records.get('node', { nodeId: nodeId(node) })) === null) {
    return err(notFound('NODE_NOT_FOUND', `No node is registered as ${node}. List nodes with GET /cluster/nodes.`));
  }
  const page = await deps.directory.replicasOn(nodeId(node), { limit, ...(after === null ? {} : { after }) });
  const located = (await deps.directory.resolve(page.replicas)).filter((entry) => entry !== null);
  return ok({ shards: located.filter(({ shard }) => table === null || shard.table === table), next: page.next });
}

/** Where a listing stands: a table, its identity, and the key to go on from. */
type Position = { readonly table: string; readonly tableId: TableId; readonly fromKey: EncodedKey };

async function shardsInKeyOrder(
  deps: Deps,
  table: string | null,
  limit: number,
  cursor: string | null,
): Promise<Result<ShardPage, Fault>> {
  const start = cursor === null ? ok(null) : parsePosition(cursor);
  if (!start.ok) return start;
  let position: Position | null = start.value;
  if (position === null) {
    position = table === null ? await nextTable(deps, null) : await tablePosition(deps, table);
    if (position === null) return table === null ? ok({ shards: [], next: null }) : err(tableNotFound(table));
  }
  const shards: LocatedShard[] = [];
  for (let tables = 0; position !== null && tables < TABLES_PER_PAGE; tables++) {
    const page: Awaited<ReturnType<Deps['directory']['scan']>> = await deps.directory.scan(position.tableId, {
      fromKey: position.fromKey,
      limit: limit - shards.length,
    });
    shards.push(...page.shards);
    if (page.nextKey !== null) position = { ...position, fromKey: page.nextKey };
    else position = table === null ? await nextTable(deps, position.table) : null;
    if (shards.length >= limit) break;
  }
  return ok({
    shards,
    next: position === null ? null : JSON.stringify([position.table, position.tableId, position.fromKey]),
  });
}

async function tablePosition(deps: Deps, table: string): Promise<Position | null> {
  const stored = await deps.records.get('table', { table: tableName(table) });
  return stored === null ? null : { table, tableId: stored.value.tableId, fromKey: KEY_SPACE_START };
}

/** The table after `table` by name, or the first one. */
async function nextTable(deps: Deps, table: string | null): Promise<Position | null> {
  const page = await deps.records.query('table', {
    partition: {},
    ...(table === null ? {} : { from: { table: tableName(table) } }),
    order: 'forward',
    limit: 2,
  });
  const next = page.items.map((stored) => stored.value).find((record) => record.table !== table);
  return next === undefined ? null : { table: next.table, tableId: next.tableId, fromKey: KEY_SPACE_START };
}

function parsePosition(cursor: string): Result<Position, Fault> {
  try {
    const parsed: unknown = JSON.parse(cursor);
    if (Array.isArray(parsed) && parsed.length === 3 && parsed.every((part) => typeof part === 'string')) {
      const [table, id, key] = parsed as [string, string, string];
      return ok({ table, tableId: tableId(id), fromKey: encodedKey(key) });
    }
  } catch {
    // falls through to the refusal: whatever it is, it is no cursor of ours
  }
  return err(invalid('INVALID_REQUEST', 'Pass next_cursor of the page before, unchanged.', { field: 'cursor' }));
}
