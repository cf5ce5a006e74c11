import type { RegisterOperation } from './operations.ts';

/**
 * Linearizability of a register that is put and read, never deleted, by another algorithm than `checkRegister`, to hold the two against
 * each other: P. B. Gibbons and E. Korach, "Testing shared memories", SIAM Journal on Computing 26 (1997), section 5.2. A value's
 * operations span a zone between the earliest end and the latest start of any of them. If the end comes first (forward zone), the
 * register must hold the value throughout; else (backward zone) there is room for all of them at one moment in it. A history is
 * linearizable if no read comes before its write, no two forward zones overlap, and no backward zone lies inside a forward zone.
 */
interface Zone {
  readonly lowMs: number;
  readonly highMs: number;
}

export function linearizableByZones(history: readonly RegisterOperation[]): boolean {
  const writes = new Map<string | null, Zone>([[null, { lowMs: -Infinity, highMs: -Infinity }]]);
  for (const { kind, value, startMs, endMs } of history)
    if (kind === 'write') writes.set(value, { lowMs: startMs, highMs: endMs ?? Infinity });
  const reads = Map.groupBy(
    history.filter((operation) => operation.kind === 'read'),
    (read) => read.value,
  );
  for (const [value, ofValue] of reads) {
    const write = writes.get(value);
    if (write === undefined || ofValue.some((read) => read.endMs < write.lowMs)) return false;
  }
  const forward: Zone[] = [];
  const backward: Zone[] = [];
  for (const [value, write] of writes) {
    const ofValue = reads.get(value) ?? [];
    // A write whose outcome is unknown and that nobody saw may never have happened.
    if (write.highMs === Infinity && ofValue.length === 0) continue;
    const firstEndMs = Math.min(write.highMs, ...ofValue.map((read) => read.endMs));
    const lastStartMs = Math.max(write.lowMs, ...ofValue.map((read) => read.startMs));
    if (firstEndMs < lastStartMs) forward.push({ lowMs: firstEndMs, highMs: lastStartMs });
    else backward.push({ lowMs: lastStartMs, highMs: firstEndMs });
  }
  forward.sort((left, right) => left.lowMs - right.lowMs);
  return (
    forward.every((zone, index) => (forward[index + 1]?.lowMs ?? Infinity) >= zone.highMs) &&
    !backward.some((inner) => forward.some((outer) => outer.lowMs < inner.lowMs && inner.highMs < outer.highMs))
  );
}
