import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import { invariant } from '../../shared/domain/result.ts';
import type { HybridTimestamp } from './hlc.ts';
import { HLC_ZERO } from './hlc.ts';
import {
  HISTORY_BYTES_MAX,
  HISTORY_ENTRIES_MAX,
  REMOVED_REPLICAS_MAX,
  WRITE_ID_RETENTION_MS,
  WRITE_IDS_MAX,
} from './history.ts';
import type { LogTable } from './log-table.ts';
import { integer } from './replica-table.ts';
import type { ReplicaTable } from './replica-table.ts';
import type { RowTable } from './row-table.ts';
import type {
  EngineTransaction,
  LogEntry,
  LogPosition,
  ReplicaMeta,
  ReplicaPatch,
  RowVersion,
  StagedSnapshot,
  WriteRecord,
} from './types.ts';

export interface Tables {
  readonly replicas: ReplicaTable;
  readonly log: LogTable;
  readonly rows: RowTable;
}

/** Tables that hold a copy's content, purged after it was destroyed. */
const CONTENT_TABLES = [
  { table: 'row_versions', key: 'storage_id, key, seq' },
  { table: 'log', key: 'storage_id, seq' },
  { table: 'writes', key: 'storage_id, write_id' },
] as const;

/** The operations on replicas, made of the single tables'. */
export abstract class EngineTables implements EngineTransaction {
  protected readonly tables: Tables;
  private readonly insertGarbage: StatementSync;
  private readonly deleteGarbage: StatementSync;
  private readonly selectGarbage: StatementSync;
  private readonly lastStorageId: StatementSync;
  private readonly insertRemoved: StatementSync;
  private readonly trimRemoved: StatementSync;
  private readonly selectRemoved: StatementSync;
  private readonly purgers: readonly StatementSync[];
  /** Snapshots that are being loaded: garbage unless swapped in, but not yet purged. */
  private readonly staging = new Set<number>();
  /** Bytes of log content by storage id, counted on first use. */
  private readonly logBytes = new Map<number, number>();

  constructor(db: DatabaseSync, tables: Tables) {
    this.tables = tables;
    this.insertGarbage = db.prepare('INSERT OR IGNORE INTO garbage (storage_id) VALUES (?)');
    this.deleteGarbage = db.prepare('DELETE FROM garbage WHERE storage_id = ?');
    this.selectGarbage = db.prepare('SELECT storage_id FROM garbage ORDER BY storage_id LIMIT 1000');
    this.lastStorageId = db.prepare(
      'SELECT max(coalesce((SELECT max(storage_id) FROM replicas), 0), coalesce((SELECT max(storage_id) FROM garbage), 0)) AS id',
    );
    this.insertRemoved = db.prepare('INSERT OR IGNORE INTO removed_replicas (replica_id) VALUES (?)');
    this.trimRemoved = db.prepare(
      `DELETE FROM removed_replicas WHERE number <= (SELECT max(number) FROM removed_replicas) - ${REMOVED_REPLICAS_MAX}`,
    );
    this.selectRemoved = db.prepare('SELECT 1 FROM removed_replicas WHERE replica_id = ?');
    this.purgers = CONTENT_TABLES.map(({ table, key }) =>
      db.prepare(
        `DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM ${table} WHERE storage_id = ? ORDER BY ${key} LIMIT ?)`,
      ),
    );
  }

  protected abstract guarded<T>(work: () => T): T;

  protected forgetSizes(): void {
    this.logBytes.clear();
  }

  releaseStaging(storageId: number): void {
    this.staging.delete(storageId);
  }

  replicas(): readonly ReplicaMeta[] {
    return this.tables.replicas.all();
  }

  replica(shardId: string): ReplicaMeta | undefined {
    return this.tables.replicas.get(shardId);
  }

  wasRemoved(replicaId: string): boolean {
    return this.guarded(() => this.selectRemoved.get(replicaId) !== undefined);
  }

  epochAt(meta: ReplicaMeta, seq: number): number | null {
    if (seq === meta.base.seq) return meta.base.epoch;
    if (seq === meta.last.seq) return meta.last.epoch;
    if (seq < meta.base.seq || seq > meta.last.seq) return null;
    return this.guarded(() => this.tables.log.epochAt(meta.storageId, seq));
  }

