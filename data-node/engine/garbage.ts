import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import { integer, text, textOrNull } from './replica-table.ts';
import type { ReplicaMeta } from './types.ts';
import { rangeOf, segmentsIn } from './key-range.ts';
import type { Range } from './key-range.ts';

/** Rows looked at for one piece of purging. */
const CANDIDATES_MAX = 1_000;

/**
 * Bytes of content deleted by one piece of purging, at least one row or entry: each page of a large value is visited and freed. A log of
 * batches of 1.8 MB, a hundred entries at once, held the node for 300 ms.
 */
const PIECE_BYTES_MAX = 256 * 1024;

const LAST_STORAGE_ID = 'last_storage_id';

/**
 * Storage numbers, and what destroyed copies left: logs and write ids by number, rows by number and key range, since the halves of a
 * split share a number. Deleted piecemeal.
 */
export class Garbage {
  /** Snapshots that are being loaded: garbage unless swapped in, but not yet purged. */
  private readonly staging = new Set<number>();
  /** False only if there is nothing to purge: found by looking, and nothing was given up or taken back since. */
  private maybe = true;
  private readonly insertLog: StatementSync;
  private readonly deleteLog: StatementSync;
  private readonly selectLogs: StatementSync;
  private readonly insertRows: StatementSync;
  private readonly deleteRows: StatementSync;
  private readonly deleteStaged: StatementSync;
  private readonly selectRows: StatementSync;
  private readonly lastId: StatementSync;
  private readonly keepLastId: StatementSync;
  private readonly selectLogPiece: StatementSync;
  private readonly purgeLog: StatementSync;
  private readonly purgeWrites: StatementSync;
  private readonly selectRowsPiece: StatementSync;
  private readonly selectOpenRowsPiece: StatementSync;
  private readonly purgeRows: StatementSync;

