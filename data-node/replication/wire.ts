import type { WireLogEntry } from '../../shared/contracts/node/replication.ts';
import type { HybridTimestamp } from '../engine/hlc.ts';
import type { LogEntry } from '../engine/types.ts';

/** Log entries and timestamps as they travel between nodes. */
export const toWireTime = (at: HybridTimestamp): WireLogEntry['at'] => ({ wall_ms: at.wallMs, counter: at.counter });
export const fromWireTime = (at: WireLogEntry['at']): HybridTimestamp => ({ wallMs: at.wall_ms, counter: at.counter });

export const toWireEntry = (entry: LogEntry): WireLogEntry => ({
  seq: entry.seq,
  epoch: entry.epoch,
  write_id: entry.writeId,
  fingerprint: entry.fingerprint,
  changes: entry.changes.map(({ key, value }) => ({ key, value })),
  at: toWireTime(entry.at),
});

export const fromWireEntry = (entry: WireLogEntry): LogEntry => ({
  seq: entry.seq,
  epoch: entry.epoch,
  writeId: entry.write_id,
  fingerprint: entry.fingerprint,
  changes: entry.changes,
  at: fromWireTime(entry.at),
});

/** Content of entries as it counts for limits, in characters: keys and values. */
export const bytesOf = (entries: readonly LogEntry[]): number =>
  entries.reduce(
    (sum, { changes }) => changes.reduce((inner, { key, value }) => inner + key.length + (value?.length ?? 0), sum),
    0,
  );
