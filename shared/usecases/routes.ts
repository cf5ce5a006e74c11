import { LIST_LIMIT_DEFAULT, toTimestamp, wallMsOf } from '../contracts/primitives.ts';
import type { Route } from '../contracts/data/rows.ts';
import { conflict, invalid } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import type { EncodedKey } from '../domain/ids.ts';
import { compareKeys, decodeKey, encodeKey, KEY_SPACE_START } from '../domain/keys.ts';
import type { KeyError } from '../domain/keys.ts';
import type { RouteState, TableRecord } from '../domain/records.ts';
import { assertNever, err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import type { Deps, NodeAddress } from '../ports.ts';
import { STORE_CONCURRENCY } from './concurrency.ts';
import { findRouteAt, notYet } from './route-history.ts';
import { activeTable } from './table-lookup.ts';
import type { UseCase } from './types.ts';
import { addressesOf } from './wire-descriptor.ts';

/** Routes for clients: who leads the shard of a key. One store request a lookup when the process is warm. */

export const getRoute: UseCase<'getRoute'> = async (deps, _principal, { params, query }) => {
  if (query.at !== undefined) return routeAt(deps, { params, query: { key: query.key, at: query.at } });
  const found = await onActiveTable(deps, params.table, async (table) => {
    const key = wireKey(table, query.key, 'key');
    if (!key.ok) return key;
    return ok(await deps.directory.lookup(table.tableId, key.value));
  });
  if (!found.ok) return found;
  const [route] = await toRoutes(deps, [found.value.shard]);
  return route === undefined ? err(noAddress(found.value.shard)) : ok(route);
};

/** Who led a key at a time that has passed (route-history.ts). */
async function routeAt(
  deps: Deps,
  {
    params,
    query,
  }: { readonly params: { readonly table: string }; readonly query: { readonly key: string; readonly at: string } },
): ReturnType<UseCase<'getRoute'>> {
  const atMs = wallMsOf(query.at);
  const nowMs = deps.clock.wallMs();
  if (atMs > nowMs) return err(invalid('INVALID_REQUEST', 'That time has not come yet.', { field: 'at' }));
  const found = await onActiveTable(deps, params.table, async (table) => {
    const key = wireKey(table, query.key, 'key');
    if (!key.ok) return key;
    if (atMs < table.createdAtMs) return err(notYet(table));
    return findRouteAt(deps, table, key.value, { atMs, nowMs });
  });
  if (!found.ok) return found;
  const { shard, untilMs } = found.value;
  const [route] = await toRoutes(deps, [shard]);
  if (route === undefined) return err(noAddress(shard));
  return ok({
    ...route,
    at: toTimestamp(atMs),
    leader_since: toTimestamp(shard.leaderSinceMs),
    until: untilMs === null ? null : toTimestamp(untilMs),
  });
}

export const batchRoutes: UseCase<'batchRoutes'> = async (deps, _principal, { params, body }) => {
  if ('keys' in body) {
    const found = await onActiveTable(deps, params.table, async (table) => {
      const keys: EncodedKey[] = [];
      for (const [index, text] of body.keys.entries()) {
        const key = wireKey(table, text, `keys.${index}`);
        if (!key.ok) return key;
        keys.push(key.value);
      }
      const located = await mapBounded(keys, STORE_CONCURRENCY, (key) => deps.directory.lookup(table.tableId, key));
      return ok(located.includes(null) ? null : located.filter((entry) => entry !== null));
    });
    if (!found.ok) return found;
    const distinct = [...new Map(found.value.map(({ shard }) => [shard.shardId, shard])).values()];
    distinct.sort((a, b) => compareKeys(a.startKey, b.startKey));
    return ok({ routes: await toRoutes(deps, distinct), next_cursor: null });
  }
  // `from_key` may itself be a cursor position: pages go on from the key that the page before named.
  const page = await onActiveTable(deps, params.table, async (table) => {
    const from =
      body.from_key === null || body.from_key === '' ? ok(KEY_SPACE_START) : wireKey(table, body.from_key, 'from_key');
    if (!from.ok) return from;
    const answer = await deps.directory.scan(table.tableId, {
      fromKey: from.value,
      limit: body.limit ?? LIST_LIMIT_DEFAULT,
    });
    return ok(answer.shards.length === 0 ? null : { ...answer, keyType: table.keyType });
  });
  if (!page.ok) return page;
  const { shards, nextKey, keyType } = page.value;
  return ok({
    routes: await toRoutes(
      deps,
      shards.map(({ shard }) => shard),
    ),
    next_cursor: nextKey === null ? null : decodeKey(keyType, nextKey),
  });
};

/**
 * Runs a lookup with the cached table record, and once more with a fresh one if it finds nothing or refuses: the table may have
 * been replaced by one of another key type, long ago for a function that was frozen.
 */
async function onActiveTable<T>(
  deps: Deps,
  name: string,
  find: (table: TableRecord) => Promise<Result<T | null, Fault>>,
): Promise<Result<T, Fault>> {
  for (const read of ['cached', 'fresh'] as const) {
    const table = await activeTable(deps, name, read);
    if (!table.ok) return table;
    const found = await find(table.value);
    if (!found.ok && read === 'cached') continue;
    if (!found.ok) return found;
    if (found.value !== null) return ok(found.value);
  }
  return err(
    conflict('TABLE_NOT_ACTIVE', `Table ${name} is changing. Send the request again.`, { retryAfterSeconds: 1 }),
  );
}

function wireKey(table: TableRecord, key: string, field: string): Result<EncodedKey, Fault> {
  const encoded = encodeKey(table.keyType, key);
  return encoded.ok ? encoded : err(invalid('INVALID_KEY', keyAdvice(encoded.error), { field }));
}

export function keyAdvice(error: KeyError): string {
  switch (error.code) {
    case 'KEY_EMPTY':
      return 'A key has at least one character.';
    case 'KEY_TOO_LONG':
      return `The key has ${error.bytes} bytes in UTF-8; at most ${error.bytesMax} are allowed.`;
    case 'KEY_NOT_WELL_FORMED':
      return 'The key holds a lone surrogate; send well-formed Unicode.';
    case 'KEY_NOT_INT64':
      return 'Keys of this table are int64: decimal digits without leading zeros, from -9223372036854775808 to 9223372036854775807.';
    default:
      return assertNever(error);
  }
}

/** What a route is made of: a descriptor, or what history kept of one. */
export type RoutedShard = Pick<ShardDescriptor, 'shardId' | 'table' | 'keyType'> & RouteState;

/** Routes of shards whose leaders' addresses are known; others are left out. */
export async function toRoutes(deps: Deps, shards: readonly (ShardDescriptor | RoutedShard)[]): Promise<Route[]> {
  const addresses = await addressesOf(deps, shards);
  return shards.map((shard) => toRoute(shard, addresses)).filter((route) => route !== null);
}

function toRoute(shard: ShardDescriptor | RoutedShard, addresses: ReadonlyMap<string, NodeAddress>): Route | null {
  const leader = addresses.get(shard.leader.nodeId);
  if (leader === undefined) return null;
  return {
    table: shard.table,
    shard_id: shard.shardId,
    key_type: shard.keyType,
    start_key: decodeKey(shard.keyType, shard.startKey),
    end_key: shard.endKey === null ? null : decodeKey(shard.keyType, shard.endKey),
    epoch: shard.epoch,
    generation: shard.generation,
    leader: { node_id: shard.leader.nodeId, host: leader.host, port: leader.port, node_epoch: shard.leader.nodeEpoch },
    replicas: shard.replicas.flatMap((replica) => {
      const address = addresses.get(replica.nodeId);
      return address === undefined
        ? []
        : [{ node_id: replica.nodeId, host: address.host, port: address.port, sync_status: replica.syncStatus }];
    }),
  };
}

export const noAddress = (shard: ShardDescriptor | RoutedShard): Fault =>
  conflict('NODE_NOT_FOUND', `The leader ${shard.leader.nodeId} of shard ${shard.shardId} has no address. Try again.`, {
    retryAfterSeconds: 1,
  });
