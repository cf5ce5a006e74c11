import {
  BATCH_ROWS_MAX,
  SCAN_ROWS_MAX,
  getRowResponseSchema,
  scanResponseSchema,
  writeResponseSchema,
} from '../shared/contracts/data/rows.ts';
import { compareKeys, encodeKey } from '../shared/contracts/keys.ts';
import { ControlPlane } from './control-plane.ts';
import { DataToken } from './data-token.ts';
import { ClientError } from './errors.ts';
import type { ClientEnvironment, ClientNetwork } from './ports.ts';
import { Requester } from './requester.ts';
import { Routes } from './routes.ts';

/** Any JSON value. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

export interface ClientOptions {
  /** Base URL of the control plane. */
  readonly url: string;
  /** Bearer token for the control plane, by which routes and data tokens are fetched. */
  readonly token: string;
  readonly network: ClientNetwork;
  readonly environment: ClientEnvironment;
  /** Milliseconds within which a call must be acknowledged, retries included, unless the call says otherwise. */
  readonly deadlineMs?: number;
  /**
   * 'in-background': changes of the routes of tables in use are followed until `close` (route-follower.ts), for clients that
   * live long. 'no', if left out: a route is looked up when it is missing or was refused.
   */
  readonly followRoutes?: 'in-background' | 'no';
}

export interface CallOptions {
  readonly deadlineMs?: number;
}

export interface WriteOptions extends CallOptions {
  /** One for each logical write; give the same one to find out what became of a write whose outcome was UNKNOWN. */
  readonly writeId?: string;
}

export interface Row {
  readonly key: string;
  readonly value: JsonValue;
  /** Hybrid logical timestamp of the version, 'wallMs.counter'. */
  readonly timestamp: string;
}

export interface Written {
  readonly timestamp: string;
  readonly writeId: string;
}

export type BatchRow =
  | { readonly op: 'put'; readonly key: string; readonly value: JsonValue }
  | { readonly op: 'delete'; readonly key: string };

export interface BatchResult {
  /** Rows that were acknowledged. */
  readonly acknowledged: readonly BatchRow[];
  readonly failures: readonly { readonly rows: readonly BatchRow[]; readonly error: ClientError }[];
}

interface GrowingResult {
  readonly acknowledged: BatchRow[];
  readonly failures: { rows: readonly BatchRow[]; error: ClientError }[];
}

export interface ScanRange {
  /** Inclusive; missing: from the start of the table. */
  readonly startKey?: string;
  /** Exclusive; missing: to the end of the table. */
  readonly endKey?: string;
  /** Rows at most; missing: all. */
  readonly limit?: number;
}

const DEADLINE_MS_DEFAULT = 15_000;
const WRITE_ID_BYTES = 16;
/** Bytes of one batch message's rows: half of what a node takes in one write (4 MiB). */
const BATCH_BYTES_MAX = 2 * 1024 * 1024;
/** Shards that one `batch` call writes to at a time. */
const BATCHES_IN_FLIGHT_MAX = 8;

/**
 * Reads and writes rows. Every method throws `ClientError`; a write that returns was acknowledged, a write that throws tells
 * by `outcome` whether it may have been applied.
 */
export class ShardkeeperClient {
  private readonly options: ClientOptions;
  private readonly routes: Routes;
  private readonly requester: Requester;
  private readonly closing = new AbortController();

  constructor(options: ClientOptions) {
    this.options = options;
    const controlPlane = new ControlPlane(options);
    const { environment } = options;
    const follow = options.followRoutes === 'in-background' ? { environment, signal: this.closing.signal } : null;
    this.routes = new Routes(controlPlane, environment.clock, follow);
    const token = new DataToken(controlPlane, options.environment.clock);
    this.requester = new Requester({
      environment: options.environment,
      network: options.network,
      routes: this.routes,
      token,
    });
  }

  /** Ends what goes on in the background. Calls are answered as before. */
  close(): void {
    this.closing.abort();
  }

  /** Loads all routes of a table into the cache; answers how many shards there are. */
  prefetch(table: string): Promise<number> {
    return this.routes.prefetch(table);
  }

  async get(table: string, key: string, options: CallOptions = {}): Promise<Row | null> {
    const answer = await this.requester.run({
      ...this.common(table, key, options),
      verb: 'get',
      effect: 'READ',
      body: { key },
      parse: (body) => getRowResponseSchema.safeParse(body).data ?? null,
    });
    return answer.found ? { key, value: answer.value, timestamp: answer.timestamp ?? '' } : null;
  }

  async put(table: string, key: string, value: JsonValue, options: WriteOptions = {}): Promise<Written> {
    return this.write(table, key, 'put', { key, value }, options);
  }

  /** Deleting a row that is not there succeeds. */
  async delete(table: string, key: string, options: WriteOptions = {}): Promise<Written> {
    return this.write(table, key, 'delete', { key }, options);
  }

  /**
   * Writes many rows: grouped by shard, each group atomic by itself, shards in parallel. Never throws for a group that
   * fails: the result tells which rows were acknowledged.
   */
  async batch(table: string, rows: readonly BatchRow[], options: CallOptions = {}): Promise<BatchResult> {
    const result: GrowingResult = { acknowledged: [], failures: [] };
    const queue = await this.groups(table, rows, result.failures);
    const worker = async (): Promise<void> => {
      for (let shard = queue.pop(); shard !== undefined; shard = queue.pop()) {
        // One after the other, so that of two rows with one key the later one stays.
        for (const group of shard) await this.writeGroup(table, group, this.deadlineAt(options), result);
      }
    };
    await Promise.all(Array.from({ length: Math.min(BATCHES_IN_FLIGHT_MAX, queue.length) }, worker));
    return result;
  }

