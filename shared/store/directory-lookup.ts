import type { EncodedKey, PageId, TableId } from '../domain/ids.ts';
import { compareKeys, rangeContains } from '../domain/keys.ts';
import type { PageHeader } from '../domain/records.ts';
import { StoreError } from '../ports.ts';
import type { LocatedShard, MetadataStore, Records, Stored, StoredItem } from '../ports.ts';
import { covers, RootCache } from './directory-root.ts';
import type { PageSpan } from './directory-root.ts';
import { entitySpec, recordKey } from './entities.ts';
import { readSnapshot } from './records.ts';

/**
 * Attempts of one lookup. Each further one means that the page was split, removed or changed while it was being read; a table
 * that changes faster than this is answered with an error, never with a wrong shard.
 */
const ATTEMPTS_MAX = 16;
/** Pages followed to the right in one go: splits of one page whose separators the root does not have yet. */
const RIGHT_HOPS_MAX = 64;
/** Rounds that a miss waits for misses in the same gap of the root before it reads for itself. */
const SHARED_MISSES_MAX = 4;

/** Finds the shard that holds a key (DESIGN section 4). */
export class DirectoryLookup {
  readonly #store: MetadataStore;
  readonly #records: Records;
  readonly #root = new RootCache();
  /** Misses under way, by table and gap: concurrent misses of one gap share one read of the root. */
  readonly #misses = new Map<string, Promise<unknown>>();

  constructor(store: MetadataStore, records: Records) {
    this.#store = store;
    this.#records = records;
  }

