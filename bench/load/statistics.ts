/** The `p`-th percentile (0 to 100) of `samples` by nearest rank; null if there is none. */
export function percentile(samples: readonly number[], p: number): number | null {
  if (samples.length === 0) return null;
  const sorted = samples.toSorted((left, right) => left - right);
  const rank = Math.ceil((p / 100) * sorted.length);
  return sorted[Math.max(0, rank - 1)] ?? null;
}

/** `value` with one decimal, for reports. */
export const rounded = (value: number | null): number | null => (value === null ? null : Math.round(value * 10) / 10);
