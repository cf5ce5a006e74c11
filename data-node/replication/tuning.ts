/** Times and bounds of replication. All times in milliseconds. */
export interface Tuning {
  /** Between two appends to a follower when nothing happens; also spreads the commit sequence. */
  readonly heartbeatMs: number;
  /** One request to a peer, snapshot chunks apart. Below `ackTimeoutMs`, so that a lost one is repeated once in time. */
  readonly peerTimeoutMs: number;
  /** One chunk of a snapshot: a follower writes and fsyncs half a megabyte. */
  readonly snapshotChunkTimeoutMs: number;
  /** Without an acknowledgement for so long a replica is proposed LAGGING (R3). */
  readonly ackTimeoutMs: number;
  /** Between two looks of a leader at its ack set. */
  readonly tickMs: number;
  /** Between attempts to reach a peer that does not answer: from `retryMs`, doubled up to `retryMsMax`. */
  readonly retryMs: number;
  readonly retryMsMax: number;
  /** A write is answered UNKNOWN_OUTCOME after so long: above a follower's stall (ackTimeoutMs and one proposal). */
  readonly writeTimeoutMs: number;
  /** A follower that hears nothing for so long reports it (R3), with up to half of it as jitter; repeated with doubled pauses. */
  readonly silentLeaderMs: number;
  readonly silentLeaderMsMax: number;
  /** In-flight writes get so long before a step-down receipt or a clean stop (E2). */
  readonly settleMs: number;
  /** At most one descriptor read of a shard in so long: clients with made-up epochs must not load the control plane. */
  readonly descriptorReadMs: number;
  /** Writes in flight on one node, and their bytes; more are answered THROTTLED. */
  readonly writesInFlightMax: number;
  readonly writeBytesInFlightMax: number;
  /** A replica is required for acks (R2) once it is at most so many entries behind: the rest arrives within one append. */
  readonly growthLagEntriesMax: number;
  /**
   * Entries, rows or write ids, and their bytes, that a copy which nobody waits for gets in one request: its node serves other shards as
   * well, and stores this in about 3 ms. A thousand small entries took it 200 to 400 ms.
   */
  readonly catchUpItemsMax: number;
  readonly catchUpBytesMax: number;
  /** Bytes of rows that a node sends a second in all of its snapshots together (DESIGN section 7). */
  readonly snapshotBytesPerSecond: number;
  /** A lost chunk is sent again so often before the snapshot is begun anew. */
  readonly snapshotChunkAttempts: number;
  /** A snapshot that takes longer, waits for its share of the bytes apart, is given up: it holds back the log's compaction. */
  readonly snapshotMsMax: number;
  /** Between two rounds of purging destroyed copies, while there is something to purge, and when there was nothing. */
  readonly purgeMs: number;
  readonly purgeIdleMs: number;
}

export const DEFAULT_TUNING: Tuning = {
  heartbeatMs: 250,
  peerTimeoutMs: 800,
  snapshotChunkTimeoutMs: 10_000,
  ackTimeoutMs: 1_000,
  tickMs: 100,
  retryMs: 100,
  retryMsMax: 1_000,
  writeTimeoutMs: 5_000,
  silentLeaderMs: 2_000,
  silentLeaderMsMax: 15_000,
  settleMs: 2_000,
  descriptorReadMs: 200,
  writesInFlightMax: 4_096,
  writeBytesInFlightMax: 64 * 1024 * 1024,
  growthLagEntriesMax: 256,
  catchUpItemsMax: 64,
  catchUpBytesMax: 40 * 1024,
  snapshotBytesPerSecond: 14_000_000,
  snapshotChunkAttempts: 4,
  snapshotMsMax: 10 * 60_000,
  purgeMs: 25,
  purgeIdleMs: 10_000,
};
