/**
 * Linearizability of one register from what its clients saw. Every write carries a value of its own, so each read names
 * its write, and the check is exact and takes O(n log n): P. B. Gibbons and E. Korach, "Testing Shared Memories", SIAM
 * Journal on Computing 26 (1997), section 5.2. A value's operations span a zone between the earliest end and the latest
 * start of any of them. If the end comes first (forward zone), the register must hold the value throughout; else (backward
 * zone) there is room for all of them at one moment in it. A history is linearizable if no read comes before its write, no
 * two forward zones overlap, and no backward zone lies inside a forward zone.
 */
export interface RegisterWrite {
  readonly kind: 'write';
  readonly value: string;
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

export type RegisterOperation = RegisterWrite | RegisterRead;

interface Zone {
  readonly value: string | null;
  readonly lowMs: number;
  readonly highMs: number;
}

/** Explanations of why the history of `key` is not linearizable; empty if it is. Attempts that surely had no effect must be left out. */
export function checkRegister(key: string, history: readonly RegisterOperation[]): readonly string[] {
  const problems: string[] = [];
  const writes = new Map<string | null, { startMs: number; endMs: number }>();
  writes.set(null, { startMs: -Infinity, endMs: -Infinity });
  for (const operation of history) {
    if (operation.kind !== 'write') continue;
    if (writes.has(operation.value))
      throw new Error(`value ${operation.value} was written twice: the check needs unique values`);
    writes.set(operation.value, { startMs: operation.startMs, endMs: operation.endMs ?? Infinity });
  }
  const reads = Map.groupBy(
    history.filter((operation) => operation.kind === 'read'),
    (read) => read.value,
  );
  const forward: Zone[] = [];
  const backward: Zone[] = [];
  for (const [value, valueReads] of reads) {
    const write = writes.get(value);
    if (write === undefined) {
      problems.push(`${key}: a read returned ${value}, which nobody wrote`);
      continue;
    }
    const early = valueReads.find((read) => read.endMs < write.startMs);
    if (early !== undefined) problems.push(`${key}: ${value} was read at ${early.endMs} ms, before its write began`);
  }
  for (const [value, write] of writes) {
    const valueReads = reads.get(value) ?? [];
    // A write whose outcome is unknown and that nobody saw may never have happened.
    if (write.endMs === Infinity && valueReads.length === 0) continue;
    const firstEndMs = Math.min(write.endMs, ...valueReads.map((read) => read.endMs));
    const lastStartMs = Math.max(write.startMs, ...valueReads.map((read) => read.startMs));
    if (firstEndMs < lastStartMs) forward.push({ value, lowMs: firstEndMs, highMs: lastStartMs });
    else backward.push({ value, lowMs: lastStartMs, highMs: firstEndMs });
  }
  problems.push(...overlaps(key, forward), ...contained(key, forward, backward));
  return problems;
}

function overlaps(key: string, forward: Zone[]): readonly string[] {
  forward.sort((left, right) => left.lowMs - right.lowMs);
  const problems: string[] = [];
  for (const [index, zone] of forward.entries()) {
    const next = forward[index + 1];
    if (next !== undefined && next.lowMs < zone.highMs)
      problems.push(
        `${key}: ${show(zone)} must stand from ${zone.lowMs} to ${zone.highMs} ms, ${show(next)} from ${next.lowMs} to ${next.highMs} ms`,
      );
  }
  return problems;
}

function contained(key: string, forward: readonly Zone[], backward: readonly Zone[]): readonly string[] {
  const problems: string[] = [];
  for (const inner of backward) {
    const outer = lastStartingBefore(forward, inner.lowMs);
    if (outer !== undefined && outer.lowMs < inner.lowMs && inner.highMs < outer.highMs)
      problems.push(
        `${key}: ${show(outer)} must stand from ${outer.lowMs} to ${outer.highMs} ms, but ${show(inner)} happened between ${inner.lowMs} and ${inner.highMs} ms`,
      );
  }
  return problems;
}

/** The zone with the highest start below `ms`; `zones` are sorted by start. */
function lastStartingBefore(zones: readonly Zone[], ms: number): Zone | undefined {
  let low = 0;
  let high = zones.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (zones[middle]!.lowMs < ms) low = middle + 1;
    else high = middle;
  }
  return zones[low - 1];
}

const show = (zone: Zone): string => zone.value ?? 'nothing';
