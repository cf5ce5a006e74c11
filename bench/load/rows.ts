import type { BatchRow, JsonValue, ShardkeeperClient } from '../../client/index.ts';

/** The rows that a benchmark lays down before it measures, and the keys that its clients then read and write. */
export interface RowRange {
  /** All keys of the range begin with it. */
  readonly prefix: string;
  readonly rows: number;
}

/** Bytes of one row's value, about: large enough that half a gigabyte is loaded in a minute. */
export const ROW_BYTES = 4_000;
/** Rows of one batch: below 2 MiB, which the client sends as one message. */
const BATCH_ROWS = 450;
/** Batches under way: the next one is on its way while the nodes write this one. */
const BATCHES_IN_FLIGHT = 3;
const LOAD_DEADLINE_MS = 60_000;
const DIGITS = 8;
/** Bytes of values loaded between two lines of progress. */
const SAY_EVERY_ROWS = 32_768;

/** Of a row written by `Traffic`. */
const TRAFFIC_MARK = '/w';

export class Rows {
  readonly ranges: readonly RowRange[];

  constructor(ranges: readonly RowRange[]) {
    this.ranges = ranges;
  }

  /** Keys by which every range is a shard of its own. */
  preSplitKeys(): string[] {
    return this.ranges.slice(1).map((range) => range.prefix);
  }

  /** Key of a row that was laid down: of any range with the same likelihood. `random`: uniform in [0, 1). */
  anyKey(random: () => number): string {
    const range = this.ranges[Math.floor(random() * this.ranges.length)];
    if (range === undefined) throw new Error('no rows');
    return keyOf(range, Math.floor(random() * range.rows));
  }

  /** Rows laid down in [startKey, endKey). */
  countBetween(startKey: string, endKey: string | null): number {
    return this.ranges.reduce((sum, range) => {
      const below = (key: string): number => rowsBelow(range, key);
      return sum + (endKey === null ? range.rows : below(endKey)) - below(startKey);
    }, 0);
  }

  async load(client: ShardkeeperClient, table: string, say: (line: string) => void): Promise<void> {
    const batches = this.batches();
    let loaded = 0;
    const startMs = performance.now();
    const worker = async (): Promise<void> => {
      for (const rows of batches) {
        const { failures } = await client.batch(table, rows, { deadlineMs: LOAD_DEADLINE_MS });
        if (failures[0] !== undefined) throw new Error(`rows could not be loaded: ${failures[0].error.message}`);
        const before = loaded;
        loaded += rows.length;
        if (Math.floor(before / SAY_EVERY_ROWS) !== Math.floor(loaded / SAY_EVERY_ROWS))
          say(`${megabytes(loaded)} MB loaded after ${Math.round((performance.now() - startMs) / 1000)} s`);
      }
    };
    await Promise.all(Array.from({ length: BATCHES_IN_FLIGHT }, worker));
  }

  /**
   * Reads the whole table. Answers the keys that are not there, or with another value: of the rows laid down, and of `written`
   * (key to value).
   */
  async lost(
    client: ShardkeeperClient,
    table: string,
    written: ReadonlyMap<string, JsonValue>,
  ): Promise<{ readonly keys: readonly string[]; readonly rowsRead: number }> {
    const found = new Map(this.ranges.map((range) => [range.prefix, new Uint8Array(range.rows)]));
    const missing = new Set(written.keys());
    let rowsRead = 0;
    for await (const { key, value } of client.scan(table, {}, { deadlineMs: LOAD_DEADLINE_MS })) {
      rowsRead++;
      if (key.includes(TRAFFIC_MARK)) {
        if (written.get(key) === value) missing.delete(key);
        continue;
      }
      const at = key.length - DIGITS;
      if (value === valueOf(key))
        found.get(key.slice(0, at))?.fill(1, Number(key.slice(at)), Number(key.slice(at)) + 1);
    }
    const absent = this.ranges.flatMap((range) => {
      const seen = found.get(range.prefix) ?? new Uint8Array(range.rows);
      return Array.from(seen.keys())
        .filter((index) => seen[index] === 0)
        .map((index) => keyOf(range, index));
    });
    return { keys: [...absent, ...missing], rowsRead };
  }

  private *batches(): Generator<BatchRow[], void, undefined> {
    for (const range of this.ranges)
      for (let from = 0; from < range.rows; from += BATCH_ROWS) {
        const length = Math.min(BATCH_ROWS, range.rows - from);
        yield Array.from({ length }, (_, index) => {
          const key = keyOf(range, from + index);
          return { op: 'put' as const, key, value: valueOf(key) };
        });
      }
  }
}

/** Key of the `number`-th write of the traffic, right behind a row that was laid down. */
export const trafficKey = (row: string, number: number): string =>
  `${row}${TRAFFIC_MARK}${String(number).padStart(DIGITS, '0')}`;

export const rowsOf = (bytes: number): number => Math.ceil(bytes / ROW_BYTES);
export const megabytes = (rows: number): number => Math.round((rows * ROW_BYTES) / 1e6);

const keyOf = (range: RowRange, index: number): string => `${range.prefix}${String(index).padStart(DIGITS, '0')}`;

const FILLER = 'shardkeeper '.repeat(ROW_BYTES);
const valueOf = (key: string): string => `${key} ${FILLER}`.slice(0, ROW_BYTES - key.length);

/** Rows of `range` whose key is below `key`. Keys are ASCII, so JavaScript's order is the bytes' order. */
function rowsBelow(range: RowRange, key: string): number {
  if (key <= range.prefix) return 0;
  if (!key.startsWith(range.prefix)) return range.rows;
  const digits = key.slice(range.prefix.length, range.prefix.length + DIGITS).padEnd(DIGITS, '0');
  const beyond = key.length > range.prefix.length + DIGITS ? 1 : 0;
  return Math.min(range.rows, Number(digits) + beyond);
}
