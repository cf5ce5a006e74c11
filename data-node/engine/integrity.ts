import type { DatabaseSync } from 'node:sqlite';
import type { LogTable } from './log-table.ts';
import { text } from './replica-table.ts';
import { FORMAT } from './schema.ts';
import { StorageError } from './storage-error.ts';
import type { ReplicaMeta } from './types.ts';

/** Entries at a log's end whose checksums are verified when a file is opened; older ones are verified when they are read. */
const TAIL_ENTRIES_CHECKED = 1_000;
const TAIL_BYTES_CHECKED = 64 * 1024 * 1024;

/** Throws StorageError CORRUPT if SQLite finds its structures damaged: page by page, so the time grows with the file. */
export function checkStructure(db: DatabaseSync): void {
  const findings = db
    .prepare('PRAGMA quick_check(5)')
    .all()
    .map((row) => text(row, 'quick_check'));
  if (findings.length === 1 && findings[0] === 'ok') return;
  throw new StorageError('CORRUPT', `the integrity check found: ${findings.join('; ')}`);
}

/** Throws StorageError if the file was written by another format of this program. */
export function checkFormat(db: DatabaseSync): void {
  db.prepare("INSERT OR IGNORE INTO meta (key, value) VALUES ('format', ?)").run(FORMAT);
  const row = db.prepare("SELECT value FROM meta WHERE key = 'format'").get();
  const format = row === undefined ? '' : text(row, 'value');
  if (format !== FORMAT)
    throw new StorageError('CORRUPT', `the file has format ${format}, this program reads ${FORMAT}`);
}

/** Throws StorageError CORRUPT if a log does not end where its record says, has a gap at its end, or fails a checksum there. */
export function checkLog(log: LogTable, meta: ReplicaMeta): void {
  const from = Math.max(meta.base.seq + 1, meta.last.seq - TAIL_ENTRIES_CHECKED + 1);
  const size = log.size(meta.storageId);
  if (size.entries !== meta.last.seq - meta.base.seq || (size.entries > 0 && size.last !== meta.last.seq))
    throw new StorageError('CORRUPT', `the log of shard ${meta.shardId} does not match its record`);
  const tail = log.read(meta.storageId, from, { entries: TAIL_ENTRIES_CHECKED, bytes: TAIL_BYTES_CHECKED });
  tail.forEach((entry, index) => {
    if (entry.seq !== from + index) throw new StorageError('CORRUPT', `the log of shard ${meta.shardId} has a gap`);
  });
  if (meta.commitSeq > meta.last.seq || meta.commitSeq < meta.base.seq)
    throw new StorageError('CORRUPT', `the record of shard ${meta.shardId} contradicts its log`);
}