  /** Rows of a range in key order, fetched a page at a time. Each page reads committed state; pages are not one snapshot. */
  async *scan(table: string, range: ScanRange = {}, options: CallOptions = {}): AsyncGenerator<Row, void, undefined> {
    let left = range.limit ?? Infinity;
    let position = range.startKey ?? null;
    while (left > 0) {
      const answer = await this.requester.run({
        ...this.common(table, position ?? '', options),
        verb: 'scan',
        effect: 'READ',
        body: { start_key: position, end_key: range.endKey ?? null, limit: Math.min(left, SCAN_ROWS_MAX) },
        parse: (body) => scanResponseSchema.safeParse(body).data ?? null,
      });
      for (const row of answer.rows) {
        yield row;
        left--;
      }
      if (answer.next_key !== null) {
        position = answer.next_key;
        continue;
      }
      // The shard's part is done: on to the next shard, unless the range or the table ends here.
      if (answer.shard_end_key === null) return;
      if (range.endKey !== undefined && !this.before(table, answer.shard_end_key, range.endKey)) return;
      position = answer.shard_end_key;
    }
  }

  private async write(
    table: string,
    key: string,
    verb: 'put' | 'delete' | 'batch',
    body: Readonly<Record<string, unknown>>,
    options: WriteOptions,
    together: readonly string[] = [],
  ): Promise<Written> {
    const writeId = options.writeId ?? this.newWriteId();
    const answer = await this.requester.run({
      ...this.common(table, key, options),
      verb,
      effect: 'WRITE',
      together,
      body: { write_id: writeId, ...body },
      parse: (answered) => writeResponseSchema.safeParse(answered).data ?? null,
    });
    return { timestamp: answer.timestamp, writeId };
  }

  /**
   * Writes rows that one shard held when they were put together. A split parts them: then they go to their shards in groups of their own, with new
   * write ids, unless the group may have been written before the split (it would be written twice).
   */
  private async writeGroup(
    table: string,
    group: readonly BatchRow[],
    deadlineAtMs: number,
    result: GrowingResult,
  ): Promise<void> {
    const first = group[0];
    if (first === undefined) return;
    const deadlineMs = deadlineAtMs - this.options.environment.clock.monotonicMs();
    try {
      const together = group.map(({ key }) => key);
      await this.write(table, first.key, 'batch', { rows: group }, { deadlineMs }, together);
      result.acknowledged.push(...group);
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      if (error.code !== 'SPLIT_MEANWHILE' || error.outcome === 'UNKNOWN') {
        result.failures.push({ rows: group, error });
        return;
      }
      for (const part of (await this.groups(table, group, result.failures)).flat())
        await this.writeGroup(table, part, deadlineAtMs, result);
    }
  }

  /** Rows by shard, in messages within the protocol's bounds. Rows whose shard can't be found become failures. */
  private async groups(
    table: string,
    rows: readonly BatchRow[],
    failures: GrowingResult['failures'],
  ): Promise<BatchRow[][][]> {
    const byShard = new Map<string, { rows: BatchRow[]; bytes: number }[]>();
    const located = await Promise.all(rows.map((row) => this.locate(table, row.key)));
    rows.forEach((row, index) => {
      const shard = located[index];
      if (shard === undefined || shard instanceof ClientError) {
        failures.push({ rows: [row], error: shard ?? new ClientError('RETRYABLE', 'no route') });
        return;
      }
      const groups = byShard.get(shard) ?? [];
      byShard.set(shard, groups);
      const bytes = row.op === 'put' ? Buffer.byteLength(JSON.stringify(row)) : Buffer.byteLength(row.key);
      let group = groups.at(-1);
      if (group === undefined || group.rows.length >= BATCH_ROWS_MAX || group.bytes + bytes > BATCH_BYTES_MAX) {
        group = { rows: [], bytes: 0 };
        groups.push(group);
      }
      group.rows.push(row);
      group.bytes += bytes;
    });
    return [...byShard.values()].map((groups) => groups.map((group) => group.rows));
  }

  private async locate(table: string, key: string): Promise<string | ClientError> {
    const cached = this.routes.cached(table, key);
    if (cached !== null) return cached.shardId;
    try {
      return (await this.routes.resolve(table, key)).shardId;
    } catch (error) {
      if (error instanceof ClientError) return error;
      throw error;
    }
  }

  private before(table: string, left: string, right: string): boolean {
    const type = this.routes.keyType(table) ?? 'string';
    const a = encodeKey(type, left);
    const b = encodeKey(type, right);
    return a.ok && b.ok && compareKeys(a.value, b.value) < 0;
  }

  private common(table: string, key: string, options: CallOptions): { table: string; key: string; deadlineMs: number } {
    return { table, key, deadlineMs: this.deadlineMs(options) };
  }

  private deadlineMs(options: CallOptions): number {
    return options.deadlineMs ?? this.options.deadlineMs ?? DEADLINE_MS_DEFAULT;
  }

  private deadlineAt(options: CallOptions): number {
    return this.options.environment.clock.monotonicMs() + this.deadlineMs(options);
  }

  private newWriteId(): string {
    return `w-${this.options.environment.random.hex(WRITE_ID_BYTES)}`;
  }
}
