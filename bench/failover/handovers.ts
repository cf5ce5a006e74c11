import type { ClusterProcess } from '../load/cluster-process.ts';

/** Period of the rule that starts detector loops; each loop ends by plan so long after the one before (local/schedules.ts). */
const HANDOVER_EVERY_MS = 60_000;
const POLL_MS = 250;
/** A kill so near to a planned handover counts as one that meets it. */
export const HANDOVER_WINDOW_MS = 2_000;

/** Watches which detector loop acts, and so learns when the next one takes over. */
export class Handovers {
  private readonly cluster: ClusterProcess;
  private readonly timer: NodeJS.Timeout;
  private holder: string | null = null;
  private readonly seenMs: number[] = [];

  constructor(cluster: ClusterProcess) {
    this.cluster = cluster;
    this.timer = setInterval(() => void this.look(), POLL_MS);
  }

  /** When (`performance.now`) the next planned handover is due; null before one was seen. */
  nextMs(): number | null {
    const last = this.seenMs.at(-1);
    if (last === undefined) return null;
    const periods = Math.floor((performance.now() - last) / HANDOVER_EVERY_MS) + 1;
    return last + periods * HANDOVER_EVERY_MS;
  }

  /** True if a handover was seen within the window around `atMs`; known only HANDOVER_WINDOW_MS after it. */
  metAt(atMs: number): boolean {
    return this.seenMs.some((seen) => Math.abs(seen - atMs) <= HANDOVER_WINDOW_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private async look(): Promise<void> {
    const askedMs = performance.now();
    try {
      const { holder } = (await this.cluster.health()).detector;
      if (holder !== null && this.holder !== null && holder !== this.holder) this.seenMs.push(askedMs);
      if (holder !== null) this.holder = holder;
    } catch {
      // The control plane is busy; the next look is 250 ms away.
    }
  }
}
