import { ClientError } from '../../client/errors.ts';
import type { RegisterOperation } from './history.ts';
import type { Pace } from './pace.ts';
import type { SeededRandom } from './random.ts';
import type { Trace } from './trace.ts';
import type { SimulatedProcess, VirtualTime } from './virtual-time.ts';

/** Rows as the workload reads and writes them. Both calls reject when there was no acknowledged outcome. */
export interface RowClient {
  put(key: string, value: string): Promise<void>;
  get(key: string): Promise<string | null>;
}

const READ_SHARE = 0.5;

/** Clients that read and write few keys with values of their own, and what they saw. */
export class Workload {
  readonly history = new Map<string, RegisterOperation[]>();
  readonly counts = { acknowledged: 0, unknown: 0, refused: 0, reads: 0, readsFailed: 0 };
  private readonly time: VirtualTime;
  private readonly trace: Trace;
  private readonly keys: readonly string[];
  private stopped = false;
  private values = 0;

  constructor(time: VirtualTime, trace: Trace, keys: readonly string[]) {
    this.time = time;
    this.trace = trace;
    this.keys = keys;
  }

  /** Starts a client that goes on until `stop`. */
  start(
    name: string,
    process: SimulatedProcess,
    client: RowClient,
    { random, pace }: { readonly random: SeededRandom; readonly pace: Pace },
  ): void {
    const loop = async (): Promise<void> => {
      for (let operations = 1; !this.stopped; operations++) {
        const key = random.pick(this.keys);
        if (random.chance(READ_SHARE)) await this.read(name, client, key);
        else await this.write(name, client, key);
        const restMs = operations % pace.burst === 0 ? random.between(...pace.restMs) : 0;
        await process.timers.sleep(random.between(0, pace.thinkMsMax) + restMs);
      }
    };
    process.deliver(0, () => {
      loop().catch((error: unknown) => this.time.fail(error instanceof Error ? error : new Error(String(error))));
    });
  }

  stop(): void {
    this.stopped = true;
  }

  /** Notes a read that was made elsewhere. */
  noteRead(name: string, key: string, value: string | null, startMs: number): void {
    this.counts.reads++;
    this.operations(key).push({ kind: 'read', value, startMs, endMs: this.time.nowMs(), client: name });
  }

  /** Reads `key`; true if an answer came. */
  async read(name: string, client: RowClient, key: string): Promise<boolean> {
    const startMs = this.time.nowMs();
    try {
      const value = await client.get(key);
      this.counts.reads++;
      this.operations(key).push({ kind: 'read', value, startMs, endMs: this.time.nowMs(), client: name });
      this.trace.add(name, `read ${key} = ${value ?? 'nothing'}`);
      return true;
    } catch (error) {
      this.counts.readsFailed++;
      this.trace.add(name, `read ${key} failed: ${String(error)}`);
      return false;
    }
  }

  /** Writes a value of its own to `key`; true if it was acknowledged. A failed write stays open: it may take effect later. */
  async write(name: string, client: RowClient, key: string): Promise<boolean> {
    const value = `v${++this.values}`;
    const operation = {
      kind: 'write' as const,
      value,
      startMs: this.time.nowMs(),
      endMs: null as number | null,
      client: name,
    };
    // Noted before it is sent: it may take effect although no answer ever comes.
    this.operations(key).push(operation);
    try {
      await client.put(key, value);
      operation.endMs = this.time.nowMs();
      this.counts.acknowledged++;
      this.trace.add(name, `wrote ${key} = ${value}`);
      return true;
    } catch (error) {
      // The client library says NOT_APPLIED only if no attempt can have had an effect: then it must never be read.
      if (error instanceof ClientError && error.outcome === 'NOT_APPLIED') {
        this.counts.refused++;
        const operations = this.operations(key);
        operations.splice(operations.indexOf(operation), 1);
      } else this.counts.unknown++;
      this.trace.add(name, `write ${key} = ${value} failed: ${String(error)}`);
      return false;
    }
  }

  private operations(key: string): RegisterOperation[] {
    let operations = this.history.get(key);
    if (operations === undefined) this.history.set(key, (operations = []));
    return operations;
  }
}
