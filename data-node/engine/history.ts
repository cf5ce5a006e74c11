/** How much of the past a replica keeps. The same bounds hold for its log and for superseded versions of its rows. */

/**
 * Committed log entries kept: a follower that is behind by no more catches up by log, one that is further behind gets a
 * snapshot. At 1,000 writes/s this covers a restart of 10 s.
 */
export const HISTORY_ENTRIES_MAX = 10_000;
/** Bytes of content kept in those entries: 64 MiB, so that large values don't fill the disk. */
export const HISTORY_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Write ids are remembered this long (by the log's own timestamps, so that replicas agree): longer than any client's deadline for
 * one write, retries included (R6).
 */
export const WRITE_ID_RETENTION_MS = 10 * 60_000;
/** And never more than this many of a shard, about 100 MB; reached above 1,600 writes/s for the whole time. */
export const WRITE_IDS_MAX = 1_000_000;

/** Ids of destroyed replicas remembered by a node (R4): a late "create" comes within hours, not after this many removals. */
export const REMOVED_REPLICAS_MAX = 100_000;