  firstSeqOfEpoch(meta: ReplicaMeta, epoch: number): number | null {
    return this.guarded(() => this.tables.log.firstSeqOfEpoch(meta.storageId, epoch));
  }

  entries(meta: ReplicaMeta, fromSeq: number, limit: { entries: number; bytes: number }): LogEntry[] {
    return this.guarded(() => this.tables.log.read(meta.storageId, fromSeq, limit));
  }

  write(meta: ReplicaMeta, writeId: string): WriteRecord | undefined {
    return this.guarded(() => this.tables.log.write(meta.storageId, writeId));
  }

  writes(meta: ReplicaMeta, afterSeq: number, atSeq: number, limit: number): WriteRecord[] {
    return this.guarded(() => this.tables.log.writes(meta.storageId, afterSeq, atSeq, limit));
  }

  row(meta: ReplicaMeta, key: string, atSeq: number): RowVersion | undefined {
    return this.guarded(() => this.tables.rows.get(meta.storageId, key, atSeq));
  }

  scan(meta: ReplicaMeta, range: { from: string; to: string | null }, atSeq: number, limit: number): RowVersion[] {
    return this.guarded(() => this.tables.rows.scan(meta.storageId, range, atSeq, limit));
  }

  createReplica(replica: {
    shardId: string;
    replicaId: string;
    storeUuid: string;
    descriptor: WireDescriptor;
    maxEpoch: number;
  }): ReplicaMeta {
    invariant(this.replica(replica.shardId) === undefined, `a replica of ${replica.shardId} exists`);
    const storageId = this.openStaging();
    this.deleteGarbage.run(storageId);
    this.staging.delete(storageId);
    return this.tables.replicas.put({
      ...replica,
      storageId,
      commitSeq: 0,
      receipt: null,
      intact: true,
      base: { epoch: 0, seq: 0 },
      last: { epoch: 0, seq: 0 },
      lastAt: HLC_ZERO,
      rows: 0,
      bytes: 0,
    });
  }

  patchReplica(shardId: string, patch: ReplicaPatch): ReplicaMeta {
    const before = this.tables.replicas.need(shardId);
    const after = { ...before, ...patch };
    invariant(after.maxEpoch >= before.maxEpoch, 'a promised epoch never falls (I-5)');
    invariant(after.commitSeq >= before.commitSeq && after.commitSeq <= after.last.seq, 'a commit never falls');
    return this.tables.replicas.put(after);
  }

  removeReplica(shardId: string): void {
    const meta = this.tables.replicas.need(shardId);
    this.tables.replicas.delete(shardId);
    this.insertGarbage.run(meta.storageId);
    this.insertRemoved.run(meta.replicaId);
    this.trimRemoved.run();
  }

  append(shardId: string, entries: readonly LogEntry[], commitSeq: number): ReplicaMeta {
    const before = this.tables.replicas.need(shardId);
    let { last, lastAt, rows, bytes } = before;
    let added = 0;
    for (const entry of entries) {
      invariant(entry.seq === last.seq + 1 && entry.epoch >= last.epoch, 'a log has no gap and epochs never fall');
      added += this.tables.log.append(before.storageId, entry);
      for (const change of entry.changes) {
        const delta = this.tables.rows.put(before.storageId, entry.seq, entry.at, change);
        rows += delta.rows;
        bytes += delta.bytes;
      }
      last = { epoch: entry.epoch, seq: entry.seq };
      lastAt = entry.at;
    }
    this.logBytes.set(before.storageId, this.bytesOfLog(before, added) + added);
    invariant(commitSeq <= last.seq, 'what is committed is in the log');
    const commit = Math.max(before.commitSeq, commitSeq);
    return this.tables.replicas.put({ ...before, last, lastAt, rows, bytes, commitSeq: commit });
  }

