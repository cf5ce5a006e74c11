import { LIST_LIMIT_DEFAULT } from '../contracts/primitives.ts';
import { conflict, invalid } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { encodedKey } from '../domain/ids.ts';
import type { EncodedKey } from '../domain/ids.ts';
import { KEY_SPACE_START } from '../domain/keys.ts';
import type { FeedEntry, FeedPack, TableRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { FEED_CURSOR_MS, routeStateOf } from '../domain/route-history.ts';
import type { Deps } from '../ports.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { PACK_ENTRIES_MAX, routeFeed } from './feed.ts';
import { noAddress, toRoutes } from './routes.ts';
import type { RoutedShard } from './routes.ts';
import { activeTable } from './table-lookup.ts';
import type { UseCase } from './types.ts';

/**
 * All routes of a table, then what changes (ADR 13). The feed's number is read before the first page of the snapshot: whatever is
 * committed later than a page was read gets a higher number, and comes as a change. So nothing is missing, and some comes twice;
 * for each key the highest generation is the newest (I-2).
 */

/** When one who is up to date may ask again: milliseconds. */
const POLL_AFTER_MS = 1_000;
/** A cursor's table is looked up again after this long: it may be gone, or be another one of the same name. Milliseconds. */
const VERIFY_TABLE_MS = 30_000;

interface Position {
  readonly tableId: string;
  /** Number of the last pack that was delivered, or that the snapshot includes. */
  readonly number: number;
  /** No pack after that number is older (wall clock). */
  readonly sinceMs: number;
  readonly verifiedMs: number;
  /** Where the snapshot goes on; null when it is complete. */
  readonly nextKey: EncodedKey | null;
}

export const routeChanges: UseCase<'routeChanges'> = async (deps, _principal, { params, query }) => {
  const decoded = decodeCursor(query.cursor);
  if (!decoded.ok) return decoded;
  const given = decoded.value === null ? ok(null) : parsePosition(decoded.value);
  if (!given.ok) return given;
  const limit = query.limit ?? LIST_LIMIT_DEFAULT;
  const nowMs = deps.clock.wallMs();
  const known = given.value;
  const fresh = known === null || nowMs - known.verifiedMs >= VERIFY_TABLE_MS;
  let table = await activeTable(deps, params.table, fresh ? 'fresh' : 'cached');
  if (!table.ok) return table;
  if (!fresh && table.value.tableId !== known.tableId) table = await activeTable(deps, params.table, 'fresh');
  if (!table.ok) return table;
  const { tableId } = table.value;
  if (known !== null && known.tableId !== tableId) return err(expired(params.table, 'the table is another one now'));
  if (known !== null && nowMs - known.sinceMs > FEED_CURSOR_MS)
    return err(expired(params.table, 'the changes after it are no longer kept'));
  const position: Position =
    known === null
      ? {
          ...(await headOf(deps, table.value, nowMs)),
          verifiedMs: nowMs,
          nextKey: query.start === 'latest' ? null : KEY_SPACE_START,
        }
      : { ...known, verifiedMs: fresh ? nowMs : known.verifiedMs };
  return position.nextKey === null
    ? changesAfter(deps, table.value, position, limit)
    : snapshotPage(deps, table.value, { ...position, nextKey: position.nextKey }, limit);
};

async function headOf(
  deps: Deps,
  { tableId }: TableRecord,
  nowMs: number,
): Promise<Pick<Position, 'tableId' | 'number' | 'sinceMs'>> {
  const head = await deps.records.get('feedHead', { feed: routeFeed(tableId) });
  // The last pack's time counts, should it be ahead of this process's clock: later packs are not older than it.
  return { tableId, number: head?.value.number ?? 0, sinceMs: nowMs };
}

type Answer = Awaited<ReturnType<UseCase<'routeChanges'>>>;

async function snapshotPage(
  deps: Deps,
  table: TableRecord,
  position: Position & { readonly nextKey: EncodedKey },
  limit: number,
): Promise<Answer> {
  const page = await deps.directory.scan(table.tableId, { fromKey: position.nextKey, limit });
  if (page.shards.length === 0)
    return err(
      conflict('TABLE_NOT_ACTIVE', `Table ${table.table} is changing. Send the request again.`, {
        retryAfterSeconds: 1,
      }),
    );
  const shards = page.shards.map(({ shard }) => ({
    ...routeStateOf(shard),
    shardId: shard.shardId,
    table: shard.table,
    keyType: shard.keyType,
  }));
  const routes = await allRoutes(deps, shards);
  if (!routes.ok) return routes;
  return ok({
    phase: 'SNAPSHOT',
    routes: routes.value,
    gone: [],
    next_cursor: cursorOf({ ...position, nextKey: page.nextKey }),
    more: true,
    poll_after_ms: 0,
  });
}

async function changesAfter(deps: Deps, table: TableRecord, position: Position, limit: number): Promise<Answer> {
  const feed = routeFeed(table.tableId);
  const askedMs = deps.clock.wallMs();
  const wanted = Math.max(1, Math.floor(limit / PACK_ENTRIES_MAX));
  const { items } = await deps.records.query('feedPack', {
    partition: { feed },
    from: { feed, number: position.number + 1 },
    order: 'forward',
    limit: wanted,
  });
  const packs = items.map(({ value }) => value);
  const broken = packs.some((pack, index) => pack.cut || pack.number !== position.number + 1 + index);
  if (broken) return err(expired(table.table, 'changes may be missing after it'));
  const { routes, gone } = newestOf(packs);
  const shown = await allRoutes(deps, routes);
  if (!shown.ok) return shown;
  const last = packs.at(-1);
  // Fewer than were asked for: what comes after them was numbered after this question.
  const more = packs.length === wanted;
  const next: Position = {
    ...position,
    number: last?.number ?? position.number,
    sinceMs: more ? (last?.atMs ?? askedMs) : askedMs,
  };
  return ok({
    phase: 'DELTAS',
    routes: shown.value,
    gone,
    next_cursor: cursorOf(next),
    more,
    poll_after_ms: more ? 0 : POLL_AFTER_MS,
  });
}

/** Of each shard what has its highest generation, lowest generations first: so a later one replaces what it overlaps. */
function newestOf(packs: readonly FeedPack[]): {
  readonly routes: readonly RoutedShard[];
  readonly gone: { shard_id: string; generation: number }[];
} {
  const newest = new Map<string, Exclude<FeedEntry, { kind: 'DECISION' }>>();
  for (const entry of packs.flatMap((pack) => pack.entries)) {
    if (entry.kind === 'DECISION') continue;
    const known = newest.get(entry.shardId);
    if (known === undefined || generationOf(entry) > generationOf(known)) newest.set(entry.shardId, entry);
  }
  const ordered = [...newest.values()].sort((a, b) => generationOf(a) - generationOf(b));
  return {
    routes: ordered.flatMap((entry) =>
      entry.kind === 'ROUTE'
        ? [{ ...entry.route, shardId: entry.shardId, table: entry.table, keyType: entry.keyType }]
        : [],
    ),
    gone: ordered.flatMap((entry) =>
      entry.kind === 'GONE' ? [{ shard_id: entry.shardId, generation: entry.generation }] : [],
    ),
  };
}

const generationOf = (entry: Exclude<FeedEntry, { kind: 'DECISION' }>): number =>
  entry.kind === 'ROUTE' ? entry.route.generation : entry.generation;

/** Every one of them: a route that can't be told now must not be passed over. */
async function allRoutes(
  deps: Deps,
  shards: readonly RoutedShard[],
): Promise<Result<Awaited<ReturnType<typeof toRoutes>>, Fault>> {
  const routes = await toRoutes(deps, shards);
  if (routes.length === shards.length) return ok(routes);
  const told = new Set<string>(routes.map((route) => route.shard_id));
  const untold = shards.find((shard) => !told.has(shard.shardId));
  return untold === undefined ? ok(routes) : err(noAddress(untold));
}

const expired = (table: string, why: string): Fault =>
  conflict(
    'CURSOR_EXPIRED',
    `The cursor is of no use any more: ${why}. Start a new snapshot: GET /routes/${table}/changes without a cursor.`,
  );

function cursorOf({ tableId, number, sinceMs, verifiedMs, nextKey }: Position): string {
  const key = nextKey === null ? null : Buffer.from(nextKey, 'utf8').toString('base64url');
  return encodeCursor(JSON.stringify([tableId, number, Math.floor(sinceMs), Math.floor(verifiedMs), key])) ?? '';
}

function parsePosition(text: string): Result<Position, Fault> {
  const bad = err(invalid('INVALID_REQUEST', 'Pass next_cursor of the answer before, unchanged.', { field: 'cursor' }));
  let parts: unknown;
  try {
    parts = JSON.parse(text);
  } catch {
    return bad;
  }
  if (!Array.isArray(parts) || parts.length !== 5) return bad;
  const [tableId, number, sinceMs, verifiedMs, key] = parts as readonly unknown[];
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  if (typeof tableId !== 'string' || !isCount(number) || !isCount(sinceMs) || !isCount(verifiedMs)) return bad;
  if (key !== null && typeof key !== 'string') return bad;
  const nextKey = key === null ? null : encodedKey(Buffer.from(key, 'base64url').toString('utf8'));
  return ok({ tableId, number, sinceMs, verifiedMs, nextKey });
}
