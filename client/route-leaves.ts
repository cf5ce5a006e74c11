import { commonPrefixLength, lastAtOrBelow, shortCodeOf } from './key-codes.ts';
import { SortedKeys } from './sorted-keys.ts';

/**
 * Routes in key order, laid out for look-ups at random among a million: leaves of LEAF_SLOTS slots in arrays that all leaves
 * share, under one sorted list of the leaves' lowest keys, which stays in the processor's cache. A look-up reads the codes of one
 * leaf, then one slot; an insertion moves at most one leaf.
 *
 * A shard nearly always ends where the next one begins. Only ends of which this is not so, before gaps, are kept.
 */
export interface RouteEntry {
  /** Sort forms (route-cache.ts). */
  readonly start: string;
  /** Exclusive; null is the end of the key space. */
  readonly end: string | null;
  readonly shardId: string;
  readonly epoch: number;
  readonly generation: number;
  /** Index into the list of leaders. */
  readonly leader: number;
}

/** So few that the codes of a leaf, 4 bytes each, are two cache lines; so many that the list of leaves is small. */
const LEAF_SLOTS = 32;
/** Numbers of one slot: epoch, generation, leader. */
const SLOT_NUMBERS = 3;
/** Of one leaf, in units of 8 bytes: codes, two in each, then the numbers of every slot; side by side, as one page of memory is found. */
const LEAF_NUMBERS = LEAF_SLOTS / 2 + LEAF_SLOTS * SLOT_NUMBERS;
const LEAF_CODES = LEAF_NUMBERS * 2;
const STALE = -1;

/** Where the numbers of a slot begin. */
function numbersOf(slot: number): number {
  const leaf = (slot / LEAF_SLOTS) | 0;
  return leaf * LEAF_NUMBERS + LEAF_SLOTS / 2 + (slot - leaf * LEAF_SLOTS) * SLOT_NUMBERS;
}

export class RouteLeaves {
  /** Number of entries. */
  size = 0;
  /** Leaves in key order, and the first start of each. */
  private order = new Uint32Array(0);
  private readonly lows = new SortedKeys();
  private readonly freed: number[] = [];

  // By leaf.
  private counts = new Uint8Array(0);
  /** Units that all keys from the leaf's low up to the next leaf's have in common: codes begin behind them. STALE: none made. */
  private prefixLengths = new Int16Array(0);
  /** 0 if every entry of the leaf ends where the next one begins, the table's last one at the end of the key space. */
  private gaps = new Uint8Array(0);
  /** Null likewise; else undefined for those entries of which it is so. */
  private readonly ends: ((string | undefined)[] | null)[] = [];

  private numbers = new Float64Array(0);
  private codes = new Uint32Array(this.numbers.buffer);

  // By slot: leaf * LEAF_SLOTS + index.
  private readonly starts: string[] = [];
  private readonly shardIds: string[] = [];

  /** Slot of the entry that holds `key`; -1 if none does. */
  find(key: string): number {
    const position = this.lows.search(key);
    if (position < 0) return -1;
    const leaf = this.order[position] as number;
    const index = this.search(position, leaf, key);
    if (this.gaps[leaf] !== 0) {
      const end = this.ends[leaf]?.[index];
      if (end !== undefined && key >= end) return -1;
    }
    return leaf * LEAF_SLOTS + index;
  }

  shardIdAt(slot: number): string {
    return this.shardIds[slot] as string;
  }

  epochAt(slot: number): number {
    return this.numbers[numbersOf(slot)] as number;
  }

  generationAt(slot: number): number {
    return this.numbers[numbersOf(slot) + 1] as number;
  }

  leaderAt(slot: number): number {
    return this.numbers[numbersOf(slot) + 2] as number;
  }

  /** Entries that have a key in [start, end), in key order. */
  overlapping(start: string, end: string | null): readonly RouteEntry[] {
    const found: RouteEntry[] = [];
    let position = Math.max(0, this.lows.search(start));
    for (; position < this.lows.length; position++) {
      const leaf = this.leafAt(position);
      for (let index = Math.max(0, this.plainSearch(leaf, start)); index < this.count(leaf); index++) {
        const entry = this.entryAt(position, index);
        if (end !== null && entry.start >= end) return found;
        if (entry.end === null || entry.end > start) found.push(entry);
      }
    }
    return found;
  }

