import { crc32 } from 'node:zlib';
import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import { utf8Bytes } from '../../shared/domain/keys.ts';
import { integer, text, textOrNull } from './replica-table.ts';
import { StorageError } from './storage-error.ts';
import type { LogEntry, LogPosition, RowChange, WriteRecord } from './types.ts';

/** Changes as stored: [key, value] pairs; `value` is JSON text or null. */
const packChanges = (changes: readonly RowChange[]): string =>
  JSON.stringify(changes.map((change) => [change.key, change.value]));

const unpackChanges = (packed: string): RowChange[] =>
  (JSON.parse(packed) as [string, string | null][]).map(([key, value]) => ({ key, value }));

const checksumOf = (entry: Omit<LogEntry, 'changes'>, changes: string): number =>
  crc32(
    `${entry.seq} ${entry.epoch} ${entry.writeId ?? ''} ${entry.fingerprint} ${entry.at.wallMs} ${entry.at.counter} ${changes}`,
  );

function toEntry(row: Record<string, SQLOutputValue>): LogEntry {
  const head = {
    seq: integer(row, 'seq'),
    epoch: integer(row, 'epoch'),
    writeId: textOrNull(row, 'write_id'),
    fingerprint: text(row, 'fingerprint'),
    at: { wallMs: integer(row, 'wall_ms'), counter: integer(row, 'counter') },
  };
  const changes = text(row, 'changes');
  if (checksumOf(head, changes) !== integer(row, 'checksum'))
    throw new StorageError('CORRUPT', `log entry ${head.epoch}.${head.seq} fails its checksum`);
  return { ...head, changes: unpackChanges(changes) };
}

/** Replication logs, and the write ids that are derived from them (R6). */
export class LogTable {
  private readonly insert: StatementSync;
  private readonly insertWrite: StatementSync;
  private readonly select: StatementSync;
  private readonly selectEpoch: StatementSync;
  private readonly selectFirstOfEpoch: StatementSync;
  private readonly selectWrite: StatementSync;
  private readonly selectWrites: StatementSync;
  private readonly deleteAbove: StatementSync;
  private readonly deleteWritesAbove: StatementSync;
  private readonly deleteUpTo: StatementSync;
  private readonly deleteWritesUpTo: StatementSync;
  private readonly sizes: StatementSync;
  private readonly sizeUpTo: StatementSync;

  constructor(db: DatabaseSync) {
    this.insert = db.prepare(
      'INSERT INTO log (storage_id, seq, epoch, write_id, fingerprint, changes, wall_ms, counter, checksum) VALUES (?,?,?,?,?,?,?,?,?)',
    );
    this.insertWrite = db.prepare(
      // REPLACE: replicas may forget an id at different times, and the leader that forgot accepts it anew.
      'INSERT OR REPLACE INTO writes (storage_id, write_id, seq, fingerprint, wall_ms, counter) VALUES (?,?,?,?,?,?)',
    );
    this.select = db.prepare('SELECT * FROM log WHERE storage_id = ? AND seq >= ? ORDER BY seq LIMIT ?');
    this.selectEpoch = db.prepare('SELECT epoch FROM log WHERE storage_id = ? AND seq = ?');
    this.selectFirstOfEpoch = db.prepare('SELECT min(seq) AS seq FROM log WHERE storage_id = ? AND epoch = ?');
    this.selectWrite = db.prepare('SELECT * FROM writes WHERE storage_id = ? AND write_id = ?');
    this.selectWrites = db.prepare(
      'SELECT * FROM writes WHERE storage_id = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?',
    );
    this.deleteAbove = db.prepare('DELETE FROM log WHERE storage_id = ? AND seq > ?');
    this.deleteWritesAbove = db.prepare('DELETE FROM writes WHERE storage_id = ? AND seq > ?');
    this.deleteUpTo = db.prepare('DELETE FROM log WHERE storage_id = ? AND seq <= ?');
    this.deleteWritesUpTo = db.prepare('DELETE FROM writes WHERE storage_id = ? AND seq <= ?');
    this.sizeUpTo = db.prepare(
      'SELECT coalesce(sum(octet_length(changes)), 0) AS bytes FROM log WHERE storage_id = ? AND seq <= ?',
    );
    this.sizes = db.prepare(
      'SELECT count(*) AS entries, coalesce(sum(octet_length(changes)), 0) AS bytes, coalesce(max(seq), 0) AS last FROM log WHERE storage_id = ?',
    );
  }

