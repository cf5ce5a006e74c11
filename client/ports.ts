/**
 * What the client library needs of its surroundings. client/system implements it over the operating system, a simulation in
 * memory; the clocks, timers and randomness have the shape of the project's own ports.
 */
export interface ClientEnvironment {
  readonly clock: {
    /** Monotonic milliseconds of unspecified origin. */
    monotonicMs(): number;
  };
  readonly timers: {
    /** Resolves after `delayMs`, or at once when `signal` aborts. */
    sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  };
  readonly random: {
    /** Uniform in [0, 1). */
    next(): number;
    /** `bytes` random bytes as lower-case hex. */
    hex(bytes: number): string;
  };
}

export interface HttpCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: string;
  /** Null for none. */
  readonly bearer: string | null;
  /** JSON-serialisable; null for no body. */
  readonly body: unknown;
  readonly timeoutMs: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Gives the call up: its outcome is then as unknown as after a timeout. */
  readonly signal?: AbortSignal;
}

export type HttpOutcome =
  | {
      readonly kind: 'ANSWERED';
      readonly status: number;
      /** Parsed JSON; null when the body was none. */
      readonly body: unknown;
      readonly retryAfterSeconds: number | null;
      /** Revision of what is shown; null or missing: the answer has none. */
      readonly etag?: string | null;
    }
  /** NOT_SENT: the other side can't have seen it (no connection). UNKNOWN: it may have been processed. */
  | { readonly kind: 'UNREACHABLE'; readonly processed: 'NOT_SENT' | 'UNKNOWN'; readonly message: string };

export interface ClientNetwork {
  /** Never throws. */
  call(call: HttpCall): Promise<HttpOutcome>;
}
