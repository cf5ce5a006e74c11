/**
 * Hybrid logical timestamps (Kulkarni et al., "Logical Physical Clocks", 2014): the wall clock where it advances, a counter
 * where it does not. Within a shard they rise with the log's sequence, over changes of leader too, so that a cut by
 * timestamp is a cut of the log.
 */
export interface HybridTimestamp {
  /** Milliseconds since 1970; at least the wall clock of the leader that gave it. */
  readonly wallMs: number;
  readonly counter: number;
}

export const HLC_ZERO: HybridTimestamp = { wallMs: 0, counter: 0 };

/** The next timestamp after `last`, at the wall clock `wallMs`: strictly greater than `last`, even if the clock stepped back. */
export function nextTimestamp(last: HybridTimestamp, wallMs: number): HybridTimestamp {
  return wallMs > last.wallMs ? { wallMs, counter: 0 } : { wallMs: last.wallMs, counter: last.counter + 1 };
}

/** Negative, 0 or positive. */
export function compareTimestamps(left: HybridTimestamp, right: HybridTimestamp): number {
  return left.wallMs - right.wallMs || left.counter - right.counter;
}

/** As the client protocol shows it: 'wallMs.counter'. */
export const formatTimestamp = (timestamp: HybridTimestamp): string => `${timestamp.wallMs}.${timestamp.counter}`;
