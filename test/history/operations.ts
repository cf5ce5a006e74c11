/**
 * What clients did to one key, and what they saw: a register that is put, deleted and read. Values of puts are unique, so that a read
 * names the put that it saw; `null` is the register without a value, as every delete leaves it. Times are milliseconds of one clock.
 */
export interface RegisterWrite {
  readonly kind: 'write';
  /** Null: a delete. */
  readonly value: string | null;
  readonly startMs: number;
  /** When its acknowledgement arrived; null: unknown outcome, it may take effect at any later time, or never. */
  readonly endMs: number | null;
  readonly client: string;
}

export interface RegisterRead {
  readonly kind: 'read';
  /** Null: nothing was found. */
  readonly value: string | null;
  readonly startMs: number;
  readonly endMs: number;
  readonly client: string;
}

/** Attempts that surely had no effect, and reads without an answer, are no part of a history. */
export type RegisterOperation = RegisterWrite | RegisterRead;

/** An operation in words, for the explanation of a failed check. */
export function describeOperation({ kind, value, startMs, endMs, client }: RegisterOperation): string {
  const what =
    kind === 'read'
      ? `${client} read ${value ?? 'nothing'}`
      : value === null
        ? `${client} deleted it`
        : `${client} wrote ${value}`;
  return `${what} between ${time(startMs)} and ${endMs === null ? 'an unknown time' : time(endMs)}`;
}

const time = (ms: number): string => `${Math.round(ms * 1000) / 1000} ms`;