  /** Adds an entry that overlaps no other. */
  insert(entry: RouteEntry): void {
    if (this.lows.length === 0) this.place(0, entry.start);
    let position = Math.max(0, this.lows.search(entry.start));
    if (this.count(this.leafAt(position)) === LEAF_SLOTS) position = this.makeRoom(position, entry.start);
    const leaf = this.leafAt(position);
    const index = this.plainSearch(leaf, entry.start) + 1;
    this.move(leaf, index, index + 1);
    this.write(leaf * LEAF_SLOTS + index, entry);
    if (index === 0) this.setLow(position, entry.start);
    this.setEnd(leaf, index, entry.end === this.nextStart(position, index) ? undefined : (entry.end ?? undefined));
    const [beforePosition, before] = this.previous(position, index);
    if (before < 0) return;
    const beforeLeaf = this.leafAt(beforePosition);
    if (this.ends[beforeLeaf]?.[before] === entry.start) this.setEnd(beforeLeaf, before, undefined);
  }

  /** Takes away the entry that begins at `start`. */
  remove(start: string): void {
    const position = this.lows.search(start);
    const leaf = this.leafAt(position);
    const index = this.plainSearch(leaf, start);
    const [beforePosition, before] = this.previous(position, index);
    if (before >= 0 && this.nextStart(beforePosition, before) === this.entryAt(beforePosition, before).end)
      this.setEnd(this.leafAt(beforePosition), before, start);
    this.move(leaf, index + 1, index);
    if (this.count(leaf) === 0) this.drop(position);
    else if (index === 0) this.setLow(position, this.starts[leaf * LEAF_SLOTS] as string);
  }

  /** Overwrites the entry that has the same bounds. */
  replace(entry: RouteEntry): void {
    const slot = this.find(entry.start);
    this.write(slot, entry);
  }

