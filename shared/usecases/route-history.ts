import { toTimestamp } from '../contracts/primitives.ts';
import { conflict, notFound } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import type { EncodedKey, ShardId } from '../domain/ids.ts';
import { generation } from '../domain/ids.ts';
import type { RouteState, RouteVersion, TableRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { changesBounds, holdsKey, routeStateOf, ROUTE_HISTORY_KEPT_MS } from '../domain/route-history.ts';
import type { Deps } from '../ports.ts';
import type { RoutedShard } from './routes.ts';

/**
 * Who led a key at a time that has passed. From the shard that holds the key now the search goes back from one change of bounds to
 * the one before (each names the shard that held the key until then), and then reads one version of the shard that held it at that
 * time. Changes of leaders between are not read: the cost is one query for each split and merge since, and two.
 */

/** Splits and merges of one key's range that a search goes back. */
const HOPS_MAX = 64;
/** Versions at one millisecond of a change of bounds: the change, and what else the shard saw in that millisecond. */
const SAME_MS_MAX = 16;
/** Versions behind the time that are looked at for one whose shard held the key: more than one only where clocks of processes differ. */
const AFTER_MAX = 4;

export interface RouteThen {
  readonly shard: RoutedShard;
  /** When it changed next; null: it is still so. */
  readonly untilMs: number | null;
}

interface Place {
  readonly shardId: ShardId;
  /** Generation at or below which the search goes on. */
  readonly generation: number;
  /** Since when the shard held the key, as far as is known here. */
  readonly boundsSinceMs: number;
}

/** Null: the directory knows no shard of the key (the table is changing). */
export async function findRouteAt(
  deps: Deps,
  table: TableRecord,
  key: EncodedKey,
  { atMs, nowMs }: { readonly atMs: number; readonly nowMs: number },
): Promise<Result<RouteThen | null, Fault>> {
  if (nowMs - atMs > ROUTE_HISTORY_KEPT_MS) return err(tooOld(table));
  // Read before the history: what changes meanwhile is then found there.
  const located = await deps.directory.lookup(table.tableId, key);
  if (located === null) return ok(null);
  const { shard } = located;
  const present = routeStateOf(shard);
  let place: Place = { shardId: shard.shardId, generation: present.generation, boundsSinceMs: present.boundsSinceMs };
  for (let hop = 0; hop < HOPS_MAX; hop++) {
    if (atMs >= place.boundsSinceMs) {
      const then = await stateAt(deps, place.shardId, key, atMs);
      if (then !== null) return ok({ shard: routed(table, place.shardId, then.state), untilMs: then.untilMs });
      if (place.shardId === shard.shardId) return ok({ shard: routed(table, shard.shardId, present), untilMs: null });
      return err(incomplete(table, place.boundsSinceMs));
    }
    const change = await boundsChange(deps, place);
    if (change === null) return err(notYet(table)); // the bounds are those that the shard was made with
    const { before, origin } = change;
    if (before !== null && holdsKey(before, key))
      place = { shardId: place.shardId, generation: before.generation, boundsSinceMs: before.boundsSinceMs };
    else if (origin !== null) place = origin;
    else return err(incomplete(table, change.atMs));
  }
  return err(
    conflict(
      'HISTORY_EXPIRED',
      `The key's range was split and merged more than ${HOPS_MAX} times since. Ask for a later time.`,
    ),
  );
}

/** The shard as it was until its first change after that time; null if it has not changed since. */
async function stateAt(
  deps: Deps,
  shardId: ShardId,
  key: EncodedKey,
  atMs: number,
): Promise<{ readonly state: RouteState; readonly untilMs: number } | null> {
  const { items } = await deps.records.query('routeVersion', {
    partition: { shardId },
    from: { shardId, atMs: Math.floor(atMs) + 1, generation: generation(0) },
    order: 'forward',
    limit: AFTER_MAX,
  });
  for (const { value } of items)
    if (value.before !== null && holdsKey(value.before, key)) return { state: value.before, untilMs: value.atMs };
  return null;
}

/** The change that gave the shard the bounds under which it is looked for. */
async function boundsChange(deps: Deps, place: Place): Promise<RouteVersion | null> {
  const { shardId, boundsSinceMs: atMs } = place;
  const { items } = await deps.records.query('routeVersion', {
    partition: { shardId },
    from: { shardId, atMs, generation: generation(0) },
    to: { shardId, atMs, generation: generation(place.generation) },
    order: 'backward',
    limit: SAME_MS_MAX,
  });
  return items.map(({ value }) => value).find(changesBounds) ?? null;
}

const routed = ({ table, keyType }: TableRecord, shardId: ShardId, state: RouteState): RoutedShard => ({
  ...state,
  shardId,
  table,
  keyType,
});

export const notYet = ({ table, createdAtMs }: TableRecord): Fault =>
  notFound(
    'TABLE_NOT_YET',
    `Table ${table} did not serve keys yet at that time: its creation began at ${toTimestamp(createdAtMs)}.`,
  );

const tooOld = ({ table }: TableRecord): Fault =>
  conflict(
    'HISTORY_EXPIRED',
    `Routes of table ${table} are kept for ${ROUTE_HISTORY_KEPT_MS / 86_400_000} days. Ask for a later time.`,
  );

const incomplete = ({ table }: TableRecord, fromMs: number): Fault =>
  conflict(
    'HISTORY_EXPIRED',
    `The history of this key of table ${table} begins at ${toTimestamp(fromMs)}. Ask for a later time.`,
  );
