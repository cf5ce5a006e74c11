import type { Random, Timers } from '../domain/environment.ts';
import { revision } from '../domain/ids.ts';
import { err, invariant, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { StoreError } from '../ports.ts';
import type {
  ConditionFailed,
  ItemKey,
  ItemWrite,
  MetadataStore,
  QueryPage,
  QueryRequest,
  StoredItem,
} from '../ports.ts';
import { definedFields } from './body.ts';
import { mayApply, updatedBody } from './conditions.ts';
import type { CommittedWrite, StoreCall, StoreFault, StoreFaults } from './faults.ts';
import {
  checkItemSize,
  checkKey,
  checkQuery,
  checkReadKeys,
  checkTransaction,
  checkWrite,
  itemBytes,
  keyText,
  QUERY_PAGE_BYTES_MAX,
} from './limits.ts';
import { compareSortKeys, inWindow, queryWindow } from './query-window.ts';
import type { QueryWindow } from './query-window.ts';

export interface EmbeddedStoreOptions {
  readonly random: Random;
  /** Needed for faults that delay. */
  readonly timers?: Timers;
  readonly faults?: StoreFaults;
  /** Called synchronously after each applied write or transaction, with the items that changed. Must not throw. */
  readonly onCommit?: (writes: readonly CommittedWrite[]) => void;
}

/** Random bytes of a write id. */
const WRITE_ID_BYTES = 10;

/** Most faults of a simulation touch what a read sees, and cost no turn of their own. */
const isBefore = ({ delayBeforeMs, refuse }: StoreFault): boolean =>
  delayBeforeMs !== undefined || refuse !== undefined;
const isAfter = ({ delayAfterMs, loseAnswer }: StoreFault): boolean =>
  delayAfterMs !== undefined || loseAnswer !== undefined;

type SingleWrite = Exclude<ItemWrite, { kind: 'check' }>;
type WriteCall = Extract<StoreCall, { method: 'write' | 'transact' }>;
type Committed = Result<readonly CommittedWrite[], ConditionFailed>;

/** Where an embedded store keeps its items: reads and writes without conditions. Sort keys are ordered by UTF-8 bytes. */
export interface StoredItems {
  /** Runs `work` in one transaction; nothing of it stays if it throws. */
  atomically<T>(work: () => T): T;
  read(key: ItemKey): StoredItem | null;
  /** `bytes`: the item's size as DynamoDB counts it. Returns the item as it is kept. */
  put(item: StoredItem, bytes: number): StoredItem;
  remove(key: ItemKey): void;
  /** Up to `limit` items of the window in the order of the request, and no more than `bytesMax` bytes, but at least one. */
  range(
    request: QueryRequest,
    window: QueryWindow,
    limits: { limit: number; bytesMax: number },
  ): { items: StoredItem[]; cutByBytes: boolean };
  close(): void;
}

/**
 * MetadataStore inside a process: SQLite on one machine, plain memory in the simulation. One call is one atomic step: without an
 * injected delay it takes effect before the call returns its promise. DynamoDB's limits are enforced; what it does besides,
 * `faults` injects.
 */
export class EmbeddedStore implements MetadataStore {
  readonly #items: StoredItems;
  readonly #options: EmbeddedStoreOptions;
  /** Transactions that are applied while their answer is under way: the only ones that a read may see in halves. */
  readonly #committing = new Set<readonly CommittedWrite[]>();

  constructor(items: StoredItems, options: EmbeddedStoreOptions) {
    this.#items = items;
    this.#options = options;
  }

  async get(key: ItemKey): Promise<StoredItem | null> {
    checkKey(key);
    return this.#reading({ method: 'get', keys: [key] }, (fault) => this.#readOne(key, fault));
  }

  async getMany(keys: readonly ItemKey[]): Promise<readonly (StoredItem | null)[]> {
    checkReadKeys(keys);
    return this.#reading({ method: 'getMany', keys }, (fault) => keys.map((key) => this.#readOne(key, fault)));
  }

  async getSnapshot(keys: readonly ItemKey[]): Promise<readonly (StoredItem | null)[]> {
    checkReadKeys(keys);
    return this.#reading({ method: 'getSnapshot', keys }, () =>
      this.#items.atomically(() => keys.map((key) => this.#items.read(key))),
    );
  }

  async query(request: QueryRequest): Promise<QueryPage> {
    checkQuery(request);
    return this.#reading({ method: 'query', request }, (fault) => {
      const window = queryWindow(request);
      if (window === null) return { items: [], next: null };
      const { items, cutByBytes } =
        fault?.seesBefore !== undefined && this.#committing.size > 0
          ? this.#tornRange(request, window, fault.seesBefore)
          : this.#items.range(request, window, { limit: request.limit, bytesMax: QUERY_PAGE_BYTES_MAX });
      // A full page names a next one, as DynamoDB does, even if nothing follows.
      const next = cutByBytes || items.length === request.limit ? (items.at(-1)?.key.sk ?? null) : null;
      return { items, next };
    });
  }

  async write(write: SingleWrite): Promise<Result<StoredItem | null, ConditionFailed>> {
    checkWrite(write);
    const applied = await this.#writing({ method: 'write', writes: [write] });
    return applied.ok ? ok(applied.value[0]?.after ?? null) : applied;
  }

  async transact(writes: readonly ItemWrite[]): Promise<Result<void, ConditionFailed>> {
    checkTransaction(writes);
    const applied = await this.#writing({ method: 'transact', writes });
    return applied.ok ? ok(undefined) : applied;
  }

  close(): void {
    this.#items.close();
  }

  // -- calls, and what may go wrong around them -----------------------------------------------------------------------

  /** At once, unless a fault waits or fails: reads are most of what a simulation asks. */
  #reading<T>(call: StoreCall, read: (fault: StoreFault | null) => T): T | Promise<T> {
    const fault = this.#options.faults?.plan(call) ?? null;
    if (fault === null || (!isBefore(fault) && !isAfter(fault))) return read(fault);
    return this.#readingLate(call, fault, read);
  }

  async #readingLate<T>(call: StoreCall, fault: StoreFault, read: (fault: StoreFault) => T): Promise<T> {
    if (isBefore(fault)) await this.#before(call, fault);
    const answer = read(fault);
    if (isAfter(fault)) await this.#after(call, fault);
    return answer;
  }

  #writing(call: WriteCall): Committed | Promise<Committed> {
    const fault = this.#options.faults?.plan(call) ?? null;
    return fault === null ? this.#commit(call.writes) : this.#writingLate(call, fault);
  }

  async #writingLate(call: WriteCall, fault: StoreFault): Promise<Committed> {
    if (isBefore(fault)) await this.#before(call, fault);
    const answer = this.#commit(call.writes);
    const visibleInHalves = answer.ok && call.method === 'transact' ? answer.value : null;
    if (visibleInHalves !== null) this.#committing.add(visibleInHalves);
    try {
      if (isAfter(fault)) await this.#after(call, fault);
    } finally {
      if (visibleInHalves !== null) this.#committing.delete(visibleInHalves);
    }
    return answer;
  }

  async #before(call: StoreCall, fault: StoreFault): Promise<void> {
    if (fault.delayBeforeMs !== undefined) await this.#sleep(fault.delayBeforeMs);
    if (fault.refuse !== undefined) throw new StoreError(fault.refuse, `injected before ${call.method}`);
  }

  async #after(call: StoreCall, fault: StoreFault): Promise<void> {
    if (fault.delayAfterMs !== undefined) await this.#sleep(fault.delayAfterMs);
    if (fault.loseAnswer !== undefined) throw new StoreError(fault.loseAnswer, `injected after ${call.method}`);
  }

  #sleep(delayMs: number): Promise<void> {
    const { timers } = this.#options;
    invariant(timers !== undefined, 'a store with delaying faults needs timers');
    return timers.sleep(delayMs);
  }

  // -- writing --------------------------------------------------------------------------------------------------------

  /** Applies all writes or none. */
  #commit(writes: readonly ItemWrite[]): Committed {
    const writeId = this.#options.random.hex(WRITE_ID_BYTES);
    const result = this.#items.atomically((): Committed => {
      const before: (StoredItem | null)[] = [];
      for (const [index, write] of writes.entries()) {
        const current = this.#items.read(write.key);
        if (!mayApply(write, current)) return err({ code: 'CONDITION_FAILED', index, current });
        before.push(current);
      }
      return ok(writes.flatMap((write, index) => this.#apply(write, before[index] ?? null, writeId)));
    });
    if (result.ok && result.value.length > 0) this.#options.onCommit?.(result.value);
    return result;
  }

  #apply(write: ItemWrite, before: StoredItem | null, writeId: string): CommittedWrite[] {
    const { key } = write;
    if (write.kind === 'check') return [];
    if (write.kind === 'delete') {
      if (before === null) return [];
      this.#items.remove(key);
      return [{ key, before, after: null }];
    }
    const body = definedFields(write.kind === 'put' ? write.body : updatedBody(before?.body ?? {}, write));
    const bytes = itemBytes(key, body);
    checkItemSize(key, bytes);
    const after = this.#items.put({ key, revision: revision((before?.revision ?? 0) + 1), writeId, body }, bytes);
    return [{ key, before, after }];
  }

  // -- reading --------------------------------------------------------------------------------------------------------

  #readOne(key: ItemKey, fault: StoreFault | null): StoredItem | null {
    if (this.#committing.size > 0 && fault?.seesBefore?.(key) === true) {
      const text = keyText(key);
      for (const transaction of this.#committing)
        for (const write of transaction) if (keyText(write.key) === text) return write.before;
    }
    return this.#items.read(key);
  }

  /** The window as it is, but with the items that `seesBefore` names as they were before the transactions under way. */
  #tornRange(
    request: QueryRequest,
    window: QueryWindow,
    seesBefore: NonNullable<StoreFault['seesBefore']>,
  ): { items: StoredItem[]; cutByBytes: boolean } {
    const present = this.#items.range(request, window, { limit: Number.MAX_SAFE_INTEGER, bytesMax: Infinity });
    const bySortKey = new Map(present.items.map((item) => [item.key.sk, item]));
    for (const transaction of this.#committing)
      for (const { key, before } of transaction) {
        const inRange = key.table === request.table && key.pk === request.pk && inWindow(window, request.order, key.sk);
        if (!inRange || !seesBefore(key)) continue;
        if (before === null) bySortKey.delete(key.sk);
        else bySortKey.set(key.sk, before);
      }
    const sign = request.order === 'forward' ? 1 : -1;
    const items = [...bySortKey.values()]
      .sort((left, right) => sign * compareSortKeys(left.key.sk, right.key.sk))
      .slice(0, request.limit);
    return { items, cutByBytes: false };
  }
}
