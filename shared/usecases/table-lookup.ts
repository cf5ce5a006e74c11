import { conflict, notFound } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { tableName } from '../domain/ids.ts';
import type { TableRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Deps } from '../ports.ts';

/**
 * Table records for the lookup path, cached by each process: only ACTIVE ones, so that a cached record is at worst that of a
 * table deleted since, whose pages are gone. A lookup that finds nothing asks again with `fresh`.
 */

/** Tables that a process keeps; beyond it the oldest entry leaves. */
const CACHED_TABLES_MAX = 10_000;
const caches = new WeakMap<Deps['records'], Map<string, TableRecord>>();

export async function activeTable(
  deps: Deps,
  table: string,
  read: 'cached' | 'fresh',
): Promise<Result<TableRecord, Fault>> {
  const cache = caches.get(deps.records) ?? new Map<string, TableRecord>();
  caches.set(deps.records, cache);
  const cached = cache.get(table);
  if (read === 'cached' && cached !== undefined) return ok(cached);
  const stored = await deps.records.get('table', { table: tableName(table) });
  cache.delete(table);
  if (stored === null) return err(tableNotFound(table));
  if (stored.value.state !== 'ACTIVE') {
    return err(
      conflict(
        'TABLE_NOT_ACTIVE',
        `Table ${table} is ${stored.value.state}; see GET /operations/${stored.value.operationId}.`,
        {
          detail: { state: stored.value.state, operation_id: stored.value.operationId },
          retryAfterSeconds: 1,
        },
      ),
    );
  }
  if (cache.size >= CACHED_TABLES_MAX) {
    const oldest = cache.keys().next();
    if (!oldest.done) cache.delete(oldest.value);
  }
  cache.set(table, stored.value);
  return ok(stored.value);
}

export const tableNotFound = (table: string): Fault =>
  notFound('TABLE_NOT_FOUND', `There is no table ${table}. List tables with GET /tables.`);
