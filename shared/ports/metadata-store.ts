import type { Revision } from '../domain/ids.ts';
import type { Json } from '../domain/records.ts';
import type { Result } from '../domain/result.ts';

/**
 * The metadata store: key-value items, as far as DynamoDB goes (DESIGN section 4). `store/dynamo-store.ts` and
 * `store/sqlite-store.ts` implement it.
 */

/** Tables by concern, so that each Lambda role gets only what it needs. */
export type StoreTable = 'topology' | 'liveness' | 'catalog' | 'operations' | 'access' | 'events';

export interface ItemKey {
  readonly table: StoreTable;
  readonly pk: string;
  readonly sk: string;
}

/** One stored item. `revision` starts at 1 and is raised by every write; `writeId` names the write that made it. */
export interface StoredItem {
  readonly key: ItemKey;
  readonly revision: Revision;
  readonly writeId: string;
  /** Attributes besides keys, revision and write id. */
  readonly body: { readonly [field: string]: Json };
}

/** The closed language of conditions. A path is a field, or a field and the name of one entry of its map. */
export type FieldPath = string | readonly [field: string, entry: string];
export type Condition =
  | { readonly kind: 'absent' }
  | { readonly kind: 'present' }
  | { readonly kind: 'revision'; readonly is: Revision }
  | { readonly kind: 'equals'; readonly field: FieldPath; readonly value: string | number | boolean | null }
  /** The field is a number smaller than `value`. */
  | { readonly kind: 'below'; readonly field: FieldPath; readonly value: number };

/** One entry of a map: set, or removed (removing what is not there changes nothing). */
export type EntryWrite =
  | { readonly kind: 'set'; readonly field: string; readonly entry: string; readonly value: Json }
  | { readonly kind: 'remove'; readonly field: string; readonly entry: string };

export type ItemWrite =
  /**
   * Replaces the whole item. `when` must hold `absent` or `revision` (else Bug), because the new revision is computed from
   * it: 1 under `absent`, the named revision + 1 under `revision`. Other conditions may stand beside.
   */
  | {
      readonly kind: 'put';
      readonly key: ItemKey;
      readonly body: StoredItem['body'];
      readonly when: readonly Condition[];
    }
  /**
   * Sets top-level fields of an existing item (`present` is implied), and single entries of its maps (that these fields hold maps is
   * implied), and raises its revision. Two writers of different entries do not disturb one another.
   */
  | {
      readonly kind: 'update';
      readonly key: ItemKey;
      readonly set: StoredItem['body'];
      /** No field that `set` names too; no entry twice (else Bug). */
      readonly entries?: readonly EntryWrite[];
      readonly when: readonly Condition[];
    }
  | { readonly kind: 'delete'; readonly key: ItemKey; readonly when: readonly Condition[] }
  /** Transactions only: fails the transaction unless the conditions hold. */
  | { readonly kind: 'check'; readonly key: ItemKey; readonly when: readonly Condition[] };

/** The condition of write number `index` did not hold; `current` is the item as it is (null if absent). */
export interface ConditionFailed {
  readonly code: 'CONDITION_FAILED';
  readonly index: number;
  readonly current: StoredItem | null;
}

/**
 * Reasons for which a store call throws `StoreError`. The outcome of a write that threw is unknown: an earlier attempt may
 * have been applied and its answer lost. Repeat it and take a failed condition as news (I-11).
 */
export type StoreErrorCode =
  | 'THROTTLED'
  /** Another transaction held an item, still after the store's own retries; distinct from a failed condition (S4). */
  | 'TRANSACTION_CONFLICT'
  | 'UNAVAILABLE'
  /** A limit of DynamoDB was passed: item over 400 KB, over 100 items or 4 MB in a transaction. A bug of the caller. */
  | 'LIMIT_EXCEEDED';

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface QueryRequest {
  readonly table: StoreTable;
  readonly pk: string;
  /** Inclusive bounds on the sort key; none = open. */
  readonly from?: string;
  readonly to?: string;
  readonly order: 'forward' | 'backward';
  /** 1 to 1,000 items. A page may hold fewer (1 MB) and still not be the last: see `next`. */
  readonly limit: number;
  /** Continues after this sort key (exclusive), in the direction of `order`. */
  readonly after?: string;
}

export interface QueryPage {
  readonly items: readonly StoredItem[];
  /** Sort key to pass as `after` for the next page; null at the end. A full page at the very end still names one: the next is empty. */
  readonly next: string | null;
}

/** Strong reads and conditional writes. Throws `StoreError`; a failed condition is a value. */
export interface MetadataStore {
  get(key: ItemKey): Promise<StoredItem | null>;
  /** Up to 100 keys; answers in the order of the keys. Each read is strong, the set is not a snapshot. */
  getMany(keys: readonly ItemKey[]): Promise<readonly (StoredItem | null)[]>;
  /** Transactional read of up to 100 keys: one snapshot. */
  getSnapshot(keys: readonly ItemKey[]): Promise<readonly (StoredItem | null)[]>;
  query(request: QueryRequest): Promise<QueryPage>;
  /** One put, update or delete. Returns the item after the write (null after a delete). */
  write(write: Exclude<ItemWrite, { kind: 'check' }>): Promise<Result<StoredItem | null, ConditionFailed>>;
  /** 1 to 100 writes on distinct items, all or none. */
  transact(writes: readonly ItemWrite[]): Promise<Result<void, ConditionFailed>>;
}
