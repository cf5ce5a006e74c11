import { Worker } from 'node:worker_threads';

/** A span in which the whole machine stood still. `performance.now` of this thread. */
export interface Pause {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What queued up during a pause is worked off after it: at 30 % of capacity in less time than the pause took. */
const AFTERMATH = 1;

/**
 * Notices pauses of the machine, a guest that its host did not run: nothing ran then, idle threads neither. A thread of its own that
 * does nothing but wait gets a processor at once when it is due, however busy other threads are; one that comes 25 ms late was not run (pause-detector.ts).
 */
export class MachinePauses {
  private readonly worker: Worker;
  private readonly found: Pause[] = [];

  constructor() {
    this.worker = new Worker(new URL('./pause-detector.ts', import.meta.url));
    this.worker.on('message', ({ fromMs, toMs }: Pause) => {
      // The detector tells the time since the epoch: threads count from different origins.
      this.found.push({ fromMs: fromMs - performance.timeOrigin, toMs: toMs - performance.timeOrigin });
    });
    this.worker.unref();
  }

  /** Resolves when its thread runs. */
  started(): Promise<void> {
    return new Promise((resolve) => this.worker.once('online', resolve));
  }

  all(): readonly Pause[] {
    return this.found;
  }

  async stop(): Promise<void> {
    await this.worker.terminate();
  }
}

/** True if the request was under way in a pause, or began among what the pause had held up. */
export const metPause = (pauses: readonly Pause[], fromMs: number, toMs: number): boolean =>
  pauses.some((pause) => fromMs < pause.toMs + AFTERMATH * (pause.toMs - pause.fromMs) && toMs > pause.fromMs);

export const longestMs = (pauses: readonly Pause[]): number =>
  Math.max(0, ...pauses.map((pause) => pause.toMs - pause.fromMs));
