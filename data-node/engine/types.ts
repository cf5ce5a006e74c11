import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import type { HybridTimestamp } from './hlc.ts';

/** A place in a replication log (R5). Sequences have no gap; epochs never fall along the log. (0, 0) is before the first entry. */
export interface LogPosition {
  readonly epoch: number;
  readonly seq: number;
}

/** One row change of an entry. */
export interface RowChange {
  /** In the store's order-preserving encoding. */
  readonly key: string;
  /** JSON text; null deletes the row. */
  readonly value: string | null;
}

/** One entry of a replication log: a client's write, or a new leader's no-op (`writeId` null, no changes). */
export interface LogEntry extends LogPosition {
  readonly writeId: string | null;
  /** SHA-256 of the write's content in hex; tells a repeated write from a reused write id (R6). '' for a no-op. */
  readonly fingerprint: string;
  readonly changes: readonly RowChange[];
  readonly at: HybridTimestamp;
}

/** What a replica remembers of one client write, so that a repetition gets the first answer (R6). */
export interface WriteRecord {
  readonly writeId: string;
  readonly seq: number;
  readonly fingerprint: string;
  readonly at: HybridTimestamp;
}

/** The newest version of a row at some sequence. */
export interface RowVersion {
  readonly key: string;
  readonly seq: number;
  readonly at: HybridTimestamp;
  /** JSON text; null is a tombstone. */
  readonly value: string | null;
}

/** From `from` (inclusive) on, up to the next segment, a replica's rows are stored under `rowsId`. */
export interface RowSegment {
  readonly from: string;
  readonly rowsId: number;
}

/** Write ids up to `uptoSeq` that a copy remembers in the log storage of a copy that it was forked from, or joined of (R6). */
export interface InheritedWrites {
  readonly storageId: number;
  readonly uptoSeq: number;
  /** Timestamp of the entry at `uptoSeq`: past the retention the source is let go. */
  readonly wallMs: number;
}

/** Durable state of one replica, besides its log and rows. Immutable: a transaction puts a new one in its place. */
export interface ReplicaMeta {
  readonly shardId: string;
  readonly replicaId: string;
  /** Local number under which the log is stored; a snapshot is loaded under a new one and swapped in. */
  readonly storageId: number;
  /**
   * Where the rows are, by rising `from`; the first one starts at or below the range. A split's halves go on using one row storage
   * in disjoint ranges, so that a fork copies no row. A replica reads and writes inside its descriptor's range alone.
   */
  readonly segments: readonly RowSegment[];
  /** Rising `uptoSeq`; empty unless the copy was forked or joined. */
  readonly inheritedWrites: readonly InheritedWrites[];
  /** Lowest sequence at which a right part was forked off while the log still keeps entries from before; else null. */
  readonly firstForkSeq: number | null;
  /** Data directory in which the copy was written (L4, E4). */
  readonly storeUuid: string;
  /** Newest descriptor that was persisted. */
  readonly descriptor: WireDescriptor;
  /** The replica's promise: it accepts nothing of a lower epoch (I-5). */
  readonly maxEpoch: number;
  /** Entries up to here are committed; the log is never truncated below. */
  readonly commitSeq: number;
  /** Step-down receipt: bars leading at any epoch up to `epoch` (E2). */
  readonly receipt: { readonly epoch: number; readonly generation: number } | null;
  /** False after the directory changed its identity (wiped or rolled back, L4): no proof (E4), no leading, until a snapshot. */
  readonly intact: boolean;
  /** Last entry that the log no longer keeps; (0, 0) while it keeps all. */
  readonly base: LogPosition;
  /** Last entry of the log, or `base`. */
  readonly last: LogPosition;
  /** Timestamp of `last`. */
  readonly lastAt: HybridTimestamp;
  /** Live rows and their bytes (keys and values), counting what is not yet committed. */
  readonly rows: number;
  readonly bytes: number;
}

export type ReplicaPatch = Partial<
  Omit<ReplicaMeta, 'shardId' | 'replicaId' | 'storageId' | 'segments' | 'inheritedWrites' | 'firstForkSeq' | 'last'>
>;

/** What a fork makes of one copy: the shrunk parent and its right part (S1). */
export interface Fork {
  /** The parent's descriptor after the split. */
  readonly parent: WireDescriptor;
  /** It starts where the parent now ends, and ends where the parent ended. */
  readonly child: WireDescriptor;
  readonly childReplicaId: string;
  /** Committed up to here, as far as this node knows; at least the durable commit counts. */
  readonly commitSeq: number;
}

export interface ForkResult {
  readonly parent: ReplicaMeta;
  readonly child: ReplicaMeta;
  /** False: the sizes are estimates. */
  readonly counted: boolean;
}

/** Live rows and bytes of a key range of one replica. */
export interface RangeSize {
  readonly rows: number;
  readonly bytes: number;
}

/** What a staged snapshot stands for. */
export interface StagedSnapshot {
  readonly at: LogPosition;
  readonly time: HybridTimestamp;
  readonly storeUuid: string;
  readonly rows: number;
  readonly bytes: number;
}

