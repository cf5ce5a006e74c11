import { Bug } from '../../shared/domain/result.ts';
import type { ItemKey, QueryRequest, StoredItem } from '../../shared/ports.ts';
import { EmbeddedStore } from '../../shared/store/embedded-store.ts';
import type { EmbeddedStoreOptions, StoredItems } from '../../shared/store/embedded-store.ts';
import { compareSortKeys } from '../../shared/store/query-window.ts';
import type { QueryWindow } from '../../shared/store/query-window.ts';

/** The embedded store in plain memory: what SQLite's `:memory:` does, without SQL and JSON between the simulation and its items. */
export class MemoryStore extends EmbeddedStore {
  constructor(options: EmbeddedStoreOptions) {
    super(new MemoryItems(), options);
  }
}

interface Held {
  readonly item: StoredItem;
  /** As DynamoDB counts them. */
  readonly bytes: number;
}

/** Items that share a partition key, and their sort keys in order. */
interface Partition {
  readonly items: Map<string, Held>;
  readonly sortKeys: string[];
}

/** Items are frozen copies: nobody who wrote or read one can change what is stored. */
class MemoryItems implements StoredItems {
  readonly #partitions = new Map<string, Partition>();
  /** How to take back what the running transaction did; null outside of one. */
  #undo: (() => void)[] | null = null;

  atomically<T>(work: () => T): T {
    if (this.#undo !== null) throw new Bug('transactions do not nest');
    const undo: (() => void)[] = (this.#undo = []);
    try {
      return work();
    } catch (error) {
      for (const takeBack of undo.reverse()) takeBack();
      throw error;
    } finally {
      this.#undo = null;
    }
  }

  read(key: ItemKey): StoredItem | null {
    return this.#partitions.get(partitionName(key))?.items.get(key.sk)?.item ?? null;
  }

  put(item: StoredItem, bytes: number): StoredItem {
    const name = partitionName(item.key);
    let partition = this.#partitions.get(name);
    if (partition === undefined) this.#partitions.set(name, (partition = { items: new Map(), sortKeys: [] }));
    const { sk } = item.key;
    const before = partition.items.get(sk);
    const kept = frozenCopy(item);
    partition.items.set(sk, { item: kept, bytes });
    if (before === undefined) partition.sortKeys.splice(firstAtOrAbove(partition.sortKeys, sk), 0, sk);
    const { items } = partition;
    this.#undo?.push(() => {
      if (before === undefined) this.remove(item.key);
      else items.set(sk, before);
    });
    return kept;
  }

  remove(key: ItemKey): void {
    const partition = this.#partitions.get(partitionName(key));
    const before = partition?.items.get(key.sk);
    if (partition === undefined || before === undefined) return;
    partition.items.delete(key.sk);
    partition.sortKeys.splice(firstAtOrAbove(partition.sortKeys, key.sk), 1);
    this.#undo?.push(() => {
      partition.items.set(key.sk, before);
      partition.sortKeys.splice(firstAtOrAbove(partition.sortKeys, key.sk), 0, key.sk);
    });
  }

  range(
    request: QueryRequest,
    window: QueryWindow,
    limits: { limit: number; bytesMax: number },
  ): { items: StoredItem[]; cutByBytes: boolean } {
    const partition = this.#partitions.get(partitionName(request));
    if (partition === undefined) return { items: [], cutByBytes: false };
    const { sortKeys, items } = partition;
    const forward = request.order === 'forward';
    const { from, to, after } = window;
    let first = from === null ? 0 : firstAtOrAbove(sortKeys, from);
    let end = to === null ? sortKeys.length : firstAbove(sortKeys, to);
    if (after !== null && forward) first = firstAbove(sortKeys, after);
    if (after !== null && !forward) end = firstAtOrAbove(sortKeys, after);
    const found: StoredItem[] = [];
    let bytes = 0;
    for (let taken = 0; taken < end - first && found.length < limits.limit; taken++) {
      const held = items.get(sortKeys[forward ? first + taken : end - 1 - taken] ?? '');
      if (held === undefined) throw new Bug('a sort key without its item');
      bytes += held.bytes;
      if (bytes > limits.bytesMax && found.length > 0) return { items: found, cutByBytes: true };
      found.push(held.item);
    }
    return { items: found, cutByBytes: false };
  }

  close(): void {
    this.#partitions.clear();
  }
}

/** Names of tables have no slash. */
const partitionName = ({ table, pk }: { readonly table: string; readonly pk: string }): string => `${table}/${pk}`;

const firstAtOrAbove = (sortKeys: readonly string[], sk: string): number =>
  firstWhere(sortKeys, (other) => compareSortKeys(other, sk) >= 0);
const firstAbove = (sortKeys: readonly string[], sk: string): number =>
  firstWhere(sortKeys, (other) => compareSortKeys(other, sk) > 0);

/** Index of the first entry for which `holds` is true, as it is for all that follow; the length if there is none. */
function firstWhere(sortKeys: readonly string[], holds: (sk: string) => boolean): number {
  let low = 0;
  let high = sortKeys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(sortKeys[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** A frozen copy of JSON, as if it had been written out and read again: fields without a value are gone. */
function frozenCopy<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return Object.freeze(value.map((entry: unknown) => frozenCopy(entry ?? null))) as T;
  const copy: Record<string, unknown> = {};
  for (const name of Object.keys(value)) {
    const field = (value as Record<string, unknown>)[name];
    if (field === undefined) continue;
    // Defined, not assigned: an entry named `__proto__` stays an entry.
    if (name === '__proto__') Object.defineProperty(copy, name, { value: frozenCopy(field), enumerable: true });
    else copy[name] = frozenCopy(field);
  }
  return Object.freeze(copy) as T;
}
