import type { Logger, Timers } from '../shared/ports.ts';
import type { ControlPlane } from './control-plane.ts';

/** EventBridge's schedules on one machine. */

/** The detector's rule: EventBridge can't fire more often than once a minute. */
export const DETECTOR_EVERY_MS = 60_000;
/** The reconcile tick, counted from the end of the tick before. */
export const RECONCILE_EVERY_MS = 3_000;

export interface Schedules {
  /** Ends all loops and waits for them. */
  stop(): Promise<void>;
}

export function startSchedules(controlPlane: ControlPlane, timers: Timers, log: Logger): Schedules {
  const stopping = new AbortController();
  const { signal } = stopping;
  const loops = new Set<Promise<void>>();
  const track = (name: string, work: Promise<void>): void => {
    const tracked = work
      .catch((error: unknown) => log.error('schedule-failed', { name, error }))
      .finally(() => loops.delete(tracked));
    loops.add(tracked);
  };

  /** A rule fires at its rate, whether or not what it started has ended: that is how detector loops overlap. */
  const detectorRule = async (): Promise<void> => {
    while (!signal.aborted) {
      track('detect-failures', controlPlane.runDetectorLoop(signal));
      await timers.sleep(DETECTOR_EVERY_MS, signal);
    }
  };
  const reconcileTicks = async (): Promise<void> => {
    while (!signal.aborted) {
      await controlPlane.reconcile().catch((error: unknown) => log.error('reconcile-failed', { error }));
      await timers.sleep(RECONCILE_EVERY_MS, signal);
    }
  };
  track('detector-rule', detectorRule());
  track('reconcile-ticks', reconcileTicks());

  return {
    stop: async () => {
      stopping.abort();
      while (loops.size > 0) await Promise.all(loops);
    },
  };
}
