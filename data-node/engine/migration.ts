import { crc32 } from 'node:zlib';
import type { DatabaseSync } from 'node:sqlite';
import { integer, REPLICA_COLUMNS, text } from './replica-table.ts';
import { StorageError } from './storage-error.ts';

/** Columns of a replica's record that format 2 added at its end. */
const ADDED_IN_2 = 3;

/**
 * Brings a file of format 1 to format 2, inside the caller's transaction: rows get places of their own beside the log's number. A record
 * whose checksum fails is refused as it always was (StorageError CORRUPT), never given a new checksum.
 */
export function migrate(db: DatabaseSync): void {
  const known = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'meta'").get();
  if (known === undefined) return;
  const format = db.prepare("SELECT value FROM meta WHERE key = 'format'").get();
  if (format === undefined || text(format, 'value') !== '1') return;
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
