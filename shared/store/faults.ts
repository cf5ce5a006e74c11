import type { ItemKey, ItemWrite, QueryRequest, StoredItem } from '../ports.ts';

/** One call to the store, as a fault plan sees it. */
export type StoreCall =
  | { readonly method: 'get'; readonly keys: readonly ItemKey[] }
  | { readonly method: 'getMany'; readonly keys: readonly ItemKey[] }
  | { readonly method: 'getSnapshot'; readonly keys: readonly ItemKey[] }
  | { readonly method: 'query'; readonly request: QueryRequest }
  | { readonly method: 'write'; readonly writes: readonly ItemWrite[] }
  | { readonly method: 'transact'; readonly writes: readonly ItemWrite[] };

export type InjectedError = 'THROTTLED' | 'TRANSACTION_CONFLICT' | 'UNAVAILABLE';

/** What goes wrong with one call: what DynamoDB does and SQLite doesn't. Parts combine; an empty plan changes nothing. */
export interface StoreFault {
  /** Milliseconds (> 0) before the call takes effect. */
  readonly delayBeforeMs?: number;
  /** The call has no effect and throws. */
  readonly refuse?: InjectedError;
  /** Milliseconds (> 0) between the effect and the answer. */
  readonly delayAfterMs?: number;
  /** The call takes effect and throws all the same. */
  readonly loseAnswer?: InjectedError;
  /**
   * Of `query`, `get` and `getMany`: the items for which this holds are read as they were before a transaction that is being
   * committed right now: applied, its answer still under way (see `delayAfterMs`). So the call sees half a transaction, which
   * DynamoDB allows for every read but a transactional one. Once a transaction has answered, no read is torn by it.
   */
  readonly seesBefore?: (key: ItemKey) => boolean;
}

/** Consulted once per call, before it. Null: nothing goes wrong. */
export interface StoreFaults {
  plan(call: StoreCall): StoreFault | null;
}

/** One item as a committed write left it. */
export interface CommittedWrite {
  readonly key: ItemKey;
  readonly before: StoredItem | null;
  readonly after: StoredItem | null;
}
