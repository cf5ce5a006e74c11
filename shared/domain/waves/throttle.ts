/**
 * Backs off when clients feel the work: the budget's share is halved while their latency is far above what it was before, and grows back step
 * by step (additive increase, multiplicative decrease, as TCP does; Jacobson, "Congestion Avoidance and Control", 1988).
 */
export interface Throttle {
  /** Share of the budget that may be used, SHARE_MIN to 1. */
  readonly share: number;
  /** Clients' latency before the work, ms: the median over nodes of their p99; null while nobody told one. */
  readonly baselineMs: number | null;
  /** Wall clock of the last judgement. */
  readonly atMs: number;
}

export interface ThrottleOptions {
  /** Latency so many times the baseline counts as felt; DESIGN section 10 allows 2. */
  readonly ratioMax: number;
}

/** Nodes tell of their clients every 10 s: what changed since the last judgement shows only after the next beat. */
export const JUDGED_EVERY_MS = 10_000;
/** Excess that no client notices, ms: a p99 of 1 ms that doubles is noise. */
const EXCESS_MS_MIN = 10;
const SHARE_MIN = 1 / 16;
const GROWTH = 1 / 8;

export const UNTHROTTLED: Throttle = { share: 1, baselineMs: null, atMs: 0 };

/** The throttle after a look at clients' p99 on several nodes; as it is while it is too early to judge again. */
export function judged(
  before: Throttle,
  latenciesMs: readonly number[],
  options: ThrottleOptions,
  nowMs: number,
): Throttle {
  const latencyMs = median(latenciesMs);
  if (latencyMs === null || nowMs - before.atMs < JUDGED_EVERY_MS) return before;
  if (before.baselineMs === null) return { ...before, baselineMs: latencyMs, atMs: nowMs };
  const felt = latencyMs > before.baselineMs * options.ratioMax && latencyMs > before.baselineMs + EXCESS_MS_MIN;
  const share = felt ? Math.max(SHARE_MIN, before.share / 2) : Math.min(1, before.share + GROWTH);
  // A quieter cluster than at the start is the better measure.
  return { share, baselineMs: Math.min(before.baselineMs, latencyMs), atMs: nowMs };
}

function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? null;
}
