import type { Clock, Logger, Random, Timer, Timers } from '../../shared/domain/environment.ts';

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  #nowMs: number;
  constructor(startMs = Date.UTC(2026, 10, 20, 20)) {
    this.#nowMs = startMs;
  }
  wallMs(): number {
    return this.#nowMs;
  }
  monotonicMs(): number {
    return this.#nowMs;
  }
  advance(byMs: number): void {
    this.#nowMs += byMs;
  }
}

/** Seeded randomness (mulberry32): the same seed gives the same run. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const hexByte = (): string =>
    Math.floor(next() * 256)
      .toString(16)
      .padStart(2, '0');
  return { next, hex: (bytes) => Array.from({ length: bytes }, hexByte).join('') };
}

/** Timers whose callbacks run when the test says so, earliest first; the clock goes along. */
export class ManualTimers implements Timers {
  readonly #clock: ManualClock;
  readonly #pending = new Set<{ dueMs: number; callback: () => void }>();
  constructor(clock: ManualClock) {
    this.#clock = clock;
  }
  after(delayMs: number, callback: () => void): Timer {
    const entry = { dueMs: this.#clock.monotonicMs() + delayMs, callback };
    this.#pending.add(entry);
    return { cancel: () => this.#pending.delete(entry) };
  }
  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      const timer = this.after(delayMs, resolve);
      signal?.addEventListener('abort', () => {
        timer.cancel();
        resolve();
      });
    });
  }
  /** Number of timers that wait. */
  get waiting(): number {
    return this.#pending.size;
  }
  /** Runs what is due within `byMs`, in order, and lets promises settle after each. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#clock.monotonicMs() + byMs;
    await settled();
    for (;;) {
      const due = [...this.#pending].filter((entry) => entry.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (due === undefined) break;
      this.#pending.delete(due);
      this.#clock.advance(Math.max(0, due.dueMs - this.#clock.monotonicMs()));
      due.callback();
      await settled();
    }
    this.#clock.advance(Math.max(0, untilMs - this.#clock.monotonicMs()));
  }
}

/** Timers that fire as soon as promises have settled, for code whose pauses do not matter to the test. */
export const hastyTimers: Timers = {
  after: (_delayMs, callback) => {
    const handle = setImmediate(callback);
    return { cancel: () => clearImmediate(handle) };
  },
  sleep: () => new Promise((resolve) => setImmediate(resolve)),
};

/** Lets every promise that can settle without a timer do so. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A logger that keeps its lines. */
export function memoryLogger(): Logger & { readonly lines: { level: string; event: string; fields: unknown }[] } {
  const lines: { level: string; event: string; fields: unknown }[] = [];
  const write =
    (level: string) =>
    (event: string, fields?: Readonly<Record<string, unknown>>): void => {
      lines.push({ level, event, fields });
    };
  return { lines, info: write('info'), warn: write('warn'), error: write('error') };
}
