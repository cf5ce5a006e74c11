import { DatabaseSync } from 'node:sqlite';
import type { StatementSync } from 'node:sqlite';
import { revision } from '../domain/ids.ts';
import { Bug } from '../domain/result.ts';
import { StoreError } from '../ports.ts';
import type { ItemKey, QueryRequest, StoreTable, StoredItem } from '../ports.ts';
import { itemBytes } from './limits.ts';
import type { StoredItems } from './embedded-store.ts';
import type { QueryWindow } from './query-window.ts';

const TABLES: readonly StoreTable[] = ['topology', 'liveness', 'catalog', 'operations', 'access', 'events'];
/** Layout of the file. A file of a later release is refused. */
const FILE_FORMAT = 1;
/** Milliseconds that a statement waits while another process holds the file. */
const BUSY_TIMEOUT_MS = 2_000;

/** UTF-8 bytes of one UTF-16 unit, at most. */
const UTF8_BYTES_PER_UNIT = 3;
/** Bytes of an item besides keys and body, at most: revision and write id. */
const ROW_BYTES = 100;

interface Row {
  readonly sk: string;
  readonly rev: number;
  readonly w: string;
  readonly body: string;
}

/** Stored items in SQLite tables: reads and writes without conditions. One table for each StoreTable, items as JSON. */
export class SqliteItems implements StoredItems {
  readonly #db: DatabaseSync;
  /** Prepared once; the number of texts is bounded by tables x shapes of statement. */
  readonly #statements = new Map<string, StatementSync>();

  /** `path`: a file, or ':memory:'. Throws StoreError UNAVAILABLE if it can't be opened. */
  constructor(path: string) {
    this.#db = guarded(() => open(path));
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }

  /** Runs `work` in one SQLite transaction; nothing of it stays if it throws. */
  atomically<T>(work: () => T): T {
    return guarded(() => {
      this.#prepared('BEGIN IMMEDIATE').run();
      try {
        const result = work();
        this.#prepared('COMMIT').run();
        return result;
      } catch (error) {
        if (this.#db.isTransaction) this.#prepared('ROLLBACK').run();
        throw error;
      }
    });
  }

  read(key: ItemKey): StoredItem | null {
    const select = this.#prepared(`SELECT sk, rev, w, body FROM ${key.table} WHERE pk = ? AND sk = ?`);
    const row = guarded(() => select.get(key.pk, key.sk)) as Row | undefined;
    return row === undefined ? null : toItem(key.table, key.pk, row);
  }

  put(item: StoredItem): StoredItem {
    const { key } = item;
    const upsert = this.#prepared(
      `INSERT INTO ${key.table} (pk, sk, rev, w, body) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (pk, sk) DO UPDATE SET rev = excluded.rev, w = excluded.w, body = excluded.body`,
    );
    guarded(() => upsert.run(key.pk, key.sk, item.revision, item.writeId, JSON.stringify(item.body)));
    return item;
  }

  remove(key: ItemKey): void {
    guarded(() => this.#prepared(`DELETE FROM ${key.table} WHERE pk = ? AND sk = ?`).run(key.pk, key.sk));
  }

  /** Up to `limit` items of the window in the order of the request, and no more than `bytesMax` bytes, but at least one. */
  range(
    request: QueryRequest,
    window: QueryWindow,
    limits: { limit: number; bytesMax: number },
  ): { items: StoredItem[]; cutByBytes: boolean } {
    const [lower, upper] = bounds(request, window);
    const conditions = ['pk = ?'];
    const values = [request.pk];
    for (const bound of [lower, upper]) {
      if (bound === null) continue;
      conditions.push(`sk ${bound.operator} ?`);
      values.push(bound.sk);
    }
    const direction = request.order === 'forward' ? 'ASC' : 'DESC';
    const select = this.#prepared(
      `SELECT sk, rev, w, body FROM ${request.table} WHERE ${conditions.join(' AND ')} ORDER BY sk ${direction} LIMIT ?`,
    );
    return guarded(() => {
      const items: StoredItem[] = [];
      let bytesAtMost = 0;
      let bytes: number | null = null;
      for (const row of select.iterate(...values, limits.limit) as unknown as Iterable<Row>) {
        const item = toItem(request.table, request.pk, row);
        bytesAtMost += UTF8_BYTES_PER_UNIT * (request.pk.length + row.sk.length + row.body.length) + ROW_BYTES;
        // Sizes are counted only when they can matter: counting costs as much as reading.
        if (bytesAtMost > limits.bytesMax) {
          bytes = (bytes ?? sizeOf(items)) + sizeOf([item]);
          if (bytes > limits.bytesMax && items.length > 0) return { items, cutByBytes: true };
        }
        items.push(item);
      }
      return { items, cutByBytes: false };
    });
  }

  #prepared(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = guarded(() => this.#db.prepare(sql));
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

interface Bound {
  readonly operator: '>' | '>=' | '<' | '<=';
  readonly sk: string;
}

function bounds(request: QueryRequest, window: QueryWindow): [Bound | null, Bound | null] {
  const from: Bound | null = window.from === null ? null : { operator: '>=', sk: window.from };
  const to: Bound | null = window.to === null ? null : { operator: '<=', sk: window.to };
  if (window.after === null) return [from, to];
  return request.order === 'forward'
    ? [{ operator: '>', sk: window.after }, to]
    : [from, { operator: '<', sk: window.after }];
}

const sizeOf = (items: readonly StoredItem[]): number =>
  items.reduce((sum, item) => sum + itemBytes(item.key, item.body), 0);

function toItem(table: StoreTable, pk: string, row: Row): StoredItem {
  return {
    key: { table, pk, sk: row.sk },
    revision: revision(row.rev),
    writeId: row.w,
    body: JSON.parse(row.body) as StoredItem['body'],
  };
}

function open(path: string): DatabaseSync {
  const db = new DatabaseSync(path);
  db.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;`);
  const format = Number(db.prepare('PRAGMA user_version').get()?.['user_version']);
  if (format > FILE_FORMAT) {
    db.close();
    throw new Bug(`${path} has format ${format}, made by a later release; this one reads up to ${FILE_FORMAT}`);
  }
  const columns = 'pk TEXT NOT NULL, sk TEXT NOT NULL, rev INTEGER NOT NULL, w TEXT NOT NULL, body TEXT NOT NULL';
  for (const table of TABLES)
    db.exec(`CREATE TABLE IF NOT EXISTS ${table} (${columns}, PRIMARY KEY (pk, sk)) STRICT, WITHOUT ROWID`);
  db.exec(`PRAGMA user_version = ${FILE_FORMAT}`);
  return db;
}

/** Turns errors of SQLite (disk full, file locked, I/O) into StoreError. They fail `instanceof Error` inside jest: told by code. */
function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: unknown };
    if (code !== 'ERR_SQLITE_ERROR') throw error;
    throw new StoreError('UNAVAILABLE', `SQLite: ${String(message)}`, { cause: error });
  }
}
