import { randomBytes } from 'node:crypto';
import { uptime } from 'node:os';
import type { Clock, Logger, Random, Timers } from '../domain/environment.ts';

/** The operating system's time and randomness, for Lambda and the local runner. The simulation brings its own. */

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  // `performance.now()` stands still while the machine sleeps; the uptime of Linux (CLOCK_BOOTTIME) runs on (L3).
  monotonicMs: () => uptime() * 1000,
};

export const systemTimers: Timers = {
  after: (delayMs, callback) => {
    const handle = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  sleep: (delayMs, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const done = (): void => {
        clearTimeout(handle);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const handle = setTimeout(done, delayMs);
      signal?.addEventListener('abort', done);
    }),
};

const BITS_OF_A_DOUBLE = 2 ** 53;
export const systemRandom: Random = {
  next: () => Number(randomBytes(8).readBigUInt64BE() >> 11n) / BITS_OF_A_DOUBLE,
  hex: (bytes) => randomBytes(bytes).toString('hex'),
};

type Level = 'info' | 'warn' | 'error';

/** One JSON object a line. Errors are written with their stack and causes; nothing else is ever exposed to callers. */
export function jsonLogger(write: (line: string) => void, base: Readonly<Record<string, unknown>> = {}): Logger {
  const at =
    (level: Level) =>
    (event: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      const entry = { at: new Date().toISOString(), level, event, ...base, ...fields };
      write(JSON.stringify(entry, (_key, value: unknown) => (value instanceof Error ? describeError(value) : value)));
    };
  return { info: at('info'), warn: at('warn'), error: at('error') };
}

function describeError(error: Error): Readonly<Record<string, unknown>> {
  const code = 'code' in error ? { code: error.code } : {};
  const cause = error.cause === undefined ? {} : { cause: error.cause };
  return { name: error.name, message: error.message, ...code, stack: error.stack, ...cause };
}