  /** Answers the bytes of content added. */
  append(storageId: number, entry: LogEntry): number {
    const changes = packChanges(entry.changes);
    const { seq, epoch, writeId, fingerprint, at } = entry;
    this.insert.run(
      storageId,
      seq,
      epoch,
      writeId,
      fingerprint,
      changes,
      at.wallMs,
      at.counter,
      checksumOf(entry, changes),
    );
    if (writeId !== null) this.remember(storageId, { writeId, seq, fingerprint, at });
    return utf8Bytes(changes);
  }

  remember(storageId: number, write: WriteRecord): void {
    const { writeId, seq, fingerprint, at } = write;
    this.insertWrite.run(storageId, writeId, seq, fingerprint, at.wallMs, at.counter);
  }

  read(storageId: number, fromSeq: number, limit: { entries: number; bytes: number }): LogEntry[] {
    const found: LogEntry[] = [];
    let bytes = 0;
    if (limit.entries === 1) {
      // What a follower lacks under a steady load: an iterator costs ten times as much as its one row.
      const row = this.select.get(storageId, fromSeq, 1);
      return row === undefined ? found : [toEntry(row)];
    }
    for (const row of this.select.iterate(storageId, fromSeq, limit.entries)) {
      bytes += text(row, 'changes').length;
      if (found.length > 0 && bytes > limit.bytes) break;
      found.push(toEntry(row));
    }
    return found;
  }

  epochAt(storageId: number, seq: number): number | null {
    const row = this.selectEpoch.get(storageId, seq);
    return row === undefined ? null : integer(row, 'epoch');
  }

  firstSeqOfEpoch(storageId: number, epoch: number): number | null {
    const row = this.selectFirstOfEpoch.get(storageId, epoch);
    return row === undefined || row['seq'] === null ? null : integer(row, 'seq');
  }

  write(storageId: number, writeId: string): WriteRecord | undefined {
    const row = this.selectWrite.get(storageId, writeId);
    return row === undefined ? undefined : toWrite(row);
  }

  writes(storageId: number, afterSeq: number, atSeq: number, limit: number): WriteRecord[] {
    return this.selectWrites.all(storageId, afterSeq, atSeq, limit).map(toWrite);
  }

  dropAbove(storageId: number, seq: number): void {
    this.deleteAbove.run(storageId, seq);
    this.deleteWritesAbove.run(storageId, seq);
  }

  /** Answers the bytes of content dropped. */
  dropUpTo(storageId: number, seq: number): number {
    const row = this.sizeUpTo.get(storageId, seq);
    this.deleteUpTo.run(storageId, seq);
    return row === undefined ? 0 : integer(row, 'bytes');
  }

  /**
   * Forgets write ids of entries up to `base` that are older than `beforeWallMs`, or more than `recordsMax` entries behind `base`. Looks at
   * what it forgets and at one record more: timestamps rise with the log, so that the oldest are the first. `atOnce`: ids forgotten by one
   * call at the most.
   */
  forgetWrites(
    storageId: number,
    base: LogPosition,
    old: { readonly beforeWallMs: number; readonly recordsMax: number; readonly atOnce: number },
  ): void {
    let upTo = -1;
    for (const row of this.selectWrites.iterate(storageId, -1, base.seq, old.atOnce)) {
      const { seq, at } = toWrite(row);
      if (at.wallMs >= old.beforeWallMs && seq > base.seq - old.recordsMax) break;
      upTo = seq;
    }
    if (upTo >= 0) this.deleteWritesUpTo.run(storageId, upTo);
  }

  size(storageId: number): { entries: number; bytes: number; last: number } {
    const row = this.sizes.get(storageId);
    if (row === undefined) return { entries: 0, bytes: 0, last: 0 };
    return { entries: integer(row, 'entries'), bytes: integer(row, 'bytes'), last: integer(row, 'last') };
  }
}

function toWrite(row: Record<string, SQLOutputValue>): WriteRecord {
  return {
    writeId: text(row, 'write_id'),
    seq: integer(row, 'seq'),
    fingerprint: text(row, 'fingerprint'),
    at: { wallMs: integer(row, 'wall_ms'), counter: integer(row, 'counter') },
  };
}
