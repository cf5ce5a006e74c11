import { crc32 } from 'node:zlib';
import type { DatabaseSync } from 'node:sqlite';
import { integer, REPLICA_COLUMNS, text } from './replica-table.ts';
import { SCHEMA } from './schema.ts';
import { StorageError } from './storage-error.ts';

/** Columns of a replica's record that format 2 added at its end. */
const ADDED_IN_2 = 3;

/** Columns of the tables that format 3 keeps in another layout, as in format 2. */
const REBUILT_IN_3 = {
  replicas: [...REPLICA_COLUMNS, 'checksum'],
  log: ['storage_id', 'seq', 'epoch', 'write_id', 'fingerprint', 'changes', 'wall_ms', 'counter', 'checksum'],
  row_versions: ['rows_id', 'key', 'seq', 'wall_ms', 'counter', 'value'],
};

/**
 * Brings a file of an earlier format to this one, step by step, inside the caller's transaction; the tables of this format are created after it.
 * Refuses with StorageError CORRUPT what fails its checksum.
 */
export function migrate(db: DatabaseSync): void {
  if (formatOf(db) === '1') toFormat2(db);
  if (formatOf(db) === '2') toFormat3(db);
}

/** Null for a new file. */
function formatOf(db: DatabaseSync): string | null {
  if (db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'meta'").get() === undefined) return null;
  const format = db.prepare("SELECT value FROM meta WHERE key = 'format'").get();
  return format === undefined ? null : text(format, 'value');
}

/**
 * Rows as they were, in tables of another layout (schema.ts). Every row is written anew, once: it takes as long as to copy the file, and as much
 * room on the disk again.
 */
function toFormat3(db: DatabaseSync): void {
  const tables = Object.entries(REBUILT_IN_3);
  for (const [table] of tables) db.exec(`ALTER TABLE ${table} RENAME TO ${table}_2`);
  db.exec(SCHEMA);
  for (const [table, columns] of tables) {
    const list = columns.join(', ');
    db.exec(`INSERT INTO ${table} (${list}) SELECT ${list} FROM ${table}_2; DROP TABLE ${table}_2`);
  }
  db.exec("UPDATE meta SET value = '3' WHERE key = 'format'");
}

/**
 * Brings a file of format 1 to format 2: rows get places of their own beside the log's number. A record
 * whose checksum fails is refused as it always was (StorageError CORRUPT), never given a new checksum.
 */
function toFormat2(db: DatabaseSync): void {
  const before = REPLICA_COLUMNS.slice(0, -ADDED_IN_2);
  const replicas = db.prepare('SELECT * FROM replicas').all();
  for (const row of replicas) {
    const found = crc32(JSON.stringify(before.map((column) => row[column])));
    if (found !== integer(row, 'checksum'))
      throw new StorageError('CORRUPT', `the record of shard ${text(row, 'shard_id')} fails its checksum`);
  }
  db.exec(`
    ALTER TABLE row_versions RENAME COLUMN storage_id TO rows_id;
    ALTER TABLE replicas ADD COLUMN segments TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE replicas ADD COLUMN inherited_writes TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE replicas ADD COLUMN first_fork_seq INTEGER;
    CREATE TABLE garbage_rows (number INTEGER PRIMARY KEY, rows_id INTEGER NOT NULL, from_key TEXT NOT NULL, to_key TEXT);
    INSERT INTO garbage_rows (rows_id, from_key) SELECT storage_id, '' FROM garbage;
    INSERT OR REPLACE INTO meta (key, value) SELECT 'last_storage_id', CAST(max(
      coalesce((SELECT max(storage_id) FROM replicas), 0), coalesce((SELECT max(storage_id) FROM garbage), 0)) AS TEXT);
    UPDATE meta SET value = '2' WHERE key = 'format';
  `);
  const update = db.prepare('UPDATE replicas SET segments = ?, checksum = ? WHERE shard_id = ?');
  for (const row of replicas) {
    const segments = JSON.stringify([{ from: '', rowsId: integer(row, 'storage_id') }]);
    const columns = [...before.map((column) => row[column]), segments, '[]', null];
    update.run(segments, crc32(JSON.stringify(columns)), text(row, 'shard_id'));
  }
}
