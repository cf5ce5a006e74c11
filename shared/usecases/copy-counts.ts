import { encodedKey } from '../domain/ids.ts';
import type { EncodedKey } from '../domain/ids.ts';
import { KEY_SPACE_START } from '../domain/keys.ts';
import type { Json, TableRecord } from '../domain/records.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import type { Deps } from '../ports.ts';

/** Looks for shards over all tables, range by range: a million of them is more than one step or tick reads. */

/** Where the next range begins: a table and a key in it. Null, where one is asked for: at the first shard of the first table. */
export interface ShardCursor {
  readonly table: string;
  readonly key: EncodedKey;
}

/** A cursor as it is kept in a record; null if it is none. */
export function shardCursorOf(json: Json | undefined): ShardCursor | null {
  if (json === undefined || json === null || typeof json !== 'object' || Array.isArray(json)) return null;
  const { table, key } = json as { readonly [name: string]: Json };
  return typeof table === 'string' && typeof key === 'string' ? { table, key: encodedKey(key) } : null;
}

export const shardCursorJson = (cursor: ShardCursor | null): Json =>
  cursor === null ? null : { table: cursor.table, key: cursor.key };

/** Bounds of one range; the page that passes one is still looked at. */
export interface RangeLimits {
  readonly scannedMax: number;
  readonly foundMax: number;
}

const SHARDS_PER_READ = 500;

/**
 * The shards of ACTIVE `tables` (in the order of their names) from `from` on that `isWanted` names, each with its table. `cursor` null: the
 * end of the last table was reached.
 */
export async function findShards<T extends Pick<TableRecord, 'table' | 'tableId' | 'state'>>(
  deps: Deps,
  tables: readonly T[],
  from: ShardCursor | null,
  limits: RangeLimits,
  isWanted: (shard: ShardDescriptor, table: T) => boolean,
): Promise<{
  readonly found: readonly { readonly shard: ShardDescriptor; readonly table: T }[];
  readonly cursor: ShardCursor | null;
}> {
  const found: { readonly shard: ShardDescriptor; readonly table: T }[] = [];
  let scanned = 0;
  for (const table of tables) {
    if (table.state !== 'ACTIVE' || (from !== null && table.table < from.table)) continue;
    let key: EncodedKey | null = from?.table === table.table ? from.key : KEY_SPACE_START;
    while (key !== null) {
      if (scanned >= limits.scannedMax || found.length >= limits.foundMax)
        return { found, cursor: { table: table.table, key } };
      const page: Awaited<ReturnType<Deps['directory']['scan']>> = await deps.directory.scan(table.tableId, {
        fromKey: key,
        limit: Math.min(SHARDS_PER_READ, limits.scannedMax),
      });
      scanned += page.shards.length;
      for (const { shard } of page.shards) if (isWanted(shard, table)) found.push({ shard, table });
      key = page.nextKey;
    }
  }
  return { found, cursor: null };
}
