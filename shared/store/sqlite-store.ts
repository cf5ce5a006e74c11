import { EmbeddedStore } from './embedded-store.ts';
import type { EmbeddedStoreOptions } from './embedded-store.ts';
import { SqliteItems } from './sqlite-items.ts';

export interface SqliteStoreOptions extends EmbeddedStoreOptions {
  /** A file, or ':memory:'. */
  readonly path: string;
}

/** The embedded store over Node's built-in SQLite: a file for one machine, ':memory:' for tests (its binary collation orders sort keys). */
export class SqliteStore extends EmbeddedStore {
  constructor(options: SqliteStoreOptions) {
    super(new SqliteItems(options.path), options);
  }
}
