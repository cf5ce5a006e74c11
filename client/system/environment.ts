import { randomBytes } from 'node:crypto';
import type { ClientEnvironment } from '../ports.ts';

/** The client's ports over the operating system. Deadlines are short, so a clock that stops in suspension serves. */
export const systemEnvironment: ClientEnvironment = {
  clock: { monotonicMs: () => performance.now() },
  timers: {
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
  },
  random: {
    next: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
    hex: (bytes) => randomBytes(bytes).toString('hex'),
  },
};
