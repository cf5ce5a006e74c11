/**
 * What the outside world lends to otherwise pure code: time, timers, randomness. Production implements these over the
 * operating system, the simulation over a virtual clock and a seeded generator; nothing else reads a clock.
 */

/** Clocks of one process. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. For display, token expiry and audit; never for lease decisions (L2, L3). */
  wallMs(): number;
  /** Monotonic milliseconds that run through suspension of the machine (L3). Origin unspecified. */
  monotonicMs(): number;
}

/** Handle of a pending timer. */
export interface Timer {
  cancel(): void;
}

/** Timers of one process. Callbacks never run synchronously inside `after`. */
export interface Timers {
  /** Runs `callback` once, `delayMs` (>= 0) from now. */
  after(delayMs: number, callback: () => void): Timer;
  /** Resolves after `delayMs` (>= 0), or at once when `signal` aborts (it never rejects). */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** Randomness of one process. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** `bytes` random bytes as lower-case hex. */
  hex(bytes: number): string;
}

/** A structured log line: one JSON object a line in production, a trace entry in the simulation. */
export interface Logger {
  info(event: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(event: string, fields?: Readonly<Record<string, unknown>>): void;
  error(event: string, fields?: Readonly<Record<string, unknown>>): void;
}
