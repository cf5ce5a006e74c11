import type { EncodedKey, NodeId, ShardId, TableId } from '../domain/ids.ts';
import { compareKeys } from '../domain/keys.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import type { NodeReplica, RouteVersion } from '../domain/records.ts';
import { versionOfChange, versionsOfMerge, versionsOfSplit } from '../domain/route-history.ts';
import { replicaOn } from '../domain/shard.ts';
import { StoreError } from '../ports.ts';
import type {
  Change,
  LocatedShard,
  MetadataStore,
  RecordPage,
  Records,
  RecordWrite,
  ShardDirectory,
} from '../ports.ts';
import { DirectoryLookup } from './directory-lookup.ts';
import { appendShards } from './directory-append.ts';
import { mergeWrites, splitWrites } from './directory-bounds.ts';
import { splitPage } from './directory-pages.ts';
import type { PageChangeAudit, PageSplit } from './directory-pages.ts';
import { removeFirstShards } from './directory-remove.ts';
import { replaceWrites } from './directory-writes.ts';
import { BATCH_KEYS_MAX, QUERY_ITEMS_MAX } from './limits.ts';
import { readSnapshot } from './records.ts';
import type { RecordsEnvironment } from './records.ts';

/** Store requests of one `resolve` in flight at once: hides latency and leaves the partitions their share. */
const RESOLVE_REQUESTS_MAX = 32;
/** Shards of one scan: bounds memory and time of one call (4 KB a descriptor at most). */
const SCAN_SHARDS_MAX = 10_000;

/** The shard directory and the upkeep of its pages. */
export interface DirectoryWithPages extends ShardDirectory {
  /**
   * Splits a page that holds PAGE_SHARDS_MAX shards or more into two halves, in one transaction (S4). Null if it holds fewer,
   * or is gone. Throws StoreError TRANSACTION_CONFLICT if the page's shards keep changing.
   */
  splitPage(page: LocatedShard['page'], audit: PageChangeAudit): Promise<PageSplit | null>;
}

/** Creates a directory with an empty root cache. `store` and `records` are the same store, bare and typed. */
export function createDirectory(
  dependencies: { readonly store: MetadataStore; readonly records: Records } & RecordsEnvironment,
): DirectoryWithPages {
  const { store, records } = dependencies;
  const reader = new DirectoryLookup(store, records);
  const lookup = (tableId: TableId, key: EncodedKey): Promise<LocatedShard | null> => reader.shardAt(tableId, key);

  return {
    lookup,
    locate: async (shardId) => {
      const locator = await records.get('locator', { shardId });
      if (locator !== null) {
        const { tableId, startKey } = locator.value;
        const found = await lookup(tableId, startKey);
        if (found !== null && isShard(found, shardId)) return found;
      }
      // A split that is just being committed may have shown its left part and not this one. A node that is told of no right part gives
      // up its rows (S1), so that only transactional reads may say so.
      const [settled] = await readSnapshot(store, [{ kind: 'locator', id: { shardId } }]);
      if (settled === null) return null;
      const found = await reader.shardAt(settled.value.tableId, settled.value.startKey, 'TRANSACTIONAL');
      return found !== null && isShard(found, shardId) ? found : null;
    },
    scan: (tableId, request) => scan({ records, lookup }, tableId, request),
    replicasOn: async (nodeId: NodeId, { after, limit }) => {
      const page = await records.query('nodeReplica', {
        partition: { nodeId },
        order: 'forward',
        limit,
        ...(after === undefined ? {} : { after }),
      });
      return { replicas: page.items.map((item) => item.value), next: page.next };
    },
    resolve: (pointers) => resolve({ records, reader }, pointers),
    replaceWrites: (from, to) => {
      const version = versionOfChange(from.shard, to, dependencies.clock.wallMs());
      return [...replaceWrites(from, to), ...(version === null ? [] : [versionPut(version)])];
    },
    splitWrites: async (from, parts, audit) =>
      withVersions(await splitWrites(records, from, parts, audit), versionsOfSplit(from.shard, parts)),
    mergeWrites: async (parts, merged, audit) =>
      withVersions(
        await mergeWrites(records, parts, merged, audit),
        versionsOfMerge(parts.left.shard, parts.right.shard, merged),
      ),
    makeRoom: async (page, audit) => {
      await splitPage(dependencies, page, audit);
    },
    append: (tableId, shards, audit) => appendShards(dependencies, tableId, shards, audit),
    removeFirst: (tableId, limit, audit) => removeFirstShards(dependencies, tableId, limit, audit),
    splitPage: (page, audit) => splitPage(dependencies, page, audit),
  };
}

/** A version goes with the change that it tells of, in one transaction: history and feeds miss none. */
const versionPut = (value: RouteVersion): RecordWrite => ({
  kind: 'put',
  entity: 'routeVersion',
  value,
  when: [{ kind: 'absent' }],
});

