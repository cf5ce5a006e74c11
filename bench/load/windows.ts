import { metPause } from './machine-pauses.ts';
import type { Pause } from './machine-pauses.ts';
import { percentile, rounded } from './statistics.ts';
import { FAILED_AFTER_MS } from './traffic.ts';
import type { Request } from './traffic.ts';

/** A time span under load: quiet, or busy with structural work. `performance.now`. */
export interface Window {
  readonly kind: 'QUIET' | 'BUSY';
  readonly fromMs: number;
  readonly toMs: number;
}

export interface WindowFigures {
  readonly requests: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

/** Of a request that is still under way: so far. One that will never be acknowledged took for ever. */
const timeOf = ({ tookMs, error, dueMs }: Request): number =>
  tookMs ?? (error === null ? performance.now() - dueMs : Infinity);

/** Failed: not acknowledged within a second, retries included. */
export const failedOf = (requests: readonly Request[]): readonly Request[] =>
  requests.filter((request) => timeOf(request) > FAILED_AFTER_MS);

/** Requests whose first attempt got no row and no acknowledgement. */
export const refusedAtFirst = (requests: readonly Request[]): readonly Request[] =>
  requests.filter(({ attempts }) => attempts[0] !== undefined && attempts[0].code !== 'OK');

export function countsOf(codes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const code of codes) counts[code] = (counts[code] ?? 0) + 1;
  return counts;
}

/** Of the requests due in the window, but for those that met one of `pauses`. */
export function figuresOf(
  requests: readonly Request[],
  { fromMs, toMs }: Window,
  pauses: readonly Pause[] = [],
): WindowFigures {
  const times = requests
    .filter(({ dueMs }) => dueMs >= fromMs && dueMs < toMs)
    .map((request) => ({ dueMs: request.dueMs, tookMs: timeOf(request) }))
    .filter(({ dueMs, tookMs }) => !metPause(pauses, dueMs, dueMs + tookMs))
    .map(({ tookMs }) => tookMs);
  return {
    requests: times.length,
    p50Ms: rounded(percentile(times, 50)),
    p99Ms: rounded(percentile(times, 99)),
    maxMs: rounded(percentile(times, 100)),
  };
}

/** p99 of each busy window over that of the quiet one right before it. */
export function ratiosOf(
  requests: readonly Request[],
  windows: readonly Window[],
  pauses: readonly Pause[] = [],
): readonly number[] {
  return windows.flatMap((window, index) => {
    const before = windows[index - 1];
    if (window.kind !== 'BUSY' || before?.kind !== 'QUIET') return [];
    const quiet = figuresOf(requests, before, pauses).p99Ms;
    const busy = figuresOf(requests, window, pauses).p99Ms;
    if (quiet === null || busy === null) throw new Error('a window without requests');
    return [Math.round((busy / quiet) * 100) / 100];
  });
}

/** The middle one; of an even number, the mean of the two in the middle. Null of none. */
export function medianOf(values: readonly number[]): number | null {
  const sorted = values.toSorted((left, right) => left - right);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  return upper === undefined || lower === undefined ? null : (upper + lower) / 2;
}
