import type { ScheduledEvent, VirtualTime } from './virtual-time.ts';
import { WALL_CLOCK_START_MS } from './virtual-time.ts';

/**
 * Runs `work` with the global timers and `Date.now` under virtual time: the library that interprets state machines
 * (aws-local-stepfunctions) waits and times out by them. Everything else gets its time through ports.
 */
export async function withGlobalTimers<T>(time: VirtualTime, work: () => Promise<T>): Promise<T> {
  const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout, now: Date.now };
  const pending = new Map<number, ScheduledEvent>();
  let handles = 0;
  const setVirtual = (callback: (...args: unknown[]) => void, delayMs = 0, ...args: unknown[]): number => {
    const handle = ++handles;
    const event = time.after(delayMs, () => {
      pending.delete(handle);
      callback(...args);
    });
    pending.set(handle, event);
    return handle;
  };
  const clearVirtual = (handle: unknown): void => {
    pending.get(handle as number)?.cancel();
    pending.delete(handle as number);
  };
  globalThis.setTimeout = setVirtual as unknown as typeof setTimeout;
  globalThis.clearTimeout = clearVirtual;
  Date.now = () => Math.floor(WALL_CLOCK_START_MS + time.nowMs());
  try {
    return await work();
  } finally {
    globalThis.setTimeout = real.setTimeout;
    globalThis.clearTimeout = real.clearTimeout;
    Date.now = real.now;
  }
}
