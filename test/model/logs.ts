import type { Entry, Position } from './events.ts';

/**
 * All entries that were ever appended to a shard's logs, each with the one before it. A log is a position here: what it holds is what lies on
 * the way to the root. That two logs with the same (epoch, seq) are equal up to there is what R5 promises, so one place tells of both.
 */
interface Place extends Position {
  readonly before: Place | null;
  readonly writes: Entry['writes'];
}

const keyOf = ({ epoch, seq }: Position): string => `${epoch}:${seq}`;
const START: Place = { epoch: 0, seq: 0, before: null, writes: [] };

export class Logs {
  private readonly places = new Map<string, Place>([[keyOf(START), START]]);
  private readonly newest = new Map<string, number>();

  has(at: Position): boolean {
    return this.places.has(keyOf(at));
  }

  /** Notes a leader's new entry after `last`; false if this (epoch, seq) was given before (I-3). */
  append(last: Position, entry: Entry): boolean {
    const before = this.places.get(keyOf(last));
    if (before === undefined || this.has(entry)) return false;
    this.put({ epoch: entry.epoch, seq: entry.seq, before, writes: entry.writes });
    return true;
  }

  private put(place: Place): void {
    this.places.set(keyOf(place), place);
    for (const { value } of place.writes)
      this.newest.set(value, Math.max(place.epoch, this.newest.get(value) ?? place.epoch));
  }

  /** The highest epoch of an entry with the value: a write that a leader never committed, and that was sent again, has entries of two terms (R6). */
  epochOf(value: string): number | undefined {
    return this.newest.get(value);
  }

  /** Whether the entry that is known under this (epoch, seq) follows `last` (R5). */
  follows(last: Position, entry: Position): boolean {
    const before = this.places.get(keyOf(entry))?.before;
    return before !== undefined && before !== null && keyOf(before) === keyOf(last);
  }

  /** The log that ends at `last`, from its end. */
  *entries(last: Position): Generator<Place> {
    for (let place = this.places.get(keyOf(last)); place !== undefined; place = place.before ?? undefined) yield place;
  }

  values(last: Position): Set<string> {
    const held = new Set<string>();
    for (const { writes } of this.entries(last)) for (const { value } of writes) held.add(value);
    return held;
  }

  /** Where the log that ends at `last` has sequence `seq`, or the nearest below. */
  cut(last: Position, seq: number): Position {
    for (const place of this.entries(last)) if (place.seq <= seq) return { epoch: place.epoch, seq: place.seq };
    return START;
  }

  /** Takes over the log of another shard up to `last`: a fork's child goes on with it (S1). */
  inherit(from: Logs, last: Position): void {
    for (const place of from.entries(last)) this.put(place);
  }

  /** The log of a merged shard begins at `base` with what both parts held (S2). */
  begin(base: Position, parts: readonly { readonly logs: Logs; readonly last: Position }[]): void {
    if (this.has(base)) return;
    const values = [
      ...new Map(
        parts
          .flatMap(({ logs, last }) => [...logs.entries(last)].flatMap((place) => place.writes))
          .map((write) => [write.value, write]),
      ).values(),
    ];
    this.put({ ...base, before: START, writes: values });
  }
}
