import type { Revision } from '../domain/ids.ts';
import type { AuditEntry, Json } from '../domain/records.ts';
import type { Result } from '../domain/result.ts';
import type { EntityId, EntityKind, EntityPartition, EntityValue } from './entities.ts';
import type { Condition, EntryWrite } from './metadata-store.ts';

export interface Stored<K extends EntityKind> {
  readonly value: EntityValue<K>;
  readonly revision: Revision;
}

export type RecordWrite = {
  [K in EntityKind]:
    | ({
        readonly kind: 'put';
        readonly entity: K;
        readonly value: EntityValue<K>;
        readonly when: readonly Condition[];
      } & (K extends 'shard' ? { readonly id: EntityId<K> } : unknown)) // a descriptor does not tell its page
    | {
        readonly kind: 'update';
        readonly entity: K;
        readonly id: EntityId<K>;
        readonly set: Partial<EntityValue<K>>;
        /** Entries of fields that are maps; the codec checks each value. */
        readonly entries?: readonly EntryWrite[];
        readonly when: readonly Condition[];
      }
    | { readonly kind: 'delete'; readonly entity: K; readonly id: EntityId<K>; readonly when: readonly Condition[] }
    | { readonly kind: 'check'; readonly entity: K; readonly id: EntityId<K>; readonly when: readonly Condition[] };
}[EntityKind];

/** The record whose condition failed, as it is now. */
export interface RecordConflict {
  readonly code: 'CONDITION_FAILED';
  readonly index: number;
  readonly current: Stored<EntityKind> | null;
}

/** Entities that may change without an audit entry (I-16 names them): observations, deliveries, derived indexes. */
export type UnauditedKind =
  | 'liveness'
  | 'livenessPack'
  | 'nodeStats'
  | 'detector'
  | 'idempotency'
  | 'command'
  | 'commandBatch'
  | 'separator'
  | 'feedHead'
  | 'feedPack'
  | 'decision'
  | 'operationPart'
  | 'replicaLog'
  | 'nodePace'
  | 'operationSlot'
  | 'ownedShard';
export type UnauditedWrite = Extract<RecordWrite, { entity: UnauditedKind }>;

/** One audited mutation: its writes, its audit entry and its events commit in one transaction, or none does. */
export interface Change {
  readonly writes: readonly RecordWrite[];
  /** Usually one; an operation that changes several entities writes one for each. */
  readonly audit: readonly Omit<AuditEntry, 'atMs'>[];
  readonly events: readonly { readonly eventType: string; readonly payload: Json }[];
}

export interface RecordQuery<K extends EntityKind> {
  readonly partition: EntityPartition<K>;
  /** Inclusive bounds, given as ids of the entity (only the part that sorts counts). */
  readonly from?: EntityId<K>;
  readonly to?: EntityId<K>;
  readonly order: 'forward' | 'backward';
  readonly limit: number;
  /** Opaque `next` of the page before. */
  readonly after?: string;
}

export interface RecordPage<K extends EntityKind> {
  readonly items: readonly Stored<K>[];
  readonly next: string | null;
}

/** The typed store. All reads are strong. Throws `StoreError`. */
export interface Records {
  get<K extends EntityKind>(kind: K, id: EntityId<K>): Promise<Stored<K> | null>;
  getMany<K extends EntityKind>(kind: K, ids: readonly EntityId<K>[]): Promise<readonly (Stored<K> | null)[]>;
  query<K extends EntityKind>(kind: K, query: RecordQuery<K>): Promise<RecordPage<K>>;
  /** Commits an audited change. `index` of a conflict counts `writes`; a clash of audit numbers counts as index -1. */
  commit(change: Change): Promise<Result<void, RecordConflict>>;
  /** One unaudited write; returns the record after it. */
  observe<W extends UnauditedWrite>(write: W): Promise<Result<Stored<W['entity']> | null, RecordConflict>>;
  /** Several unaudited writes, all or none. */
  observeAll(writes: readonly UnauditedWrite[]): Promise<Result<void, RecordConflict>>;
}
