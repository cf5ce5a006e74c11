/** Period of the watchdog's timer, ms. */
const PERIOD_MS = 50;
/** A timer this late means that the machine itself stood still: what was measured then says nothing about the cluster. */
export const STALL_MS_MAX = 500;

/** Notices stalls of the machine (or of this process, which competes for the same processors) by a timer that comes late. */
export class StallWatchdog {
  private readonly stalls: { atMs: number; forMs: number }[] = [];
  private readonly timer: NodeJS.Timeout;
  private lastMs = performance.now();

  constructor() {
    this.timer = setInterval(() => {
      const nowMs = performance.now();
      const lateMs = nowMs - this.lastMs - PERIOD_MS;
      if (lateMs > STALL_MS_MAX) this.stalls.push({ atMs: nowMs, forMs: lateMs });
      this.lastMs = nowMs;
    }, PERIOD_MS);
  }

  /** Longest stall that ended at or after `sinceMs` (`performance.now`); 0 if none. */
  longestSince(sinceMs: number): number {
    return Math.max(0, ...this.stalls.filter((stall) => stall.atMs >= sinceMs).map((stall) => stall.forMs));
  }

  stop(): void {
    clearInterval(this.timer);
  }
}
