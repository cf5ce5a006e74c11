import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../client/index.ts';
import type { ShardkeeperClient } from '../../client/index.ts';

/** Open-loop writers, one for each shard: a write is sent at its time, whether or not earlier ones were answered. */
export interface SentWrite {
  readonly shard: number;
  readonly key: string;
  readonly sentMs: number;
  /** When the acknowledgement arrived; null while under way or without one. */
  ackedMs: number | null;
  /** True once no acknowledgement will come. */
  failed: boolean;
}

/** Milliseconds between two writes to one shard: 10 a second. */
export const WRITE_EVERY_MS = 100;
/** A write is given up after this long; far above the failover that is measured. */
export const WRITE_DEADLINE_MS = 30_000;
const DIGITS_OF_SHARD = 3;
const DIGITS_OF_WRITE = 8;

const shardPrefix = (shard: number): string => `s${String(shard).padStart(DIGITS_OF_SHARD, '0')}`;

/** Split keys by which shard i holds the keys that begin with its prefix. */
export const preSplitKeys = (shards: number): string[] =>
  Array.from({ length: shards - 1 }, (_, index) => shardPrefix(index + 1));

/** Number of the shard that starts at `startKey`. */
export const shardNumber = (startKey: string): number => (startKey === '' ? 0 : Number(startKey.slice(1)));

export class Writers {
  private readonly client: ShardkeeperClient;
  private readonly table: string;
  private readonly closeClient: () => void;
  private readonly writes: SentWrite[][];
  private readonly timers: NodeJS.Timeout[] = [];
  private underWay = 0;
  acknowledged = 0;

  constructor(options: { url: string; token: string; table: string; shards: number }) {
    const { client, close } = connect({ url: options.url, token: options.token, deadlineMs: WRITE_DEADLINE_MS });
    this.client = client;
    this.closeClient = close;
    this.table = options.table;
    this.writes = Array.from({ length: options.shards }, () => []);
  }

  /** Loads the routes and starts one writer a shard, spread over the period. */
  async start(): Promise<void> {
    await this.client.prefetch(this.table);
    for (const shard of this.writes.keys()) {
      const delayMs = (shard / this.writes.length) * WRITE_EVERY_MS;
      this.timers.push(
        setTimeout(() => {
          // An interval's missed beats are lost: each tick sends what is due by now, so that a late timer skips nothing.
          const startMs = performance.now();
          let sent = 0;
          this.timers.push(
            setInterval(() => {
              const due = Math.floor((performance.now() - startMs) / WRITE_EVERY_MS);
              for (; sent < due; sent++) this.send(shard);
            }, WRITE_EVERY_MS / 2),
          );
        }, delayMs),
      );
    }
  }

  /** Stops sending and waits for what is under way. */
  async stop(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    while (this.underWay > 0) await sleep(WRITE_EVERY_MS);
  }

  /** Writes to `shard` sent in [fromMs, toMs), in order. */
  sentBetween(shard: number, fromMs: number, toMs: number): readonly SentWrite[] {
    const writes = this.writes[shard] ?? [];
    const first = writes.findLastIndex((write) => write.sentMs < fromMs) + 1;
    const recent = writes.slice(first);
    return recent.filter((write) => write.sentMs < toMs);
  }

  /** Reads every row back; answers the keys of acknowledged writes that are not there. */
  async lost(): Promise<readonly string[]> {
    const present = new Set<string>();
    for await (const row of this.client.scan(this.table)) present.add(row.key);
    this.closeClient();
    return this.writes.flatMap((writes) =>
      writes.filter((write) => write.ackedMs !== null && !present.has(write.key)).map((write) => write.key),
    );
  }

  private send(shard: number): void {
    const writes = this.writes[shard];
    if (writes === undefined) return;
    const number = writes.length;
    const key = `${shardPrefix(shard)}/${String(number).padStart(DIGITS_OF_WRITE, '0')}`;
    const write: SentWrite = { shard, key, sentMs: performance.now(), ackedMs: null, failed: false };
    writes.push(write);
    this.underWay++;
    this.client.put(this.table, key, number).then(
      () => {
        write.ackedMs = performance.now();
        this.acknowledged++;
        this.underWay--;
      },
      () => {
        write.failed = true;
        this.underWay--;
      },
    );
  }
}
