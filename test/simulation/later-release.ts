import type { ItemWrite, MetadataStore, StoredItem } from '../../shared/ports.ts';
import type { CommittedWrite } from '../../shared/store/faults.ts';

/**
 * Two releases side by side (docs/upgrading.md): some processes are of the next one, whose records are one schema version ahead and have a
 * field that this release does not know. This release must read them, and write the field back with what it changes.
 */

const FIELD_OF_NEXT_RELEASE = 'ofNextRelease';

/** The store as a process of the next release writes it. */
export function storeOfNextRelease(store: MetadataStore): MetadataStore {
  const ahead = <W extends ItemWrite>(write: W): W =>
    write.kind !== 'put' || FIELD_OF_NEXT_RELEASE in write.body
      ? write
      : { ...write, body: { ...write.body, v: Number(write.body['v']) + 1, [FIELD_OF_NEXT_RELEASE]: { since: 1 } } };
  return {
    get: (key) => store.get(key),
    getMany: (keys) => store.getMany(keys),
    getSnapshot: (keys) => store.getSnapshot(keys),
    query: (request) => store.query(request),
    write: (write) => store.write(ahead(write)),
    transact: (writes) => store.transact(writes.map(ahead)),
  };
}

/** Tables whose records are facts that outlive a process: observations and deliveries are made anew by whoever makes them. */
const TABLES_OF_FACTS: ReadonlySet<string> = new Set(['topology', 'catalog']);

/** Names of records from which the commit took what the next release had put there. */
export function fieldsDropped(writes: readonly CommittedWrite[]): readonly string[] {
  const isAhead = (item: StoredItem | null): boolean => item !== null && FIELD_OF_NEXT_RELEASE in item.body;
  return writes
    .filter(({ key, before, after }) => {
      if (!TABLES_OF_FACTS.has(key.table) || !isAhead(before) || after === null) return false;
      return !isAhead(after) || Number(after.body['v']) < Number(before?.body['v']);
    })
    .map(({ key }) => `${key.table} ${key.pk} ${key.sk}`);
}
