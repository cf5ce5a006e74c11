import type { EncodedKey, PageId, TableId } from '../domain/ids.ts';
import { compareKeys, KEY_SPACE_START } from '../domain/keys.ts';
import type { PageHeader } from '../domain/records.ts';

/** What this process knows of a page: it covered `[low, high)` when its header was last read. A hint, checked at every use. */
export interface PageSpan {
  readonly low: EncodedKey;
  /** Exclusive; null is the end of the key space. */
  readonly high: EncodedKey | null;
  readonly page: PageId;
}

/**
 * Page spans that one process keeps, over all tables: about 200 bytes each. A table of 1M shards has about 31,000 pages, so this
 * is room for six such tables; beyond it the cache starts anew.
 */
const SPANS_MAX = 200_000;

export const covers = (span: { low: EncodedKey; high: EncodedKey | null }, key: EncodedKey): boolean =>
  compareKeys(key, span.low) >= 0 && (span.high === null || compareKeys(key, span.high) < 0);

/** The roots of all tables as far as this process has met them: filled lazily, span by span, sorted by low key. */
export class RootCache {
  readonly #tables = new Map<TableId, PageSpan[]>();
  readonly #spansMax: number;
  #size = 0;

  constructor(spansMax: number = SPANS_MAX) {
    this.#spansMax = spansMax;
  }

  /** The page that covers `key`, as far as is known. */
  find(tableId: TableId, key: EncodedKey): PageSpan | null {
    const span = this.#below(tableId, key);
    return span !== null && covers(span, key) ? span : null;
  }

  /** Low key of the nearest known span below `key`: names the gap that an unknown key lies in. */
  gapStart(tableId: TableId, key: EncodedKey): EncodedKey {
    return this.#below(tableId, key)?.low ?? KEY_SPACE_START;
  }

  /** Takes a header that was just read; spans that it contradicts give way. */
  learn(header: PageHeader): void {
    if (this.#size >= this.#spansMax) this.#clear();
    const spans = this.#tables.get(header.tableId) ?? [];
    this.#tables.set(header.tableId, spans);
    const start = firstNotBelow(spans, header.low);
    const end = header.high === null ? spans.length : firstNotBelow(spans, header.high);
    const { low, high, page } = header;
    this.#size += 1 - (end - start);
    spans.splice(start, end - start, { low, high, page });
    const left = spans[start - 1];
    if (left !== undefined && (left.high === null || compareKeys(left.high, low) > 0))
      spans[start - 1] = { ...left, high: low };
  }

  /** Drops a page that is gone. */
  forget(tableId: TableId, page: PageId): void {
    const spans = this.#tables.get(tableId);
    const index = spans?.findIndex((span) => span.page === page) ?? -1;
    if (spans === undefined || index < 0) return;
    spans.splice(index, 1);
    this.#size -= 1;
    if (spans.length === 0) this.#tables.delete(tableId);
  }

  #below(tableId: TableId, key: EncodedKey): PageSpan | null {
    const spans = this.#tables.get(tableId);
    if (spans === undefined) return null;
    const index = firstNotBelow(spans, key);
    const exact = spans[index];
    if (exact?.low === key) return exact;
    return spans[index - 1] ?? null;
  }

  #clear(): void {
    this.#tables.clear();
    this.#size = 0;
  }
}

/** Index of the first span whose low key is not below `key`. */
function firstNotBelow(spans: readonly PageSpan[], key: EncodedKey): number {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const span = spans[middle];
    if (span !== undefined && compareKeys(span.low, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
