import { DatabaseSync } from 'node:sqlite';
import type { StatementSync } from 'node:sqlite';
import { invariant } from '../../shared/domain/result.ts';
import type { DurableMeta } from '../ports.ts';
import { checkFormat, checkLog, checkStructure } from './integrity.ts';
import { LogTable } from './log-table.ts';
import { migrate } from './migration.ts';
import { ReplicaTable, text } from './replica-table.ts';
import { RowTable } from './row-table.ts';
import { SCHEMA } from './schema.ts';
import { asStorageError, StorageError } from './storage-error.ts';
import { EngineTables } from './transaction.ts';
import type { Durability, EngineReader, EngineTransaction } from './types.ts';

/**
 * A node's embedded storage engine: one SQLite file (WAL, synchronous FULL). Every transaction that is not LAZY is fsynced before it returns.
 * A storage failure is thrown as StorageError and leaves the state from before; after CORRUPT or IO the engine refuses
 * everything, since what an fsync failed to write is unknown.
 */
export interface Engine extends DurableMeta, EngineReader {
  /** Runs `change` in one transaction, FSYNCED unless told otherwise. Throws StorageError (nothing applied) or what `change` throws. */
  transaction<T>(change: (tx: EngineTransaction) => T, durability?: Durability): T;
  /** Gives up a place opened by `openStaging`, after the swap or instead of it. */
  releaseStaging(storageId: number): void;
  /** False: `purge` would find nothing. Looked at before a transaction begins for it. */
  mayHoldGarbage(): boolean;
  /** Begins to count the replica's rows from `fromKey` on, so that a fork there knows its sizes. In memory only. */
  beginCount(shardId: string, fromKey: string): void;
  /** Counts at most `limit` keys more. LOST: there is no such count any more, begin anew. Throws StorageError. */
  continueCount(shardId: string, limit: number): 'MORE' | 'DONE' | 'LOST';
  /** The failure after which the engine refuses everything; null while it works. */
  failure(): StorageError | null;
  close(): void;
}

export type EngineOptions = (
  | { readonly path: string }
  | { readonly memory: true }
  /** An open database that outlives the engine: it is the caller's to close, and no other engine may use it meanwhile. */
  | { readonly database: DatabaseSync }
) & {
  /** Bound of the file in pages of 4 KiB, for tests of a full disk; unbounded when missing. */
  readonly pageCountMax?: number;
};

/** Milliseconds to wait for another process that is just closing the file, before BUSY. */
const LOCK_WAIT_MS = 2_000;

/**
 * Pages kept in memory, KiB. SQLite's own 2 MB are 500 pages: rows at random keys then cost a read of the file for each page on their way.
 */
const PAGE_CACHE_KIB = 16 * 1024;

/**
 * Opens or creates the engine. Throws StorageError: CORRUPT for a damaged file (never served), BUSY when another process has
 * it open, IO when it can't be read or written.
 */
export function openEngine(options: EngineOptions): Engine {
  const lent = 'database' in options ? options.database : null;
  let db: DatabaseSync | null = lent;
  try {
    db ??= new DatabaseSync('path' in options ? options.path : ':memory:', { timeout: LOCK_WAIT_MS });
    // EXCLUSIVE: two processes on one directory would each believe in a log that the other changes.
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    db.exec(`PRAGMA cache_size = -${PAGE_CACHE_KIB}`);
    if (options.pageCountMax !== undefined) db.exec(`PRAGMA max_page_count = ${options.pageCountMax}`);
    checkStructure(db);
    db.exec('BEGIN IMMEDIATE');
    migrate(db);
    db.exec(SCHEMA);
    checkFormat(db);
    db.exec('COMMIT');
    return new SqliteEngine(db, lent === null ? 'OWNED' : 'LENT');
  } catch (error) {
    try {
      if (lent === null) db?.close();
    } catch {
      // The failure to open is what matters; a file that can't be closed is not held by the next process either.
    }
    throw asStorageError(error) ?? error;
  }
}

class SqliteEngine extends EngineTables implements Engine {
  private readonly db: DatabaseSync;
  private readonly ownership: 'OWNED' | 'LENT';
  private readonly begin: StatementSync;
  private readonly commit: StatementSync;
  private readonly selectMeta: StatementSync;
  private readonly upsertMeta: StatementSync;
  private broken: StorageError | null = null;
  private running = false;

  constructor(db: DatabaseSync, ownership: 'OWNED' | 'LENT') {
    super(db, { replicas: new ReplicaTable(db), log: new LogTable(db), rows: new RowTable(db) });
    this.db = db;
    this.ownership = ownership;
    this.begin = db.prepare('BEGIN IMMEDIATE');
    this.commit = db.prepare('COMMIT');
    this.selectMeta = db.prepare('SELECT value FROM meta WHERE key = ?');
    this.upsertMeta = db.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)');
    for (const meta of this.tables.replicas.all()) checkLog(this.tables.log, meta);
  }

  get(key: string): string | null {
    return this.guarded(() => {
      const row = this.selectMeta.get(`agent/${key}`);
      return row === undefined ? null : text(row, 'value');
    });
  }

  put(entries: Readonly<Record<string, string>>): void {
    invariant(!this.running, 'transactions do not nest');
    const [only, ...more] = Object.entries(entries);
    if (only === undefined) return;
    const write = ([key, value]: [string, string]): void => void this.upsertMeta.run(`agent/${key}`, value);
    // One statement is a transaction by itself: every heartbeat makes one.
    if (more.length === 0) this.guarded(() => write(only));
    else this.transaction(() => [only, ...more].forEach(write));
  }

  transaction<T>(change: (tx: EngineTransaction) => T, durability: Durability = 'FSYNCED'): T {
    invariant(!this.running, 'transactions do not nest');
    if (durability === 'FSYNCED') return this.run(change);
    // The next commit that is synced takes this one along: a sync is of the whole log (sqlite.org/pragma.html, synchronous).
    return this.guarded(() => {
      this.db.exec('PRAGMA synchronous = NORMAL');
      try {
        return this.run(change);
      } finally {
        if (this.broken === null) this.db.exec('PRAGMA synchronous = FULL');
      }
    });
  }

  private run<T>(change: (tx: EngineTransaction) => T): T {
    return this.guarded(() => {
      this.running = true;
      try {
        this.begin.run();
        const result = change(this);
        this.commit.run();
        this.tables.replicas.committed();
        return result;
      } catch (error) {
        this.rollBack();
        throw error;
      } finally {
        this.running = false;
      }
    });
  }

  failure(): StorageError | null {
    return this.broken;
  }

  close(): void {
    if (this.ownership === 'OWNED' && this.db.isOpen) this.db.close();
    this.broken ??= new StorageError('IO', 'the engine is closed');
  }

  private rollBack(): void {
    this.tables.replicas.rolledBack();
    this.garbage.rolledBack();
    this.forgetSizes();
    try {
      // SQLite ends the transaction itself after some failures (a full disk).
      if (this.db.isTransaction) this.db.exec('ROLLBACK');
    } catch (error) {
      this.broken =
        asStorageError(error) ?? new StorageError('IO', 'a transaction could not be undone', { cause: error });
    }
  }

  protected override guarded<T>(work: () => T): T {
    if (this.broken !== null) throw this.broken;
    try {
      return work();
    } catch (error) {
      const storage = asStorageError(error);
      if (storage === null) throw error;
      if (storage.code === 'CORRUPT' || storage.code === 'IO') this.broken = storage;
      throw storage;
    }
  }
}