  constructor(db: DatabaseSync) {
    this.insertLog = db.prepare('INSERT OR IGNORE INTO garbage (storage_id) VALUES (?)');
    this.deleteLog = db.prepare('DELETE FROM garbage WHERE storage_id = ?');
    this.selectLogs = db.prepare(`SELECT storage_id FROM garbage ORDER BY storage_id LIMIT ${CANDIDATES_MAX}`);
    this.insertRows = db.prepare('INSERT INTO garbage_rows (rows_id, from_key, to_key) VALUES (?, ?, ?)');
    this.deleteRows = db.prepare('DELETE FROM garbage_rows WHERE number = ?');
    this.deleteStaged = db.prepare('DELETE FROM garbage_rows WHERE rows_id = ?');
    this.selectRows = db.prepare(`SELECT * FROM garbage_rows ORDER BY number LIMIT ${CANDIDATES_MAX}`);
    this.lastId = db.prepare('SELECT value FROM meta WHERE key = ?');
    this.keepLastId = db.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)');
    this.selectLogPiece = db.prepare(
      'SELECT seq, octet_length(changes) AS bytes FROM log WHERE storage_id = :id ORDER BY seq LIMIT :limit',
    );
    this.purgeLog = db.prepare('DELETE FROM log WHERE storage_id = :id AND seq <= :seq');
    this.purgeWrites = db.prepare(
      `DELETE FROM writes WHERE (storage_id, write_id) IN
        (SELECT storage_id, write_id FROM writes WHERE storage_id = :id ORDER BY storage_id, write_id LIMIT :limit)`,
    );
    const rowsPiece = (end: string): string =>
      `SELECT key, seq, octet_length(value) AS bytes FROM row_versions WHERE rows_id = :id AND key >= :from ${end}
        ORDER BY key, seq LIMIT :limit`;
    this.selectRowsPiece = db.prepare(rowsPiece('AND key < :to'));
    this.selectOpenRowsPiece = db.prepare(rowsPiece(''));
    this.purgeRows = db.prepare(
      'DELETE FROM row_versions WHERE rows_id = :id AND key >= :from AND (key, seq) <= (:key, :seq)',
    );
  }

  /** False: there is nothing to purge, so that no transaction need begin. */
  mayHold(): boolean {
    return this.maybe;
  }

  /** What a transaction had purged, or adopted, is back. */
  rolledBack(): void {
    this.maybe = true;
  }

  /** A number that was never used: what refers to an older one never finds another copy's content. */
  newStorageId(): number {
    const row = this.lastId.get(LAST_STORAGE_ID);
    const id = (row === undefined ? 0 : Number(text(row, 'value'))) + 1;
    this.keepLastId.run(LAST_STORAGE_ID, `${id}`);
    return id;
  }

  /** A number under which content is loaded: garbage until it is adopted. */
  openStaging(): number {
    const id = this.newStorageId();
    this.maybe = true;
    this.insertLog.run(id);
    this.insertRows.run(id, '', null);
    this.staging.add(id);
    return id;
  }

  releaseStaging(storageId: number): void {
    this.staging.delete(storageId);
  }

  /** Takes a staged number out of the garbage; false if it is none. */
  adopt(storageId: number): boolean {
    this.deleteStaged.run(storageId);
    return this.deleteLog.run(storageId).changes === 1;
  }

  /** Gives up a copy's log and its rows. */
  discard(meta: ReplicaMeta): void {
    this.discardLog(meta.storageId);
    this.discardRows(meta, rangeOf(meta));
  }

  /** Gives up a log alone; write ids that another copy inherited stay until it lets them go. */
  discardLog(storageId: number): void {
    this.maybe = true;
    this.insertLog.run(storageId);
  }

  discardRows(meta: ReplicaMeta, range: Range): void {
    this.maybe = true;
    for (const { rowsId, from, to } of segmentsIn(meta.segments, range)) this.insertRows.run(rowsId, from, to);
  }

  /** Deletes at most about `maxRows` rows; answers whether more may be left. Write ids that a forked copy still needs stay. */
  purge(maxRows: number, replicas: readonly ReplicaMeta[]): boolean {
    const givenUpRows = this.selectRows.all();
    for (const row of givenUpRows) {
      const id = integer(row, 'rows_id');
      if (this.staging.has(id)) continue;
      const from = text(row, 'from_key');
      const piece = { id, from, limit: maxRows };
      const to = textOrNull(row, 'to_key');
      const last = lastOfPiece(
        to === null ? this.selectOpenRowsPiece.iterate(piece) : this.selectRowsPiece.iterate({ ...piece, to }),
      );
      if (last === null) this.deleteRows.run(integer(row, 'number'));
      else this.purgeRows.run({ id, from, key: text(last, 'key'), seq: integer(last, 'seq') });
      return true;
    }
    const inherited = new Set(replicas.flatMap((meta) => meta.inheritedWrites.map(({ storageId }) => storageId)));
    const givenUpLogs = this.selectLogs.all();
    for (const row of givenUpLogs) {
      const id = integer(row, 'storage_id');
      if (this.staging.has(id)) continue;
      const last = lastOfPiece(this.selectLogPiece.iterate({ id, limit: maxRows }));
      if (last !== null) {
        this.purgeLog.run({ id, seq: integer(last, 'seq') });
        return true;
      }
      if (inherited.has(id)) continue;
      if (this.purgeWrites.run({ id, limit: maxRows }).changes === 0) this.deleteLog.run(id);
      return true;
    }
    // What is kept for now, a snapshot that is being loaded or inherited write ids, may be let go without a word.
    this.maybe = givenUpRows.length > 0 || givenUpLogs.length > 0;
    return false;
  }
}

/** The last row up to which a piece goes; null where there is none. */
function lastOfPiece(rows: Iterable<Record<string, SQLOutputValue>>): Record<string, SQLOutputValue> | null {
  let last: Record<string, SQLOutputValue> | null = null;
  let bytes = 0;
  for (const row of rows) {
    bytes += row['bytes'] === null ? 0 : integer(row, 'bytes');
    if (last !== null && bytes > PIECE_BYTES_MAX) break;
    last = row;
  }
  return last;
}
