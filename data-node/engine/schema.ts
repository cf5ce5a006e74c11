/**
 * Tables of a node's database file. Keys are TEXT in SQLite's BINARY collation: the order of UTF-8 bytes, as domain/keys.ts has it. Tables with
 * large columns are rowid tables with an index of their keys: in a WITHOUT ROWID table every comparison on the way to a key reads the whole row that it
 * meets, overflow pages and all (sqlite.org/withoutrowid.html, "When To Use"), thirty times the reads for rows of 4 KB.
 */

/** Raised with every change of the tables, with a step in migration.ts; a file of a later format is refused. */
export const FORMAT = '3';

export const SCHEMA = `
  CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS replicas (
    shard_id TEXT PRIMARY KEY, replica_id TEXT NOT NULL, storage_id INTEGER NOT NULL, store_uuid TEXT NOT NULL,
    descriptor TEXT NOT NULL, max_epoch INTEGER NOT NULL, commit_seq INTEGER NOT NULL,
    receipt_epoch INTEGER, receipt_generation INTEGER, intact INTEGER NOT NULL,
    base_epoch INTEGER NOT NULL, base_seq INTEGER NOT NULL, last_epoch INTEGER NOT NULL, last_seq INTEGER NOT NULL,
    last_wall_ms INTEGER NOT NULL, last_counter INTEGER NOT NULL, live_rows INTEGER NOT NULL, live_bytes INTEGER NOT NULL,
    segments TEXT NOT NULL, inherited_writes TEXT NOT NULL, first_fork_seq INTEGER,
    checksum INTEGER NOT NULL
  );
  CREATE TABLE IF NOT EXISTS removed_replicas (number INTEGER PRIMARY KEY, replica_id TEXT NOT NULL UNIQUE);
  CREATE TABLE IF NOT EXISTS log (
    storage_id INTEGER NOT NULL, seq INTEGER NOT NULL, epoch INTEGER NOT NULL, write_id TEXT, fingerprint TEXT NOT NULL,
    changes TEXT NOT NULL, wall_ms INTEGER NOT NULL, counter INTEGER NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (storage_id, seq)
  );
  CREATE TABLE IF NOT EXISTS row_versions (
    rows_id INTEGER NOT NULL, key TEXT NOT NULL, seq INTEGER NOT NULL, wall_ms INTEGER NOT NULL, counter INTEGER NOT NULL,
    value TEXT, PRIMARY KEY (rows_id, key, seq)
  );
  CREATE TABLE IF NOT EXISTS writes (
    storage_id INTEGER NOT NULL, write_id TEXT NOT NULL, seq INTEGER NOT NULL, fingerprint TEXT NOT NULL,
    wall_ms INTEGER NOT NULL, counter INTEGER NOT NULL, PRIMARY KEY (storage_id, write_id)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS writes_by_seq ON writes (storage_id, seq);
  CREATE TABLE IF NOT EXISTS garbage (storage_id INTEGER PRIMARY KEY);
  CREATE TABLE IF NOT EXISTS garbage_rows (number INTEGER PRIMARY KEY, rows_id INTEGER NOT NULL, from_key TEXT NOT NULL, to_key TEXT);
`;