  /** Index in the leaf of the last entry that starts at or before `key`, which is not below the leaf's low. */
  private search(position: number, leaf: number, key: string): number {
    // The outermost leaves have no neighbour that would tell a prefix.
    if (position === 0 || position === this.lows.length - 1) return this.plainSearch(leaf, key);
    if (this.prefixLengths[leaf] === STALE) this.encode(position, leaf);
    const { codes, starts } = this;
    const code = shortCodeOf(key, this.prefixLengths[leaf] as number);
    const first = leaf * LEAF_CODES;
    let low = 0;
    let high = this.counts[leaf] as number;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = codes[first + middle] as number;
      // Codes that differ decide; equal ones say nothing.
      if (other < code || (other === code && (starts[leaf * LEAF_SLOTS + middle] as string) <= key)) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  private plainSearch(leaf: number, key: string): number {
    const first = leaf * LEAF_SLOTS;
    return lastAtOrBelow(this.starts, first, first + this.count(leaf), key) - first;
  }

  /** What two keys have in common, every key between them has. */
  private encode(position: number, leaf: number): void {
    const length = commonPrefixLength(this.lows.at(position) ?? '', this.lows.at(position + 1) ?? '');
    for (let index = 0; index < this.count(leaf); index++)
      this.codes[leaf * LEAF_CODES + index] = shortCodeOf(this.starts[leaf * LEAF_SLOTS + index] as string, length);
    this.prefixLengths[leaf] = length;
  }

  private entryAt(position: number, index: number): RouteEntry {
    const leaf = this.leafAt(position);
    const slot = leaf * LEAF_SLOTS + index;
    return {
      start: this.starts[slot] as string,
      end: this.ends[leaf]?.[index] ?? this.nextStart(position, index),
      shardId: this.shardIdAt(slot),
      epoch: this.epochAt(slot),
      generation: this.generationAt(slot),
      leader: this.leaderAt(slot),
    };
  }

  /** Start of the entry behind this one; null if it is the last. */
  private nextStart(position: number, index: number): string | null {
    const leaf = this.leafAt(position);
    if (index + 1 < this.count(leaf)) return this.starts[leaf * LEAF_SLOTS + index + 1] as string;
    return this.lows.at(position + 1) ?? null;
  }

  /** The entry before this one; index -1 if it is the first. */
  private previous(position: number, index: number): readonly [position: number, index: number] {
    if (index > 0) return [position, index - 1];
    return position === 0 ? [0, -1] : [position - 1, this.count(this.leafAt(position - 1)) - 1];
  }

  private write(slot: number, entry: RouteEntry): void {
    this.starts[slot] = entry.start;
    this.shardIds[slot] = entry.shardId;
    this.numbers.set([entry.epoch, entry.generation, entry.leader], numbersOf(slot));
  }

  private setEnd(leaf: number, index: number, end: string | undefined): void {
    const ends = this.ends[leaf] ?? null;
    if (ends === null && end === undefined) return;
    const own = ends ?? Array<string | undefined>(LEAF_SLOTS).fill(undefined);
    own[index] = end;
    const none = own.every((other) => other === undefined);
    this.ends[leaf] = none ? null : own;
    this.gaps[leaf] = none ? 0 : 1;
  }

  /** Moves the entries of a leaf from index `from` on, to index `to`: one further makes a hole, one back closes it. */
  private move(leaf: number, from: number, to: number): void {
    const first = leaf * LEAF_SLOTS;
    const count = this.count(leaf);
    const grown = to - from;
    for (const column of [this.starts, this.shardIds]) {
      const moved = column.slice(first + from, first + count);
      for (const [i, text] of moved.entries()) column[first + to + i] = text;
      // A slot that is no longer used must keep no string alive.
      if (grown < 0) column.fill('', first + count + grown, first + count);
    }
    const numbers = numbersOf(first);
    this.numbers.copyWithin(numbers + to * SLOT_NUMBERS, numbers + from * SLOT_NUMBERS, numbers + count * SLOT_NUMBERS);
    const ends = this.ends[leaf];
    if (ends) {
      ends.copyWithin(to, from, count);
      if (grown < 0) ends.fill(undefined, count + grown, count);
      else ends.fill(undefined, from, to);
    }
    this.counts[leaf] = count + grown;
    this.prefixLengths[leaf] = STALE;
    this.size += grown;
  }

  /** Splits a full leaf, and answers the position of that in which `start` belongs. */
  private makeRoom(position: number, start: string): number {
    const left = this.leafAt(position);
    const first = left * LEAF_SLOTS;
    // Routes usually arrive in key order: the last leaf is left full, others are halved.
    if (position === this.lows.length - 1 && start > (this.starts[first + LEAF_SLOTS - 1] as string)) {
      this.place(position + 1, start);
      return position + 1;
    }
    const half = LEAF_SLOTS >> 1;
    const low = this.starts[first + half] as string;
    const moved = Array.from({ length: LEAF_SLOTS - half }, (_, i) => this.entryAt(position, half + i));
    const ends = this.ends[left]?.slice(half) ?? null;
    this.move(left, LEAF_SLOTS, half);
    const right = this.place(position + 1, low);
    for (const [i, entry] of moved.entries()) this.write(right * LEAF_SLOTS + i, entry);
    for (const [i, end] of (ends ?? []).entries()) this.setEnd(right, i, end);
    this.counts[right] = moved.length;
    this.size += moved.length;
    return start >= low ? position + 1 : position;
  }

  /** Puts an empty leaf at `position`, to begin with `low`. */
  private place(position: number, low: string): number {
    const leaf = this.freed.pop() ?? this.ends.length;
    if (leaf === this.ends.length) {
      if (leaf === this.counts.length) this.grow();
      this.ends.push(null);
      for (let i = 0; i < LEAF_SLOTS; i++) {
        this.starts.push('');
        this.shardIds.push('');
      }
    }
    this.order.copyWithin(position + 1, position, this.lows.length);
    this.order[position] = leaf;
    this.lows.insert(position, low);
    this.neighboursChanged(position);
    return leaf;
  }

  private drop(position: number): void {
    const leaf = this.leafAt(position);
    this.ends[leaf] = null;
    this.gaps[leaf] = 0;
    this.freed.push(leaf);
    this.order.copyWithin(position, position + 1, this.lows.length);
    this.lows.remove(position);
    this.neighboursChanged(position);
  }

  private setLow(position: number, low: string): void {
    this.lows.replace(position, low);
    this.neighboursChanged(position);
  }

  /** The prefix of a leaf depends on its own low and on that of the next. */
  private neighboursChanged(position: number): void {
    for (const near of [position - 1, position])
      if (near >= 0 && near < this.lows.length) this.prefixLengths[this.leafAt(near)] = STALE;
  }

  /** A quarter more leaves. */
  private grow(): void {
    const leaves = this.counts.length + (this.counts.length >> 2) + 1;
    const grown = <T extends Uint8Array | Int16Array | Uint32Array | Float64Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.order = grown(this.order, new Uint32Array(leaves));
    this.counts = grown(this.counts, new Uint8Array(leaves));
    this.gaps = grown(this.gaps, new Uint8Array(leaves));
    this.prefixLengths = grown(this.prefixLengths, new Int16Array(leaves));
    this.numbers = grown(this.numbers, new Float64Array(leaves * LEAF_NUMBERS));
    this.codes = new Uint32Array(this.numbers.buffer);
  }

  private leafAt(position: number): number {
    if (position >= this.lows.length) throw new RangeError(`no leaf ${position}`);
    return this.order[position] as number;
  }

  private count(leaf: number): number {
    return this.counts[leaf] as number;
  }
}
