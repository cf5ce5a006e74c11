import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import { utf8Bytes } from '../../shared/domain/keys.ts';
import type { HybridTimestamp } from './hlc.ts';
import { integer, text, textOrNull } from './replica-table.ts';
import type { RowChange, RowVersion } from './types.ts';

/** What a change does to a replica's live rows and bytes. */
export interface SizeDelta {
  readonly rows: number;
  readonly bytes: number;
}

const NO_DELTA: SizeDelta = { rows: 0, bytes: 0 };

function toVersion(row: Record<string, SQLOutputValue>): RowVersion {
  return {
    key: text(row, 'key'),
    seq: integer(row, 'seq'),
    at: { wallMs: integer(row, 'wall_ms'), counter: integer(row, 'counter') },
    value: textOrNull(row, 'value'),
  };
}

const sizeOf = (version: { key: string; value: string | null } | undefined): SizeDelta =>
  version === undefined || version.value === null
    ? NO_DELTA
    : { rows: 1, bytes: utf8Bytes(version.key) + utf8Bytes(version.value) };

/** Row versions, written with their log entry; a reader sees those up to the commit sequence only (R5). */
export class RowTable {
  private readonly upsert: StatementSync;
  private readonly newest: StatementSync;
  private readonly newestSize: StatementSync;
  private readonly newestSeq: StatementSync;
  private readonly page: StatementSync;
  private readonly openPage: StatementSync;
  private readonly size: StatementSync;
  private readonly openSize: StatementSync;
  private readonly deleteVersion: StatementSync;
  private readonly deleteBelow: StatementSync;

  constructor(db: DatabaseSync) {
    // One batch may change a key twice: the last change wins, as the entry is one version.
    this.upsert = db.prepare(
      'INSERT OR REPLACE INTO row_versions (rows_id, key, seq, wall_ms, counter, value) VALUES (?,?,?,?,?,?)',
    );
    const newestOf = (columns: string): string =>
      `SELECT ${columns} FROM row_versions WHERE rows_id = ? AND key = ? AND seq <= ? ORDER BY seq DESC LIMIT 1`;
    this.newest = db.prepare(newestOf('*'));
    // Without the value itself: writing and forgetting a row do not read it from its pages.
    this.newestSize = db.prepare(newestOf('octet_length(value) AS size'));
    this.newestSeq = db.prepare(newestOf('seq, value IS NULL AS gone'));
    // A skip scan: one index seek for each key, however many versions it has.
    const scan = (end: string): string => `
      WITH RECURSIVE k(key) AS (
        SELECT * FROM (SELECT min(key) FROM row_versions WHERE rows_id = :id AND key >= :from ${end})
        UNION ALL
        SELECT (SELECT min(key) FROM row_versions WHERE rows_id = :id AND key > k.key ${end}) FROM k WHERE k.key IS NOT NULL
        LIMIT :limit
      )
      SELECT k.key AS key, coalesce(v.seq, 0) AS seq, coalesce(v.wall_ms, 0) AS wall_ms, coalesce(v.counter, 0) AS counter, v.value AS value
      FROM k LEFT JOIN row_versions v ON v.rows_id = :id AND v.key = k.key
        AND v.seq = (SELECT max(seq) FROM row_versions WHERE rows_id = :id AND key = k.key AND seq <= :at)
      WHERE k.key IS NOT NULL ORDER BY k.key`;
    // One pass in key order; with max(seq) SQLite takes the other columns from the newest version (lang_select.html, bare columns).
    const size = (end: string): string => `
      SELECT count(*) AS keys, count(size) AS live, max(key) AS last_key, coalesce(sum(octet_length(key) + size), 0) AS bytes
      FROM (
        SELECT key, max(seq), octet_length(value) AS size FROM row_versions
        WHERE rows_id = :id AND key >= :from ${end} GROUP BY key ORDER BY key LIMIT :limit
      )`;
    this.size = db.prepare(size('AND key < :to'));
    this.openSize = db.prepare(size(''));
    this.page = db.prepare(scan('AND key < :to'));
    this.openPage = db.prepare(scan(''));
    this.deleteVersion = db.prepare('DELETE FROM row_versions WHERE rows_id = ? AND key = ? AND seq = ?');
    this.deleteBelow = db.prepare('DELETE FROM row_versions WHERE rows_id = ? AND key = ? AND seq < ?');
  }

  get(rowsId: number, key: string, atSeq: number): RowVersion | undefined {
    const row = this.newest.get(rowsId, key, atSeq);
    return row === undefined ? undefined : toVersion(row);
  }

  scan(rowsId: number, range: { from: string; to: string | null }, atSeq: number, limit: number): RowVersion[] {
    const common = { id: rowsId, from: range.from, at: atSeq, limit };
    const rows = range.to === null ? this.openPage.all(common) : this.page.all({ ...common, to: range.to });
    return rows.map(toVersion);
  }

  put(rowsId: number, seq: number, at: HybridTimestamp, change: RowChange): SizeDelta {
    const before = this.sizeAt(rowsId, change.key, seq);
    this.load(rowsId, { key: change.key, seq, at, value: change.value });
    const after = sizeOf(change);
    return { rows: after.rows - before.rows, bytes: after.bytes - before.bytes };
  }

  load(rowsId: number, version: RowVersion): void {
    const { key, seq, at, value } = version;
    this.upsert.run(rowsId, key, seq, at.wallMs, at.counter, value);
  }

  /** Undoes `put` of the newest version. */
  undo(rowsId: number, seq: number, key: string): SizeDelta {
    const gone = this.get(rowsId, key, seq);
    if (gone?.seq !== seq) return NO_DELTA;
    this.deleteVersion.run(rowsId, key, seq);
    const before = sizeOf(gone);
    const after = sizeOf(this.get(rowsId, key, seq));
    return { rows: after.rows - before.rows, bytes: after.bytes - before.bytes };
  }

  /** Newest versions of the first `limit` keys, summed up. */
  measure(
    rowsId: number,
    range: { from: string; to: string | null },
    limit: number,
  ): { rows: number; bytes: number; keys: number; lastKey: string | null } {
    const common = { id: rowsId, from: range.from, limit };
    const sums = range.to === null ? this.openSize.get(common) : this.size.get({ ...common, to: range.to });
    if (sums === undefined) return { rows: 0, bytes: 0, keys: 0, lastKey: null };
    return {
      rows: integer(sums, 'live'),
      bytes: integer(sums, 'bytes'),
      keys: integer(sums, 'keys'),
      lastKey: textOrNull(sums, 'last_key'),
    };
  }

  /** Drops versions of `key` that no read at or above `horizonSeq` can see; a tombstone at the horizon goes too. */
  forget(rowsId: number, key: string, horizonSeq: number): void {
    const newest = this.newestSeq.get(rowsId, key, horizonSeq);
    if (newest === undefined) return;
    const seq = integer(newest, 'seq');
    this.deleteBelow.run(rowsId, key, seq);
    if (integer(newest, 'gone') === 1) this.deleteVersion.run(rowsId, key, seq);
  }

  private sizeAt(rowsId: number, key: string, atSeq: number): SizeDelta {
    const row = this.newestSize.get(rowsId, key, atSeq);
    return row === undefined || row['size'] === null
      ? NO_DELTA
      : { rows: 1, bytes: utf8Bytes(key) + integer(row, 'size') };
  }
}
