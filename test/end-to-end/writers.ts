import type { ShardkeeperClient } from '../../client/index.ts';
import { TABLE } from './world.ts';

/** Milliseconds between an acknowledgement and the next write of a writer. */
const PAUSE_MS = 20;

/** Writers that go on through a failover: one for each key prefix, one write after the other, each with a row of its own. */
export class Writers {
  private readonly client: ShardkeeperClient;
  private readonly rows: Map<string, unknown>;
  private readonly stopping = new AbortController();
  private readonly loops: readonly Promise<void>[];
  private readonly longestPause = new Map<string, number>();

  /** Every acknowledged row is added to `rows`. */
  constructor(client: ShardkeeperClient, prefixes: readonly string[], rows: Map<string, unknown>) {
    this.client = client;
    this.rows = rows;
    this.loops = prefixes.map((prefix) => this.loop(prefix));
    // A failure is thrown by stop(), not in the middle of something else.
    for (const loop of this.loops) loop.catch(() => undefined);
  }

  get acknowledged(): number {
    return this.rows.size;
  }

  /** Ends the writers, each after its present write; throws what one failed with. Answers the longest time without an acknowledgement, ms. */
  async stop(): Promise<number> {
    this.stopping.abort();
    await Promise.all(this.loops);
    return Math.max(...this.longestPause.values());
  }

  private async loop(prefix: string): Promise<void> {
    let lastMs = performance.now();
    for (let number = 0; !this.stopping.signal.aborted; number++) {
      const key = `${prefix}-${String(number).padStart(6, '0')}`;
      const value = { number, written_by: prefix };
      await this.client.put(TABLE, key, value);
      this.rows.set(key, value);
      const nowMs = performance.now();
      this.longestPause.set(prefix, Math.max(this.longestPause.get(prefix) ?? 0, nowMs - lastMs));
      lastMs = nowMs;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