  truncate(shardId: string, seq: number): ReplicaMeta {
    const before = this.tables.replicas.need(shardId);
    invariant(seq >= before.commitSeq && seq >= before.base.seq, 'committed entries are never truncated');
    let { rows, bytes } = before;
    const dropped = this.tables.log.read(before.storageId, seq + 1, {
      entries: before.last.seq - seq,
      bytes: Infinity,
    });
    for (const entry of dropped.reverse()) {
      for (const key of new Set(entry.changes.map((change) => change.key))) {
        const delta = this.tables.rows.undo(before.storageId, entry.seq, key);
        rows += delta.rows;
        bytes += delta.bytes;
      }
    }
    const kept = this.tables.log.read(before.storageId, seq, { entries: 1, bytes: Infinity })[0];
    this.tables.log.dropAbove(before.storageId, seq);
    this.logBytes.delete(before.storageId);
    // At the base the entry is gone: its timestamp is unknown, the dropped ones' is above it and safe.
    const at = kept === undefined || kept.seq !== seq ? { last: before.base, lastAt: before.lastAt } : atOf(kept);
    return this.tables.replicas.put({ ...before, ...at, rows, bytes });
  }

  compact(shardId: string, maxEntries: number, keepFromSeq: number): number {
    const before = this.tables.replicas.need(shardId);
    const { storageId, base } = before;
    const droppable = Math.min(before.commitSeq, keepFromSeq - 1) - base.seq;
    const bytesOver = this.bytesOfLog(before, 0) - HISTORY_BYTES_MAX;
    const entriesOver = before.last.seq - base.seq - HISTORY_ENTRIES_MAX;
    if (droppable <= 0 || (entriesOver <= 0 && bytesOver <= 0)) return 0;
    const candidates = this.tables.log.read(storageId, base.seq + 1, {
      entries: Math.min(droppable, maxEntries, bytesOver > 0 ? maxEntries : entriesOver),
      bytes: Infinity,
    });
    const last = candidates.at(-1);
    if (last === undefined) return 0;
    for (const key of new Set(candidates.flatMap((entry) => entry.changes.map((change) => change.key))))
      this.tables.rows.forget(storageId, key, last.seq);
    this.logBytes.set(storageId, this.bytesOfLog(before, 0) - this.tables.log.dropUpTo(storageId, last.seq));
    this.tables.log.forgetWrites(storageId, last, before.lastAt.wallMs - WRITE_ID_RETENTION_MS, WRITE_IDS_MAX);
    this.tables.replicas.put({ ...before, base: { epoch: last.epoch, seq: last.seq } });
    return candidates.length;
  }

  openStaging(): number {
    const row = this.lastStorageId.get();
    const storageId = (row === undefined ? 0 : integer(row, 'id')) + 1;
    this.insertGarbage.run(storageId);
    this.staging.add(storageId);
    return storageId;
  }

  stage(storageId: number, rows: readonly RowVersion[], writes: readonly WriteRecord[]): void {
    for (const row of rows) this.tables.rows.load(storageId, row);
    for (const write of writes) this.tables.log.remember(storageId, write);
  }

  swapIn(shardId: string, storageId: number, snapshot: StagedSnapshot): ReplicaMeta {
    const before = this.tables.replicas.need(shardId);
    const { at, time, storeUuid, rows, bytes } = snapshot;
    invariant(at.seq >= before.commitSeq, 'a snapshot never takes back a commit');
    invariant(this.deleteGarbage.run(storageId).changes === 1, 'only a staged snapshot is swapped in');
    this.insertGarbage.run(before.storageId);
    const content = { storageId, storeUuid, base: at, last: at, lastAt: time, commitSeq: at.seq, rows, bytes };
    return this.tables.replicas.put({ ...before, ...content, intact: true });
  }

  purge(maxRows: number): boolean {
    const storageId = this.selectGarbage
      .all()
      .map((row) => integer(row, 'storage_id'))
      .find((id) => !this.staging.has(id));
    if (storageId === undefined) return false;
    for (const purger of this.purgers) if (purger.run(storageId, maxRows).changes > 0) return true;
    this.deleteGarbage.run(storageId);
    return true;
  }

  private bytesOfLog(meta: ReplicaMeta, justAdded: number): number {
    return this.logBytes.get(meta.storageId) ?? this.tables.log.size(meta.storageId).bytes - justAdded;
  }
}

const atOf = (entry: LogEntry): { last: LogPosition; lastAt: HybridTimestamp } => ({
  last: { epoch: entry.epoch, seq: entry.seq },
  lastAt: entry.at,
});
