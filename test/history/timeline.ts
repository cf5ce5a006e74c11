import type { RegisterOperation, RegisterWrite } from './operations.ts';

/** A history as the search walks through it: numbered values, calls and returns in the order of time. */

/** The number of the register without a value. */
export const NOTHING = 0;

/** A write or a read with both ends known. */
export interface Step {
  readonly operation: RegisterOperation;
  readonly kind: 'write' | 'read';
  readonly value: number;
  readonly startMs: number;
  /** By then it took effect. Of a put that was read: the end of the first read of it, if its acknowledgement came later or never. */
  readonly endMs: number;
}

export type TimelineEvent =
  | { readonly kind: 'CALL'; readonly step: Step; readonly atMs: number }
  | { readonly kind: 'RETURN'; readonly step: Step; readonly atMs: number }
  /** A delete whose outcome is unknown was sent: from here on it may take effect, once or never. */
  | { readonly kind: 'LOOSE_DELETE'; readonly atMs: number };

export interface Timeline {
  readonly events: readonly TimelineEvent[];
  /** How often each value is read, by its number. */
  readonly reads: readonly number[];
}

/**
 * Throws if two puts have one value (a mistake of whoever made the history). Answers problems that no order of operations can mend:
 * reads of what nobody wrote, or had begun to write.
 */
export function timelineOf(
  history: readonly RegisterOperation[],
): { readonly timeline: Timeline } | { readonly impossible: readonly RegisterOperation[] } {
  const numbers = numberValues(history);
  const reads: number[] = Array.from({ length: numbers.size }, () => 0);
  const firstReadEndMs: number[] = Array.from({ length: numbers.size }, () => Infinity);
  const impossible: RegisterOperation[] = [];
  for (const operation of history) {
    if (operation.kind === 'write') continue;
    const value = numbers.get(operation.value);
    if (value === undefined) {
      impossible.push(operation);
      continue;
    }
    reads[value] = reads[value]! + 1;
    firstReadEndMs[value] = Math.min(firstReadEndMs[value]!, operation.endMs);
  }
  const events: TimelineEvent[] = [];
  for (const operation of history) {
    const value = numbers.get(operation.value);
    if (value === undefined) continue;
    const { kind, startMs } = operation;
    if (kind === 'write' && value === NOTHING && operation.endMs === null) {
      if (reads[NOTHING]! > 0) events.push({ kind: 'LOOSE_DELETE', atMs: startMs });
      continue;
    }
    // A put takes effect before any read of it ends; a put of unknown outcome that nobody saw may be left out.
    const answeredMs = operation.endMs ?? Infinity;
    const endMs = kind === 'read' || value === NOTHING ? answeredMs : Math.min(answeredMs, firstReadEndMs[value]!);
    if (endMs === Infinity) continue;
    if (endMs < startMs) {
      impossible.push(operation);
      continue;
    }
    const step: Step = { operation, kind, value, startMs, endMs };
    events.push({ kind: 'CALL', step, atMs: startMs }, { kind: 'RETURN', step, atMs: endMs });
  }
  if (impossible.length > 0) return { impossible };
  // What begins in the moment in which another ends, may be before or after it.
  events.sort((left, right) => left.atMs - right.atMs || rank(left) - rank(right));
  return { timeline: { events, reads } };
}

const rank = (event: TimelineEvent): number => (event.kind === 'RETURN' ? 1 : 0);

function numberValues(history: readonly RegisterOperation[]): ReadonlyMap<string | null, number> {
  const numbers = new Map<string | null, number>([[null, NOTHING]]);
  const isPut = (operation: RegisterOperation): operation is RegisterWrite =>
    operation.kind === 'write' && operation.value !== null;
  for (const { value } of history.filter(isPut)) {
    if (numbers.has(value)) throw new Error(`value ${value} was written twice: the check needs unique values`);
    numbers.set(value, numbers.size);
  }
  return numbers;
}
