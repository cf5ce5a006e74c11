/** How much of the past a replica keeps. The same bounds hold for its log and for superseded versions of its rows. */

/**
 * Committed log entries kept: a follower that is behind by no more catches up by log, one that is further behind gets a
 * snapshot. At 1,000 writes/s this covers a restart of 10 s.
 */
export const HISTORY_ENTRIES_MAX = 10_000;
/** Bytes of content kept in those entries: 64 MiB, so that large values don't fill the disk. */
export const HISTORY_BYTES_MAX = 64 * 1024 * 1024;

/**
 * How fast the past is given up: content dropped for each entry that a compaction may drop, and twice what was appended. A batch
 * of some hundred rows is forgotten row by row, 10 ms for 1.8 MB; when a log of such entries met the bound of entries at last, dropping eight with each
 * small write held all writes of the shard for a second.
 */
export const COMPACT_BYTES_PER_ENTRY = 8 * 1024;
export const COMPACT_BYTES_PER_BYTE_APPENDED = 2;
/** What may be saved up of it: a log below its bounds saves nothing for a rush afterwards. */
export const COMPACT_BYTES_SAVED_MAX = 256 * 1024;

/**
 * Write ids are remembered this long (by the log's own timestamps, so that replicas agree): longer than any client's deadline for
 * one write, retries included (R6).
 */
export const WRITE_ID_RETENTION_MS = 10 * 60_000;
/** And never more than this many of a shard, about 100 MB; reached above 1,600 writes/s for the whole time. */
export const WRITE_IDS_MAX = 1_000_000;

/** Ids of destroyed replicas remembered by a node (R4): a late "create" comes within hours, not after this many removals. */
export const REMOVED_REPLICAS_MAX = 100_000;
