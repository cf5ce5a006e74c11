import type { Clock, Random } from '../domain/environment.ts';
import type { AuditEntry, EventRecord } from '../domain/records.ts';
import { assertNever, err, invariant, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { timeOrderedIds } from '../domain/time-ordered-id.ts';
import type {
  Change,
  ConditionFailed,
  EntityId,
  EntityKind,
  EntityValue,
  EntryWrite,
  ItemWrite,
  MetadataStore,
  RecordConflict,
  RecordPage,
  RecordQuery,
  Records,
  RecordWrite,
  Stored,
  StoredItem,
  UnauditedKind,
  UnauditedWrite,
} from '../ports.ts';
import { entitySpec, putKey, recordKey, sortBounds } from './entities.ts';
import { BATCH_KEYS_MAX } from './limits.ts';

export interface RecordsEnvironment {
  readonly clock: Clock;
  readonly random: Random;
}

/** Kinds that change without an audit entry (I-16); everything else goes through `commit`. */
const UNAUDITED: Readonly<Record<UnauditedKind, true>> = {
  liveness: true,
  livenessPack: true,
  nodeStats: true,
  detector: true,
  idempotency: true,
  command: true,
  commandBatch: true,
  separator: true,
  feedHead: true,
  feedPack: true,
  decision: true,
  operationPart: true,
  operationSlot: true,
  ownedShard: true,
  replicaLog: true,
  nodePace: true,
};

/** The typed store (ports.ts, `Records`): entities and codecs over a MetadataStore. */
export function createRecords(store: MetadataStore, environment: RecordsEnvironment): Records {
  const newId = timeOrderedIds(environment);
  const observe = async <W extends UnauditedWrite>(
    write: W,
  ): Promise<Result<Stored<W['entity']> | null, RecordConflict>> => {
    invariant(Object.hasOwn(UNAUDITED, write.entity), `a ${write.entity} changes by an audited commit only`);
    if (write.kind === 'check') {
      const checked = await store.transact([toItemWrite(write)]);
      return checked.ok ? ok(null) : err(toConflict([write], checked.error));
    }
    const written = await store.write(toItemWrite(write) as Exclude<ItemWrite, { kind: 'check' }>);
    if (!written.ok) return err(toConflict([write], written.error));
    return ok(toStored<W['entity']>(write.entity, written.value));
  };
  return {
    get: async (kind, id) => toStored(kind, await store.get(recordKey(kind, id))),
    getMany: async (kind, ids) => {
      const answers: (StoredItem | null)[] = [];
      for (let start = 0; start < ids.length; start += BATCH_KEYS_MAX) {
        const keys = ids.slice(start, start + BATCH_KEYS_MAX).map((id) => recordKey(kind, id));
        answers.push(...(await store.getMany(keys)));
      }
      return answers.map((item) => toStored(kind, item));
    },
    query: (kind, request) => queryRecords(store, kind, request),
    commit: async (change) => {
      invariant(change.audit.length > 0, 'a commit carries an audit entry (I-16)');
      const writes = [...change.writes, ...accompanying(change, environment.clock.wallMs(), newId)];
      const committed = await store.transact(writes.map(toItemWrite));
      if (committed.ok) return ok(undefined);
      const conflict = toConflict(writes, committed.error);
      return err(conflict.index < change.writes.length ? conflict : { ...conflict, index: -1 });
    },
    observe,
    observeAll: async (writes) => {
      for (const { entity } of writes)
        invariant(Object.hasOwn(UNAUDITED, entity), `a ${entity} changes by an audited commit only`);
      const committed = await store.transact(writes.map(toItemWrite));
      return committed.ok ? ok(undefined) : err(toConflict(writes, committed.error));
    },
  };
}

/** Names one record of any kind. */
export type RecordRef = { [K in EntityKind]: { readonly kind: K; readonly id: EntityId<K> } }[EntityKind];

/** One snapshot of up to 100 records (a transactional read); null where there is none. */
export async function readSnapshot<const R extends readonly RecordRef[]>(
  store: MetadataStore,
  refs: R,
): Promise<{ [I in keyof R]: Stored<R[I]['kind']> | null }> {
  const items = await store.getSnapshot(refs.map((ref) => recordKey(ref.kind, ref.id)));
  return refs.map((ref, index) => toStored(ref.kind, items[index] ?? null)) as {
    [I in keyof R]: Stored<R[I]['kind']> | null;
  };
}

async function queryRecords<K extends EntityKind>(
  store: MetadataStore,
  kind: K,
  request: RecordQuery<K>,
): Promise<RecordPage<K>> {
  const spec = entitySpec(kind);
  const all = sortBounds(spec.sortPrefix);
  const sortKey = (id: EntityId<K>): string => spec.sortPrefix + spec.sortKey(id);
  const page = await store.query({
    table: spec.table,
    pk: spec.partitionKey(request.partition),
    from: request.from === undefined ? all.from : sortKey(request.from),
    to: request.to === undefined ? all.to : sortKey(request.to),
    order: request.order,
    limit: request.limit,
    ...(request.after === undefined ? {} : { after: request.after }),
  });
  return {
    items: page.items.map((item) => ({ value: spec.codec.decode(item.body), revision: item.revision })),
    next: page.next,
  };
}

export function toStored<K extends EntityKind>(kind: K, item: StoredItem | null): Stored<K> | null {
  return item === null ? null : { value: entitySpec(kind).codec.decode(item.body), revision: item.revision };
}

/** The audit entries and events that commit with the writes. */
function accompanying(change: Change, atMs: number, newId: (prefix: string) => string): RecordWrite[] {
  const absent = [{ kind: 'absent' }] as const;
  return [
    ...change.audit.map((entry): RecordWrite => {
      const value: AuditEntry = { ...entry, atMs };
      return { kind: 'put', entity: 'audit', value, when: absent };
    }),
    ...change.events.map(({ eventType, payload }): RecordWrite => {
      const value: EventRecord = { eventId: newId('evt'), eventType, payload, createdAtMs: atMs };
      return { kind: 'put', entity: 'event', value, when: absent };
    }),
  ];
}

/** A write of one kind, its parts related by that kind. */
type WriteOf<K extends EntityKind> =
  | {
      readonly kind: 'put';
      readonly entity: K;
      readonly value: EntityValue<K>;
      readonly id?: EntityId<K>;
      readonly when: RecordWrite['when'];
    }
  | {
      readonly kind: 'update';
      readonly entity: K;
      readonly id: EntityId<K>;
      readonly set: Partial<EntityValue<K>>;
      readonly entries?: readonly EntryWrite[];
      readonly when: RecordWrite['when'];
    }
  | {
      readonly kind: 'delete' | 'check';
      readonly entity: K;
      readonly id: EntityId<K>;
      readonly when: RecordWrite['when'];
    };

const toItemWrite = (write: RecordWrite): ItemWrite => itemWriteOf(write as WriteOf<EntityKind>);

function itemWriteOf<K extends EntityKind>(write: WriteOf<K>): ItemWrite {
  const { codec } = entitySpec(write.entity);
  const { when } = write;
  switch (write.kind) {
    case 'put':
      return { kind: 'put', key: putKey(write.entity, write.value, write.id), body: codec.encode(write.value), when };
    case 'update':
      return {
        kind: 'update',
        key: recordKey(write.entity, write.id),
        set: codec.encodeFields(write.set),
        ...(write.entries === undefined ? {} : { entries: write.entries.map((change) => codec.encodeEntry(change)) }),
        when,
      };
    case 'delete':
    case 'check':
      return { kind: write.kind, key: recordKey(write.entity, write.id), when };
    default:
      return assertNever(write);
  }
}

function toConflict(writes: readonly RecordWrite[], failed: ConditionFailed): RecordConflict {
  const write = writes[failed.index];
  invariant(write !== undefined, `the store named write ${failed.index} of ${writes.length}`);
  return { code: 'CONDITION_FAILED', index: failed.index, current: toStored(write.entity, failed.current) };
}
