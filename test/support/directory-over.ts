import type { MetadataStore, Records } from '../../shared/ports.ts';
import { createDirectory } from '../../shared/store/directory.ts';
import type { DirectoryWithPages } from '../../shared/store/directory.ts';
import type { StoreWorld } from './store.ts';

/** A cold directory over the world's store, some of whose reads, commits or store calls go otherwise. */
export const directoryOver = (
  world: StoreWorld,
  records: Partial<Records>,
  store: Partial<MetadataStore> = {},
): DirectoryWithPages =>
  createDirectory({
    store: {
      get: (key) => world.store.get(key),
      getMany: (keys) => world.store.getMany(keys),
      getSnapshot: (keys) => world.store.getSnapshot(keys),
      query: (request) => world.store.query(request),
      write: (write) => world.store.write(write),
      transact: (writes) => world.store.transact(writes),
      ...store,
    },
    records: { ...world.records, ...records },
    clock: world.clock,
    random: world.random,
  });