const withVersions = <T extends string>(
  change: Pick<Change, 'writes' | 'audit'> | T,
  versions: readonly RouteVersion[],
): Pick<Change, 'writes' | 'audit'> | T =>
  typeof change === 'string' ? change : { ...change, writes: [...change.writes, ...versions.map(versionPut)] };

const isShard = (found: LocatedShard, shardId: ShardId): boolean => found.shard.shardId === shardId;

/** Walks page by page: one lookup anchors in a page, one Query reads on in it as long as shards follow each other. */
async function scan(
  source: { records: Records; lookup: ShardDirectory['lookup'] },
  tableId: TableId,
  request: { fromKey: EncodedKey; limit: number },
): Promise<{ shards: readonly LocatedShard[]; nextKey: EncodedKey | null }> {
  if (request.limit < 1 || request.limit > SCAN_SHARDS_MAX)
    throw new StoreError('LIMIT_EXCEEDED', `a scan takes 1 to ${SCAN_SHARDS_MAX} shards, not ${request.limit}`);
  const shards: LocatedShard[] = [];
  let cursor = request.fromKey as EncodedKey | null;
  while (cursor !== null && shards.length < request.limit) {
    const anchor: LocatedShard | null =
      (await source.lookup(tableId, cursor)) ??
      (shards.length === 0 ? await lowestAbove(source.records, tableId, cursor) : null);
    if (anchor === null) return { shards, nextKey: null };
    shards.push(anchor);
    cursor = anchor.shard.endKey;
    const room = request.limit - shards.length;
    if (cursor === null || room === 0) break;
    const page: LocatedShard['page'] = anchor.page;
    const following: RecordPage<'shard'> = await source.records.query('shard', {
      partition: { page },
      from: { page, startKey: cursor },
      order: 'forward',
      limit: Math.min(room, QUERY_ITEMS_MAX),
    });
    for (const { value: shard, revision } of following.items) {
      if (shard.startKey !== cursor) break; // a change came between: anchor anew; or the table has ended
      shards.push({ shard, page, revision });
      cursor = shard.endKey;
    }
  }
  return { shards, nextKey: cursor };
}

/** The first shard of a table that is being deleted: its low end is gone already, so that no shard holds the lowest keys. */
async function lowestAbove(records: Records, tableId: TableId, key: EncodedKey): Promise<LocatedShard | null> {
  const separators = await records.query('separator', { partition: { tableId }, order: 'forward', limit: 1 });
  const page = separators.items[0]?.value.page;
  if (page === undefined) return null;
  const first = await records.query('shard', { partition: { page }, order: 'forward', limit: 1 });
  const stored = first.items[0];
  if (stored === undefined || compareKeys(stored.value.startKey, key) < 0) return null;
  return { shard: stored.value, page, revision: stored.revision };
}

/** Pointers name start keys exactly, so that descriptors are read by key, 100 a request; what moved meanwhile is looked up. */
async function resolve(
  source: { records: Records; reader: DirectoryLookup },
  pointers: readonly NodeReplica[],
): Promise<readonly (LocatedShard | null)[]> {
  const { records, reader } = source;
  const pages = await mapBounded(pointers, RESOLVE_REQUESTS_MAX, ({ tableId, startKey }) =>
    reader.pageAt(tableId, startKey),
  );
  const placed = pointers.flatMap((pointer, index) => {
    const page = pages[index]?.page;
    return page === undefined ? [] : [{ index, id: { page, startKey: pointer.startKey } }];
  });
  const batches = Array.from({ length: Math.ceil(placed.length / BATCH_KEYS_MAX) }, (_, batch) =>
    placed.slice(batch * BATCH_KEYS_MAX, (batch + 1) * BATCH_KEYS_MAX),
  );
  const found = new Array<LocatedShard | null>(pointers.length).fill(null);
  const moved: number[] = [];
  await mapBounded(batches, RESOLVE_REQUESTS_MAX, async (batch) => {
    const answers = await records.getMany(
      'shard',
      batch.map(({ id }) => id),
    );
    for (const [position, { index, id }] of batch.entries()) {
      const answer = answers[position] ?? null;
      if (answer === null) moved.push(index);
      else found[index] = { shard: answer.value, page: id.page, revision: answer.revision };
    }
  });
  await mapBounded(moved, RESOLVE_REQUESTS_MAX, async (index) => {
    const pointer = pointers[index];
    if (pointer !== undefined) found[index] = await reader.shardAt(pointer.tableId, pointer.startKey);
  });
  return found.map((shard, index) => {
    const pointer = pointers[index];
    return shard !== null && pointer !== undefined && holdsReplica(shard, pointer) ? shard : null;
  });
}

const holdsReplica = (found: LocatedShard, pointer: NodeReplica): boolean =>
  isShard(found, pointer.shardId) && replicaOn(found.shard, pointer.nodeId)?.replicaId === pointer.replicaId;
