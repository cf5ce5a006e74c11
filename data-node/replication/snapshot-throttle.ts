import type { Environment } from '../ports.ts';

/** Shares a node's outgoing bytes per second among all of its snapshots. Replication of new writes is never held back. */
export class SnapshotThrottle {
  private readonly env: Environment;
  private readonly bytesPerSecond: number;
  private freeAtMs = -Infinity;

  constructor(env: Environment, bytesPerSecond: number) {
    this.env = env;
    this.bytesPerSecond = bytesPerSecond;
  }

  /** Waits for the turn of `bytes` bytes; answers how long, in ms. Turns are given in the order in which they are asked for. */
  async take(bytes: number): Promise<number> {
    const nowMs = this.env.clock.monotonicMs();
    const startMs = Math.max(nowMs, this.freeAtMs);
    this.freeAtMs = startMs + (bytes / this.bytesPerSecond) * 1000;
    const waitMs = startMs - nowMs;
    if (waitMs > 0) await this.env.timers.sleep(waitMs);
    return waitMs;
  }
}