/** Reads. They see what transactions have committed to disk. */
export interface EngineReader {
  replicas(): readonly ReplicaMeta[];
  replica(shardId: string): ReplicaMeta | undefined;
  /** True if the replica was once held and destroyed: it is never created again (R4). */
  wasRemoved(replicaId: string): boolean;
  /** Epoch of the entry at `seq`; null if the log does not reach there or no longer keeps it (the base's is known). */
  epochAt(meta: ReplicaMeta, seq: number): number | null;
  /** First sequence (above the base) of the run of entries that share the epoch of the entry at `seq`. */
  firstSeqOfEpoch(meta: ReplicaMeta, epoch: number): number | null;
  /** Entries from `fromSeq`, in order, up to a number and (beyond the first) a size of content. Throws StorageError if a checksum fails. */
  entries(meta: ReplicaMeta, fromSeq: number, limit: { readonly entries: number; readonly bytes: number }): LogEntry[];
  /** Bytes of content that the log keeps. */
  logSize(meta: ReplicaMeta): number;
  write(meta: ReplicaMeta, writeId: string): WriteRecord | undefined;
  /** Newest version of `key` at `atSeq`, tombstones included. */
  row(meta: ReplicaMeta, key: string, atSeq: number): RowVersion | undefined;
  /**
   * Newest versions at `atSeq` of the first `limit` keys in `[fromKey, toKey)`, tombstones and keys born later included
   * (`seq` 0, value null), so that a page's cost is bounded; fewer than `limit` means the range is done.
   */
  scan(meta: ReplicaMeta, range: { from: string; to: string | null }, atSeq: number, limit: number): RowVersion[];
  /**
   * Writes remembered at `atSeq`, by sequence, from above `afterSeq`: at least `limit` if there are; a little more where several have the
   * last one's sequence, as after a merge.
   */
  writes(meta: ReplicaMeta, afterSeq: number, atSeq: number, limit: number): WriteRecord[];
  /** Size of the first `limit` keys from `from` on, and the last one looked at (null: there is none). Fewer `keys` than `limit`: the range is done. */
  measure(
    meta: ReplicaMeta,
    range: { from: string; to: string | null },
    limit: number,
  ): RangeSize & { readonly keys: number; readonly lastKey: string | null };
}

/**
 * FSYNCED: on disk when the transaction returns. LAZY: a loss of power may undo it, though never without what was committed after it; for what is
 * of no use to anybody before a later transaction that is fsynced.
 */
export type Durability = 'FSYNCED' | 'LAZY';

/** Changes inside one transaction. Each call is visible to the following ones; all become durable together or not at all. */
export interface EngineTransaction extends EngineReader {
  createReplica(replica: {
    shardId: string;
    replicaId: string;
    storeUuid: string;
    descriptor: WireDescriptor;
    maxEpoch: number;
  }): ReplicaMeta;
  patchReplica(shardId: string, patch: ReplicaPatch): ReplicaMeta;
  /**
   * Splits the copy in two at the child's start: rows are shared by range, the child's log continues the parent's numbering. It takes
   * time by the entries above the commit, whatever the size of the shard.
   */
  fork(parentShardId: string, fork: Fork): ForkResult;
  /** Takes a descriptor with a smaller range, whose other part was not forked from this copy: the rows outside are purged. */
  shrink(shardId: string, descriptor: WireDescriptor): ReplicaMeta;
  /**
   * Makes one copy of this one and of the right part that `merged` names, both exactly as sealed (else Bug, see `joinObstacle`); the
   * right one is gone. The same time for any size (S2).
   */
  join(leftShardId: string, merged: WireDescriptor): ReplicaMeta;
  /** Takes `merged` without joining: the copy is not intact until a snapshot, and what is held of the right part is destroyed (S2). */
  giveUpParts(leftShardId: string, merged: WireDescriptor): ReplicaMeta;
  /** Takes a finished count of the whole range as the replica's size. */
  adoptCount(shardId: string): void;
  /** Destroys the copy; log and rows are purged piecemeal afterwards. */
  removeReplica(shardId: string): void;
  /** Entries must follow `last` without a gap. `commitSeq` is persisted along where it is higher than the stored one. */
  append(shardId: string, entries: readonly LogEntry[], commitSeq: number): ReplicaMeta;
  /** Drops entries above `seq` (at least commitSeq and base) with everything derived from them. */
  truncate(shardId: string, seq: number): ReplicaMeta;
  /** Drops at most `maxEntries` committed entries beyond the bounds of history.ts; answers how many. `keepFromSeq` holds back. */
  compact(shardId: string, maxEntries: number, keepFromSeq: number): number;
  /** A place into which a snapshot is loaded; purged after `releaseStaging` or a restart, unless swapped in. */
  openStaging(): number;
  stage(storageId: number, rows: readonly RowVersion[], writes: readonly WriteRecord[]): void;
  /** Replaces the copy's content by the staged one, whose log starts after `at`. */
  swapIn(shardId: string, storageId: number, snapshot: StagedSnapshot): ReplicaMeta;
  /** Deletes at most about `maxRows` rows of destroyed copies; answers whether more are left. */
  purge(maxRows: number): boolean;
}
