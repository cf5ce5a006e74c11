import { randomBytes } from 'node:crypto';
import { openSync, readSync } from 'node:fs';
import { uptime } from 'node:os';
import type { Clock, Environment, Logger, Random, Timers } from '../ports.ts';

/** The ports over the operating system. */

/**
 * Monotonic milliseconds that run through suspension (L3). `os.uptime()` does (CLOCK_BOOTTIME), but Linux rounds it down
 * to 10 ms; `performance.now()` is fine but stops while the machine is suspended. So the fine clock is shifted by the
 * largest distance seen between the two: the sum never goes back, follows a jump of the boot clock at the next reading, and
 * is never ahead of the boot clock's true value nor more than its 10 ms behind.
 */
export function bootClock(
  coarseMs: () => number = () => uptime() * 1000,
  fineMs: () => number = () => performance.now(),
): () => number {
  let shiftMs = -Infinity;
  return () => {
    // In this order: a pause between the two readings makes the distance smaller than it is, never larger for good.
    const coarse = coarseMs();
    const now = fineMs();
    shiftMs = Math.max(shiftMs, coarse - now);
    return now + shiftMs;
  };
}

export const systemClock = (): Clock => ({ wallMs: () => Date.now(), monotonicMs: bootClock() });

export const systemTimers: Timers = {
  after: (delayMs, callback) => {
    if (delayMs <= 0) {
      // A timer of 0 ms takes at least 1 ms; the group commit only wants the next turn of the loop.
      const turn = setImmediate(callback);
      return {
        cancel: () => {
          clearImmediate(turn);
        },
      };
    }
    const timer = setTimeout(callback, delayMs);
    return {
      cancel: () => {
        clearTimeout(timer);
      },
    };
  },
  sleep: (delayMs, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      const finish = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', finish);
        resolve();
      };
      const timer = setTimeout(finish, Math.max(0, delayMs));
      signal?.addEventListener('abort', finish, { once: true });
    }),
};

export const systemRandom: Random = {
  next: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
  hex: (bytes) => randomBytes(bytes).toString('hex'),
};

/** One JSON object a line on standard error; standard output carries the address alone. */
export function jsonLogger(common: Readonly<Record<string, unknown>>): Logger {
  const line = (level: string) => (event: string, fields?: Readonly<Record<string, unknown>>) => {
    process.stderr.write(`${JSON.stringify({ at: new Date().toISOString(), level, event, ...common, ...fields })}\n`);
  };
  return { info: line('info'), warn: line('warn'), error: line('error') };
}

/** Second field: nanoseconds on the run queue (Linux, Documentation/scheduler/sched-stats). Of the process's first thread, which is the node's. */
const SCHEDULER_STATISTICS = '/proc/self/schedstat';

function processorWait(): () => number | null {
  const buffer = Buffer.alloc(128);
  let file: number | null = null;
  return () => {
    try {
      file ??= openSync(SCHEDULER_STATISTICS, 'r');
      const read = readSync(file, buffer, 0, buffer.length, 0);
      const waited = Number(buffer.toString('latin1', 0, read).split(' ')[1]);
      return Number.isFinite(waited) ? waited / 1e6 : null;
    } catch {
      return null; // another system, or a kernel without these statistics
    }
  };
}

export const systemEnvironment = (nodeId: string): Environment => ({
  clock: systemClock(),
  timers: systemTimers,
  random: systemRandom,
  log: jsonLogger({ node_id: nodeId }),
  processorWaitMs: processorWait(),
});
