import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import { invariant } from '../../shared/domain/result.ts';
import { forkReplica, shrinkReplica } from './fork.ts';
import { Garbage } from './garbage.ts';
import { giveUpParts, joinReplicas } from './join.ts';
import { findWrite, writesInOrder } from './write-memory.ts';
import type { HybridTimestamp } from './hlc.ts';
import { HLC_ZERO } from './hlc.ts';
import {
  COMPACT_BYTES_PER_BYTE_APPENDED,
  COMPACT_BYTES_PER_ENTRY,
  COMPACT_BYTES_SAVED_MAX,
  HISTORY_BYTES_MAX,
  HISTORY_ENTRIES_MAX,
  REMOVED_REPLICAS_MAX,
  WRITE_ID_RETENTION_MS,
  WRITE_IDS_MAX,
} from './history.ts';
import { covers, rangeOf, rowsIdOf, segmentsIn, within } from './key-range.ts';
import type { Range } from './key-range.ts';
import type { LogTable } from './log-table.ts';
import { RangeCounts } from './range-counts.ts';
import type { ReplicaTable } from './replica-table.ts';
import type { RowTable } from './row-table.ts';
import type {
  EngineTransaction,
  Fork,
  ForkResult,
  LogEntry,
  LogPosition,
  RangeSize,
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

/** The operations on replicas, made of the single tables'. */
export abstract class EngineTables implements EngineTransaction {
  readonly tables: Tables;
  readonly garbage: Garbage;
  readonly counts = new RangeCounts();
  private readonly insertRemoved: StatementSync;
  private readonly trimRemoved: StatementSync;
  private readonly selectRemoved: StatementSync;
  /** Bytes of log content by storage id, counted on first use. */
  private readonly logBytes = new Map<number, number>();
  /** Bytes of log content that may be dropped now, by storage id; below zero after a large entry. */
  private readonly mayDrop = new Map<number, number>();

  constructor(db: DatabaseSync, tables: Tables) {
    this.tables = tables;
    this.garbage = new Garbage(db);
    this.insertRemoved = db.prepare('INSERT OR IGNORE INTO removed_replicas (replica_id) VALUES (?)');
    this.trimRemoved = db.prepare(
      `DELETE FROM removed_replicas WHERE number <= (SELECT max(number) FROM removed_replicas) - ${REMOVED_REPLICAS_MAX}`,
    );
    this.selectRemoved = db.prepare('SELECT 1 FROM removed_replicas WHERE replica_id = ?');
  }

  protected abstract guarded<T>(work: () => T): T;

  protected forgetSizes(): void {
    this.logBytes.clear();
    this.mayDrop.clear();
    this.counts.clear();
  }

  releaseStaging(storageId: number): void {
    this.garbage.releaseStaging(storageId);
  }

  mayHoldGarbage(): boolean {
    return this.garbage.mayHold();
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
    if (fromSeq > meta.last.seq) return [];
    const entries = Math.min(limit.entries, meta.last.seq - fromSeq + 1);
    return this.guarded(() => this.tables.log.read(meta.storageId, fromSeq, { ...limit, entries }));
  }

  logSize(meta: ReplicaMeta): number {
    return this.guarded(() => this.bytesOfLog(meta, 0));
  }

  write(meta: ReplicaMeta, writeId: string): WriteRecord | undefined {
    return this.guarded(() => findWrite(this.tables.log, meta, writeId));
  }

  writes(meta: ReplicaMeta, afterSeq: number, atSeq: number, limit: number): WriteRecord[] {
    return this.guarded(() => writesInOrder(this.tables.log, meta, afterSeq, atSeq, limit));
  }

  row(meta: ReplicaMeta, key: string, atSeq: number): RowVersion | undefined {
    return this.guarded(() => this.tables.rows.get(rowsIdOf(meta.segments, key), key, atSeq));
  }

  scan(meta: ReplicaMeta, range: { from: string; to: string | null }, atSeq: number, limit: number): RowVersion[] {
    return this.guarded(() => {
      const found: RowVersion[] = [];
      for (const { rowsId, ...part } of this.partsOf(meta, range)) {
        found.push(...this.tables.rows.scan(rowsId, part, atSeq, limit - found.length));
        if (found.length >= limit) break;
      }
      return found;
    });
  }

  measure(meta: ReplicaMeta, range: Range, limit: number): RangeSize & { keys: number; lastKey: string | null } {
    return this.guarded(() => {
      const sum = { rows: 0, bytes: 0, keys: 0, lastKey: null as string | null };
      for (const { rowsId, ...part } of this.partsOf(meta, range)) {
        const found = this.tables.rows.measure(rowsId, part, limit - sum.keys);
        sum.rows += found.rows;
        sum.bytes += found.bytes;
        sum.keys += found.keys;
        sum.lastKey = found.lastKey ?? sum.lastKey;
        if (sum.keys >= limit) break;
      }
      return sum;
    });
  }

  beginCount(shardId: string, fromKey: string): void {
    const { to } = rangeOf(this.tables.replicas.need(shardId));
    this.counts.begin(shardId, { from: fromKey, to });
  }

  continueCount(shardId: string, limit: number): 'MORE' | 'DONE' | 'LOST' {
    const meta = this.tables.replicas.get(shardId);
    const ahead = this.counts.ahead(shardId);
    if (meta === undefined || ahead === null) return this.counts.isDone(shardId) ? 'DONE' : 'LOST';
    const piece = this.measure(meta, ahead, limit);
    const done = piece.keys < limit;
    this.counts.counted(shardId, { ...piece, done });
    return done ? 'DONE' : 'MORE';
  }

  adoptCount(shardId: string): void {
    const meta = this.tables.replicas.need(shardId);
    const size = this.counts.size(shardId, rangeOf(meta));
    if (size !== null) this.tables.replicas.put({ ...meta, ...size });
    this.counts.end(shardId);
  }

  fork(parentShardId: string, fork: Fork): ForkResult {
    return forkReplica(this, parentShardId, fork);
  }

  shrink(shardId: string, descriptor: WireDescriptor): ReplicaMeta {
    return shrinkReplica(this, shardId, descriptor);
  }

  join(leftShardId: string, merged: WireDescriptor): ReplicaMeta {
    const { right_shard_id: rightShardId } = merged.merged_from ?? {};
    const right = rightShardId === undefined ? undefined : this.replica(rightShardId);
    const joined = joinReplicas(this, leftShardId, merged);
    if (right !== undefined) this.remember(right.replicaId);
    return joined;
  }

  giveUpParts(leftShardId: string, merged: WireDescriptor): ReplicaMeta {
    const { right_shard_id: rightShardId } = merged.merged_from ?? {};
    if (rightShardId !== undefined && this.replica(rightShardId) !== undefined) this.removeReplica(rightShardId);
    return giveUpParts(this, leftShardId, merged);
  }

  createReplica(replica: {
    shardId: string;
    replicaId: string;
    storeUuid: string;
    descriptor: WireDescriptor;
    maxEpoch: number;
  }): ReplicaMeta {
    invariant(this.replica(replica.shardId) === undefined, `a replica of ${replica.shardId} exists`);
    const storageId = this.garbage.newStorageId();
    return this.tables.replicas.put({
      ...replica,
      storageId,
      segments: [{ from: '', rowsId: storageId }],
      inheritedWrites: [],
      firstForkSeq: null,
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
    this.garbage.discard(meta);
    this.counts.end(shardId);
    this.remember(meta.replicaId);
  }

  /** The copy is gone for good: its id is never created again (R4). */
  private remember(replicaId: string): void {
    this.insertRemoved.run(replicaId);
    this.trimRemoved.run();
  }

  append(shardId: string, entries: readonly LogEntry[], commitSeq: number): ReplicaMeta {
    const before = this.tables.replicas.need(shardId);
    let { last, lastAt, rows, bytes } = before;
    const range = rangeOf(before);
    let added = 0;
    for (const entry of entries) {
      invariant(entry.seq === last.seq + 1 && entry.epoch >= last.epoch, 'a log has no gap and epochs never fall');
      added += this.tables.log.append(before.storageId, entry);
      for (const change of entry.changes) {
        // Left over from before a split: the right part's copy has this change in its own log.
        if (!covers(range, change.key)) continue;
        const delta = this.tables.rows.put(rowsIdOf(before.segments, change.key), entry.seq, entry.at, change);
        this.counts.changed(shardId, change.key, delta);
        rows += delta.rows;
        bytes += delta.bytes;
      }
      last = { epoch: entry.epoch, seq: entry.seq };
      lastAt = entry.at;
    }
    this.logBytes.set(before.storageId, this.bytesOfLog(before, added) + added);
    this.allow(before.storageId, added * COMPACT_BYTES_PER_BYTE_APPENDED);
    invariant(commitSeq <= last.seq, 'what is committed is in the log');
    const commit = Math.max(before.commitSeq, commitSeq);
    return this.tables.replicas.put({ ...before, last, lastAt, rows, bytes, commitSeq: commit });
  }

  truncate(shardId: string, seq: number): ReplicaMeta {
    const before = this.tables.replicas.need(shardId);
    invariant(seq >= before.commitSeq && seq >= before.base.seq, 'committed entries are never truncated');
    let { rows, bytes } = before;
    const range = rangeOf(before);
    const dropped = this.tables.log.read(before.storageId, seq + 1, {
      entries: before.last.seq - seq,
      bytes: Infinity,
    });
    for (const entry of dropped.reverse()) {
      for (const key of new Set(entry.changes.map((change) => change.key))) {
        if (!covers(range, key)) continue;
        const delta = this.tables.rows.undo(rowsIdOf(before.segments, key), entry.seq, key);
        this.counts.changed(shardId, key, delta);
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
    const allowed = this.allow(storageId, maxEntries * COMPACT_BYTES_PER_ENTRY);
    if (droppable <= 0 || (entriesOver <= 0 && bytesOver <= 0) || allowed <= 0) return 0;
    // At least one entry, however large: the next ones wait the longer.
    const candidates = this.tables.log.read(storageId, base.seq + 1, {
      entries: Math.min(droppable, maxEntries, bytesOver > 0 ? maxEntries : entriesOver),
      bytes: allowed,
    });
    const last = candidates.at(-1);
    if (last === undefined) return 0;
    const range = rangeOf(before);
    for (const key of new Set(candidates.flatMap((entry) => entry.changes.map((change) => change.key)))) {
      // What a right part inherited: it reads at its own base, the place of the fork, or above.
      const horizonSeq = covers(range, key) ? last.seq : Math.min(last.seq, before.firstForkSeq ?? 0);
      this.tables.rows.forget(rowsIdOf(before.segments, key), key, horizonSeq);
    }
    const dropped = this.tables.log.dropUpTo(storageId, last.seq);
    this.logBytes.set(storageId, this.bytesOfLog(before, 0) - dropped);
    this.allow(storageId, -dropped);
    const expiredMs = before.lastAt.wallMs - WRITE_ID_RETENTION_MS;
    this.tables.log.forgetWrites(storageId, last, {
      beforeWallMs: expiredMs,
      recordsMax: WRITE_IDS_MAX,
      atOnce: maxEntries,
    });
    const firstForkSeq = before.firstForkSeq !== null && before.firstForkSeq > last.seq ? before.firstForkSeq : null;
    this.tables.replicas.put({
      ...before,
      base: { epoch: last.epoch, seq: last.seq },
      firstForkSeq,
      inheritedWrites: before.inheritedWrites.filter(({ wallMs }) => wallMs >= expiredMs),
    });
    return candidates.length;
  }

  openStaging(): number {
    return this.garbage.openStaging();
  }

  stage(storageId: number, rows: readonly RowVersion[], writes: readonly WriteRecord[]): void {
    for (const row of rows) this.tables.rows.load(storageId, row);
    for (const write of writes) this.tables.log.remember(storageId, write);
  }

  swapIn(shardId: string, storageId: number, snapshot: StagedSnapshot): ReplicaMeta {
    const before = this.tables.replicas.need(shardId);
    const { at, time, storeUuid, rows, bytes } = snapshot;
    invariant(at.seq >= before.commitSeq, 'a snapshot never takes back a commit');
    invariant(this.garbage.adopt(storageId), 'only a staged snapshot is swapped in');
    this.garbage.discard(before);
    this.counts.end(shardId);
    const places = { storageId, segments: [{ from: '', rowsId: storageId }], inheritedWrites: [], firstForkSeq: null };
    const content = { ...places, storeUuid, base: at, last: at, lastAt: time, commitSeq: at.seq, rows, bytes };
    return this.tables.replicas.put({ ...before, ...content, intact: true });
  }

  purge(maxRows: number): boolean {
    return this.garbage.purge(maxRows, this.tables.replicas.all());
  }

  /** The parts of `range` that are the replica's own, by row storage. */
  private partsOf(meta: ReplicaMeta, range: Range): (Range & { readonly rowsId: number })[] {
    const own = within(range, rangeOf(meta));
    return own === null ? [] : segmentsIn(meta.segments, own);
  }

  /** Adds to what compaction may drop, and answers it. */
  private allow(storageId: number, bytes: number): number {
    const allowed = Math.min(COMPACT_BYTES_SAVED_MAX, (this.mayDrop.get(storageId) ?? 0) + bytes);
    this.mayDrop.set(storageId, allowed);
    return allowed;
  }

  private bytesOfLog(meta: ReplicaMeta, justAdded: number): number {
    return this.logBytes.get(meta.storageId) ?? this.tables.log.size(meta.storageId).bytes - justAdded;
  }
}

const atOf = (entry: LogEntry): { last: LogPosition; lastAt: HybridTimestamp } => ({
  last: { epoch: entry.epoch, seq: entry.seq },
  lastAt: entry.at,
});