  /**
   * The shard that holds `key`, or null if there is none (no such table, not built yet, or already removed). One strongly
   * consistent Query when the page is known. A Query alone never proves that there is none: it may see half of a split. Nor does
   * it prove that the shard it shows still holds the key: `TRANSACTIONAL` answers with what a transactional read showed.
   */
  async shardAt(
    tableId: TableId,
    key: EncodedKey,
    reads: 'ONE_QUERY' | 'TRANSACTIONAL' = 'ONE_QUERY',
  ): Promise<LocatedShard | null> {
    const queryCounts = reads === 'ONE_QUERY';
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const known = this.#root.find(tableId, key);
      if (known === null) {
        const miss = await this.#miss(tableId, key);
        if (miss === 'NO_SUCH_PAGE') return null;
        if (miss !== null && queryCounts) return miss;
        continue;
      }
      const seen = await this.#nearest(known.page, key);
      if (queryCounts && seen !== null && rangeContains(seen.shard, key)) return seen;
      const settled = await this.#settle(tableId, known.page, key, seen);
      if (settled === 'HOLE') return null;
      if (settled !== null) return settled;
    }
    throw new StoreError('UNAVAILABLE', `the directory kept changing during ${ATTEMPTS_MAX} reads of one key`);
  }

  /** The page that covers `key`, from the cache if it is there; null if there is none. */
  async pageAt(tableId: TableId, key: EncodedKey): Promise<PageSpan | null> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const known = this.#root.find(tableId, key);
      if (known !== null) return known;
      if ((await this.#miss(tableId, key)) === 'NO_SUCH_PAGE') return null;
    }
    throw new StoreError('UNAVAILABLE', `the directory's root kept changing during ${ATTEMPTS_MAX} reads of one key`);
  }

  /** The descriptor with the greatest start key up to `key` in the page, by ONE strongly consistent Query. */
  async #nearest(page: PageId, key: EncodedKey): Promise<LocatedShard | null> {
    const header = recordKey('page', { page });
    const { items } = await this.#store.query({
      table: header.table,
      pk: header.pk,
      from: header.sk,
      to: recordKey('shard', { page, startKey: key }).sk,
      order: 'backward',
      limit: 1,
    });
    const item = items[0];
    return item === undefined || item.key.sk === header.sk ? null : located(page, item);
  }

  /** Learns the page of a key that the cache does not cover; answers with its shard if that was read on the way. */
  async #miss(tableId: TableId, key: EncodedKey): Promise<LocatedShard | 'NO_SUCH_PAGE' | null> {
    for (let round = 0; round < SHARED_MISSES_MAX; round++) {
      const gap = JSON.stringify([tableId, this.#root.gapStart(tableId, key)]);
      const underWay = this.#misses.get(gap);
      if (underWay === undefined) {
        const read = this.#readRoot(tableId, key).finally(() => this.#misses.delete(gap));
        this.#misses.set(gap, read);
        return read;
      }
      await underWay;
      if (this.#root.find(tableId, key) !== null) return null;
    }
    return this.#readRoot(tableId, key);
  }

  /** One separator, then the page's header and the key's neighbour side by side. */
  async #readRoot(tableId: TableId, key: EncodedKey): Promise<LocatedShard | 'NO_SUCH_PAGE' | null> {
    const separators = await this.#records.query('separator', {
      partition: { tableId },
      to: { tableId, low: key },
      order: 'backward',
      limit: 1,
    });
    const page = separators.items[0]?.value.page;
    if (page === undefined) return 'NO_SUCH_PAGE';
    const [header, seen] = await Promise.all([this.#records.get('page', { page }), this.#nearest(page, key)]);
    if (header === null) return null; // removed since the separator was read
    this.#root.learn(header.value);
    if (!covers(header.value, key)) await this.#followRight(header.value, key);
    return seen !== null && rangeContains(seen.shard, key) ? seen : null;
  }

  /** Learns the page that covers `key`, right of `from`: the root does not have it yet. */
  async #followRight(from: PageHeader, key: EncodedKey): Promise<void> {
    let header = from;
    for (let hop = 0; hop < RIGHT_HOPS_MAX; hop++) {
      if (header.right === null) return;
      const [right] = await readSnapshot(this.#store, [{ kind: 'page', id: { page: header.right } }]);
      if (right === null) return; // removed meanwhile; the next attempt reads the root anew
      header = right.value;
      this.#root.learn(header);
      // Past the key: a merge is moving the border; the next attempt reads the root anew.
      if (covers(header, key) || compareKeys(key, header.low) < 0) return;
    }
    throw new StoreError(
      'UNAVAILABLE',
      `the root of table ${from.tableId} lags more than ${RIGHT_HOPS_MAX} page splits`,
    );
  }

  /**
   * The Query on `page` did not answer with the shard of `key`: the cached root is stale, a split was half visible, or there is
   * no such shard. Only transactional reads tell which: another Query could see half of the same split again. They walk from
   * neighbour to neighbour, each shard starting where the one before ends. HOLE: where a shard should start there is none.
   * Null: look again.
   */
  async #settle(
    tableId: TableId,
    page: PageId,
    key: EncodedKey,
    seen: LocatedShard | null,
  ): Promise<LocatedShard | 'HOLE' | null> {
    const first = await this.#snapshot(page, seen?.shard.startKey ?? null);
    if (first.header === null) {
      this.#root.forget(tableId, page);
      return null;
    }
    const header = first.header.value;
    this.#root.learn(header);
    if (compareKeys(key, header.low) < 0) {
      // A merge moved the border: the key belongs to a page on the left now, which the stored root knows.
      this.#root.forget(tableId, page);
      return null;
    }
    if (!covers(header, key)) {
      await this.#followRight(header, key);
      return null;
    }
    let neighbour = first.shard;
    for (let hop = 0; hop <= header.count; hop++) {
      if (neighbour !== null && rangeContains(neighbour.shard, key)) return neighbour;
      const start: EncodedKey = neighbour?.shard.endKey ?? header.low;
      const next = await this.#snapshot(page, start);
      if (next.header?.value.generation !== header.generation) return null; // the page changed during the walk
      if (next.shard === null) return 'HOLE';
      neighbour = next.shard;
    }
    return null;
  }

  /** The page's header and the descriptor that starts at `startKey`, as of one moment. */
  async #snapshot(
    page: PageId,
    startKey: EncodedKey | null,
  ): Promise<{ header: Stored<'page'> | null; shard: LocatedShard | null }> {
    const ofHeader = { kind: 'page', id: { page } } as const;
    if (startKey === null) {
      const [header] = await readSnapshot(this.#store, [ofHeader]);
      return { header, shard: null };
    }
    const [header, shard] = await readSnapshot(this.#store, [ofHeader, { kind: 'shard', id: { page, startKey } }]);
    return { header, shard: shard === null ? null : { shard: shard.value, page, revision: shard.revision } };
  }
}

const located = (page: PageId, item: StoredItem): LocatedShard => ({
  shard: entitySpec('shard').codec.decode(item.body),
  page,
  revision: item.revision,
});
