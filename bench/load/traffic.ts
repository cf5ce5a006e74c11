import { setTimeout as sleep } from 'node:timers/promises';
import { ShardkeeperClient, systemEnvironment, systemNetwork } from '../../client/index.ts';
import type { JsonValue } from '../../client/index.ts';
import { AttemptRecorder } from './attempts.ts';
import type { Attempt } from './attempts.ts';
import { trafficKey } from './rows.ts';
import type { Rows } from './rows.ts';

/**
 * Clients' load: half reads of rows that were laid down, half writes of new rows beside them, on random keys, through the client
 * library as any program uses it. Open loop: a request starts at its time, whether or not earlier ones were answered, and its
 * time counts from when it was due.
 */
export interface Request {
  readonly kind: 'GET' | 'PUT';
  readonly key: string;
  /** When it was due, `performance.now`. */
  readonly dueMs: number;
  /** From `dueMs` to the acknowledgement, retries included; null while under way, or without one. */
  tookMs: number | null;
  /** In order; the first one is what "first attempt" means. */
  readonly attempts: readonly Attempt[];
  /** Why no acknowledgement will come; null if none failed. */
  error: string | null;
}

/** Not acknowledged within this time: failed. */
export const FAILED_AFTER_MS = 1_000;
/** Requests go on beyond that, so that what is seen late is told from what is never answered. */
const DEADLINE_MS = 10_000;
/** Workers of the closed loop by which the capacity is measured. */
const WORKERS = 32;
const TICK_MS = 2;
const POLL_MS = 50;
const WRITE_FILLER = 'written under load '.repeat(8);

export class Traffic {
  readonly client: ShardkeeperClient;
  /** Every request of the open loop, by the time when it was due. */
  readonly requests: Request[] = [];
  /** Acknowledged writes of either loop: key to value. */
  readonly written = new Map<string, JsonValue>();
  /** Latest start of a request after it was due, ms: what this process itself adds. */
  lateMsMax = 0;
  private readonly recorder: AttemptRecorder;
  private readonly rows: Rows;
  private readonly table: string;
  private readonly closeNetwork: () => void;
  private timer: NodeJS.Timeout | null = null;
  private underWay = 0;
  private writes = 0;

  constructor(options: { url: string; token: string; table: string; rows: Rows }) {
    const { url, token, table, rows } = options;
    const network = systemNetwork();
    this.recorder = new AttemptRecorder(network);
    this.client = new ShardkeeperClient({
      url,
      token,
      network: this.recorder,
      environment: systemEnvironment,
      deadlineMs: DEADLINE_MS,
    });
    this.closeNetwork = () => network.close();
    this.table = table;
    this.rows = rows;
  }

  /** Requests a second that a closed loop gets through, over `forMs` after as long a warm-up. */
  async capacity(forMs: number): Promise<number> {
    const untilMs = performance.now() + 2 * forMs;
    const fromMs = untilMs - forMs;
    let answered = 0;
    const worker = async (): Promise<void> => {
      while (performance.now() < untilMs) {
        const request = this.next(performance.now());
        await this.send(request);
        if (request.error !== null)
          throw new Error(`a request failed while the capacity was measured: ${request.error}`);
        if (request.dueMs >= fromMs) answered++;
      }
    };
    await Promise.all(Array.from({ length: WORKERS }, worker));
    return (answered / forMs) * 1000;
  }

  start(perSecond: number): void {
    const startMs = performance.now();
    let sent = 0;
    this.timer = setInterval(() => {
      // A late timer skips nothing: what is due by now is sent now, and counts from when it was due.
      const nowMs = performance.now();
      for (; startMs + (sent * 1000) / perSecond <= nowMs; sent++) {
        const request = this.next(startMs + (sent * 1000) / perSecond);
        this.lateMsMax = Math.max(this.lateMsMax, nowMs - request.dueMs);
        this.requests.push(request);
        void this.send(request);
      }
    }, TICK_MS);
  }

  /** Sends nothing new, and waits for what is under way. */
  async stop(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
    while (this.underWay > 0) await sleep(POLL_MS);
  }

  close(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.closeNetwork();
  }

  private next(dueMs: number): Request & { attempts: Attempt[] } {
    const kind = Math.random() < 0.5 ? 'GET' : 'PUT';
    const row = this.rows.anyKey(Math.random);
    const key = kind === 'GET' ? row : trafficKey(row, ++this.writes);
    return { kind, key, dueMs, tookMs: null, attempts: [], error: null };
  }

  private async send(request: Request & { attempts: Attempt[] }): Promise<void> {
    this.underWay++;
    try {
      await this.recorder.during(request.attempts, () =>
        request.kind === 'GET' ? this.read(request.key) : this.write(request.key),
      );
      request.tookMs = performance.now() - request.dueMs;
    } catch (error) {
      request.error = error instanceof Error ? error.message : String(error);
    } finally {
      this.underWay--;
    }
  }

  private async read(key: string): Promise<void> {
    if ((await this.client.get(this.table, key)) === null) throw new Error(`row ${key} is not there`);
  }

  private async write(key: string): Promise<void> {
    const value = `${key} ${WRITE_FILLER}`;
    await this.client.put(this.table, key, value);
    this.written.set(key, value);
  }
}
