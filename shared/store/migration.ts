import { isDeepStrictEqual } from 'node:util';
import type { Json } from '../domain/records.ts';
import { Bug, err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { EntityKind, EntityPartition, ItemWrite, MetadataStore, StoredItem } from '../ports.ts';
import { VERSION_FIELD } from './codec.ts';
import { entitySpec, sortBounds } from './entities.ts';

/**
 * Migrations of stored records: explicit, one kind and one schema version at a time, reversible (docs/upgrading.md). They run while the
 * cluster works, by the same conditional writes as everything else, and may be ended and run again at any point.
 */
export type Fields = { readonly [field: string]: Json };

export interface Migration<K extends EntityKind> {
  /** For messages and audit entries. */
  readonly name: string;
  readonly kind: K;
  /** Schema version that `up` starts from; it leads to the next one. */
  readonly fromVersion: number;
  /** Fields of a record without its version. Pure; `down(up(x))` is x for every record that stands in the store. */
  readonly up: (fields: Fields) => Fields;
  readonly down: (fields: Fields) => Fields;
  /**
   * Entity and number of the audit entry that goes with the write (I-16), by the record's revision after it; null for unaudited kinds.
   * Shards and leases are numbered by generation and node epoch, which a migration must not raise by itself: they change by their use cases.
   */
  readonly audit:
    ((fields: Fields, nextRevision: number) => { readonly entity: string; readonly number: number }) | null;
}

export interface MigrationRun<K extends EntityKind> {
  readonly direction: 'UP' | 'DOWN';
  readonly partition: EntityPartition<K>;
  /** 'COUNT' writes nothing. */
  readonly mode: 'WRITE' | 'COUNT';
  readonly nowMs: number;
}

export interface MigrationReport {
  /** Changed; in mode COUNT: that would be. */
  readonly migrated: number;
  /** Had the version already. */
  readonly done: number;
}

/** The record can't be taken back to what it is now: nothing of it was written. */
export interface NotReversible {
  readonly code: 'MIGRATION_NOT_REVERSIBLE';
  readonly sortKey: string;
}
/** The record kept changing. Run the migration again. */
export interface MigrationContended {
  readonly code: 'MIGRATION_CONTENDED';
  readonly sortKey: string;
}

/** Records of one page of the migration. */
const PAGE = 100;
/** Writes that one record may lose to the cluster's own before the run gives up. */
const ATTEMPTS_MAX = 10;
/** Pages of one partition: 100,000,000 records, more than a partition is meant to hold. */
const PAGES_MAX = 1_000_000;

/** Takes every record of a partition to the other version. Ends at the first that can't be: what was written before it stays. */
export async function migrate<K extends EntityKind>(
  store: MetadataStore,
  migration: Migration<K>,
  run: MigrationRun<K>,
): Promise<Result<MigrationReport, NotReversible | MigrationContended>> {
  const spec = entitySpec(migration.kind);
  const bounds = sortBounds(spec.sortPrefix);
  const pk = spec.partitionKey(run.partition);
  let migrated = 0;
  let done = 0;
  let after: string | undefined;
  for (let page = 0; page < PAGES_MAX; page++) {
    const found = await store.query({
      table: spec.table,
      pk,
      ...bounds,
      order: 'forward',
      limit: PAGE,
      ...(after === undefined ? {} : { after }),
    });
    for (const item of found.items) {
      const outcome = await migrateItem(store, migration, run, item);
      if (!outcome.ok) return outcome;
      if (outcome.value === 'MIGRATED') migrated++;
      else done++;
    }
    if (found.next === null) return ok({ migrated, done });
    after = found.next;
  }
  throw new Bug(`migration ${migration.name}: more than ${PAGES_MAX} pages in ${pk}`);
}

async function migrateItem<K extends EntityKind>(
  store: MetadataStore,
  migration: Migration<K>,
  run: MigrationRun<K>,
  first: StoredItem,
): Promise<Result<'MIGRATED' | 'DONE', NotReversible | MigrationContended>> {
  let item: StoredItem | null = first;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    if (item === null) return ok('DONE'); // removed meanwhile
    const changed = changedBody(migration, run.direction, item);
    if (!changed.ok) return changed;
    if (changed.value === null) return ok('DONE');
    if (run.mode === 'COUNT') return ok('MIGRATED');
    const written = await store.transact(writesOf(migration, run, item, changed.value));
    if (written.ok) return ok('MIGRATED');
    item = await store.get(first.key);
  }
  return err({ code: 'MIGRATION_CONTENDED', sortKey: first.key.sk });
}

/** The body in the other version; null if it has that already. */
function changedBody<K extends EntityKind>(
  { name, fromVersion, up, down }: Migration<K>,
  direction: 'UP' | 'DOWN',
  item: StoredItem,
): Result<StoredItem['body'] | null, NotReversible> {
  const [start, end] = direction === 'UP' ? [fromVersion, fromVersion + 1] : [fromVersion + 1, fromVersion];
  const { [VERSION_FIELD]: version, ...fields } = item.body;
  if (version === end) return ok(null);
  if (version !== start)
    throw new Bug(
      `migration ${name} leads from version ${start} to ${end}; ${item.key.sk} has ${JSON.stringify(version)}`,
    );
  const [there, back] = direction === 'UP' ? [up, down] : [down, up];
  const changed = there(fields);
  // Only the way up must lead back exactly: the way down leaves out what came after.
  if (direction === 'UP' && !isDeepStrictEqual({ ...back(changed) }, { ...fields }))
    return err({ code: 'MIGRATION_NOT_REVERSIBLE', sortKey: item.key.sk });
  return ok({ ...changed, [VERSION_FIELD]: end });
}

function writesOf<K extends EntityKind>(
  migration: Migration<K>,
  run: MigrationRun<K>,
  item: StoredItem,
  body: StoredItem['body'],
): ItemWrite[] {
  const put: ItemWrite = { kind: 'put', key: item.key, body, when: [{ kind: 'revision', is: item.revision }] };
  if (migration.audit === null) return [put];
  const { entity, number } = migration.audit(body, item.revision + 1);
  const audit = entitySpec('audit');
  const entry = {
    entity,
    number,
    action: `RECORD_MIGRATED_${run.direction}`,
    principal: 'system:migration',
    atMs: run.nowMs,
    detail: { migration: migration.name },
  };
  const key = {
    table: audit.table,
    pk: audit.partitionKey({ entity }),
    sk: audit.sortPrefix + audit.sortKey({ entity, number }),
  };
  return [put, { kind: 'put', key, body: audit.codec.encode(entry), when: [{ kind: 'absent' }] }];
}
