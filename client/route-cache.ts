import { encodeKey } from '../shared/contracts/keys.ts';
import type { KeyType } from '../shared/contracts/keys.ts';
import type { Route } from '../shared/contracts/data/rows.ts';
import { KeyIndex } from './key-index.ts';

/**
 * Routes of one table in key order: leaves of parallel arrays under one array of low keys, so that a look-up is two binary
 * searches, an insertion moves at most one leaf, and a shard costs under 200 bytes.
 *
 * Keys are kept in a sort form in which JavaScript's `<` (UTF-16 units) orders them as their UTF-8 bytes do: surrogates are
 * moved above all other units (the fix-up of ICU's u_strCompare). Keys without such units, nearly all, are their own form.
 */
export interface LeaderAddress {
  readonly nodeId: string;
  readonly host: string;
  readonly port: number;
  readonly nodeEpoch: number;
}

export interface CachedRoute {
  readonly shardId: string;
  readonly epoch: number;
  readonly generation: number;
  readonly leader: LeaderAddress;
}

const LEAF_SHARDS_MAX = 256;

interface Leaf {
  count: number;
  readonly starts: string[];
  readonly startIndex: KeyIndex;
  /** Exclusive; null is the end of the key space. */
  readonly ends: (string | null)[];
  readonly shardIds: string[];
  readonly epochs: Float64Array;
  readonly generations: Float64Array;
  /** Index into the list of leaders. */
  readonly leaders: Uint32Array;
}

const newLeaf = (): Leaf => ({
  count: 0,
  starts: [],
  startIndex: new KeyIndex(),
  ends: [],
  shardIds: [],
  epochs: new Float64Array(LEAF_SHARDS_MAX),
  generations: new Float64Array(LEAF_SHARDS_MAX),
  leaders: new Uint32Array(LEAF_SHARDS_MAX),
});

interface Entry {
  readonly start: string;
  readonly end: string | null;
  readonly shardId: string;
  readonly epoch: number;
  readonly generation: number;
  readonly leader: number;
}

const HAS_HIGH_UNITS = /[\ud800-\uffff]/;

function sortForm(encoded: string): string {
  if (!HAS_HIGH_UNITS.test(encoded)) return encoded;
  let form = '';
  for (let i = 0; i < encoded.length; i++) {
    const unit = encoded.charCodeAt(i);
    form += String.fromCharCode(unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit);
  }
  return form;
}

/** Addresses of leaders, shared by all tables: one entry a node, that of its highest node epoch. */
export class LeaderBook {
  private readonly indexes = new Map<string, number>();
  private readonly leaders: LeaderAddress[] = [];

  indexOf(leader: Route['leader']): number {
    const address = { nodeId: leader.node_id, host: leader.host, port: leader.port, nodeEpoch: leader.node_epoch };
    const index = this.indexes.get(leader.node_id);
    if (index === undefined) {
      this.indexes.set(leader.node_id, this.leaders.length);
      return this.leaders.push(address) - 1;
    }
    const known = this.leaders[index];
    if (known === undefined || known.nodeEpoch <= leader.node_epoch) this.leaders[index] = address;
    return index;
  }

  at(index: number): LeaderAddress {
    const leader = this.leaders[index];
    if (leader === undefined) throw new RangeError(`no leader ${index}`);
    return leader;
  }
}

export class TableRoutes {
  readonly keyType: KeyType;
  private readonly book: LeaderBook;
  private readonly lows: string[] = [];
  private readonly lowIndex = new KeyIndex();
  private readonly leaves: Leaf[] = [];

  constructor(keyType: KeyType, book: LeaderBook) {
    this.keyType = keyType;
    this.book = book;
  }

  /** Shards held. */
  get size(): number {
    return this.leaves.reduce((sum, leaf) => sum + leaf.count, 0);
  }

  /** The route of `key` as callers write it ('' is the start of the table); null when none is cached, or the key is none. */
  lookup(key: string): CachedRoute | null {
    const form = this.formOf(key);
    if (form === null) return null;
    const at = this.find(form);
    if (at === null) return null;
    const [leaf, index] = at;
    const end = leaf.ends[index] ?? null;
    if (end !== null && form >= end) return null;
    return {
      shardId: leaf.shardIds[index] ?? '',
      epoch: leaf.epochs[index] ?? 0,
      generation: leaf.generations[index] ?? 0,
      leader: this.book.at(leaf.leaders[index] ?? 0),
    };
  }

  /** Takes a route in place of every cached one that overlaps it; an older generation of a shard that is cached is ignored. */
  learn(route: Route): void {
    const start = this.formOf(route.start_key);
    const end = route.end_key === null ? null : this.formOf(route.end_key);
    if (start === null || (route.end_key !== null && end === null)) return;
    const overlapping = this.overlapping(start, end);
    if (overlapping.some((entry) => entry.shardId === route.shard_id && entry.generation > route.generation)) return;
    for (const entry of overlapping) this.remove(entry.start);
    this.insert({
      start,
      end,
      shardId: route.shard_id,
      epoch: route.epoch,
      generation: route.generation,
      leader: this.book.indexOf(route.leader),
    });
  }

  private formOf(key: string): string | null {
    if (key === '') return '';
    const encoded = encodeKey(this.keyType, key);
    return encoded.ok ? sortForm(encoded.value) : null;
  }

  /** Last entry that starts at or before `form`. */
  private find(form: string): readonly [leaf: Leaf, index: number] | null {
    const lowest = this.lows[0];
    if (lowest === undefined || form < lowest) return null;
    const leaf = this.leaves[this.lowIndex.search(this.lows, this.lows.length, form)];
    if (leaf === undefined) return null;
    const index = leaf.startIndex.search(leaf.starts, leaf.count, form);
    return index < 0 ? null : [leaf, index];
  }

  private overlapping(start: string, end: string | null): Entry[] {
    const found: Entry[] = [];
    let leafIndex = Math.max(0, lastAtOrBelow(this.lows, this.lows.length, start));
    for (; leafIndex < this.leaves.length; leafIndex++) {
      const leaf = this.leaves[leafIndex];
      if (leaf === undefined) break;
      for (let i = Math.max(0, lastAtOrBelow(leaf.starts, leaf.count, start)); i < leaf.count; i++) {
        const entry = entryAt(leaf, i);
        if (end !== null && entry.start >= end) return found;
        if (entry.end === null || entry.end > start) found.push(entry);
      }
    }
    return found;
  }

  private insert(entry: Entry): void {
    let leafIndex = lastAtOrBelow(this.lows, this.lows.length, entry.start);
    if (leafIndex < 0) leafIndex = 0;
    if (this.leaves.length === 0) this.place(0, newLeaf(), entry.start);
    let leaf = this.leafAt(leafIndex);
    if (leaf.count === LEAF_SHARDS_MAX) {
      // Routes usually arrive in key order: the last leaf is left full, others are halved.
      const atEnd = leafIndex === this.leaves.length - 1 && entry.start > (leaf.starts[leaf.count - 1] ?? '');
      const right = splitOff(leaf, atEnd ? leaf.count : leaf.count >> 1);
      const low = right.starts[0] ?? entry.start;
      this.place(leafIndex + 1, right, low);
      if (entry.start >= low) leaf = right;
    }
    insertAt(leaf, lastAtOrBelow(leaf.starts, leaf.count, entry.start) + 1, entry);
    this.setLow(this.leaves.indexOf(leaf, leafIndex), leaf.starts[0] ?? entry.start);
  }

  private remove(start: string): void {
    const leafIndex = lastAtOrBelow(this.lows, this.lows.length, start);
    const leaf = this.leaves[leafIndex];
    if (leaf === undefined) return;
    const index = lastAtOrBelow(leaf.starts, leaf.count, start);
    if (leaf.starts[index] !== start) return;
    removeAt(leaf, index);
    if (leaf.count === 0) {
      this.leaves.splice(leafIndex, 1);
      this.lows.splice(leafIndex, 1);
      this.lowIndex.changed();
    } else this.setLow(leafIndex, leaf.starts[0] ?? '');
  }

  private place(index: number, leaf: Leaf, low: string): void {
    this.leaves.splice(index, 0, leaf);
    this.lows.splice(index, 0, low);
    this.lowIndex.changed();
  }

  private setLow(index: number, low: string): void {
    if (this.lows[index] === low) return;
    this.lows[index] = low;
    this.lowIndex.changed();
  }

  private leafAt(index: number): Leaf {
    const leaf = this.leaves[index];
    if (leaf === undefined) throw new RangeError(`no leaf ${index}`);
    return leaf;
  }
}

/** Index of the last of the first `count` sorted `keys` that is <= `key`; -1 if none is. For changes; look-ups use the indexes. */
function lastAtOrBelow(keys: readonly string[], count: number, key: string): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

const entryAt = (leaf: Leaf, index: number): Entry => ({
  start: leaf.starts[index] ?? '',
  end: leaf.ends[index] ?? null,
  shardId: leaf.shardIds[index] ?? '',
  epoch: leaf.epochs[index] ?? 0,
  generation: leaf.generations[index] ?? 0,
  leader: leaf.leaders[index] ?? 0,
});

function insertAt(leaf: Leaf, index: number, entry: Entry): void {
  leaf.starts.splice(index, 0, entry.start);
  leaf.ends.splice(index, 0, entry.end);
  leaf.shardIds.splice(index, 0, entry.shardId);
  for (const column of [leaf.epochs, leaf.generations, leaf.leaders]) column.copyWithin(index + 1, index, leaf.count);
  leaf.epochs[index] = entry.epoch;
  leaf.generations[index] = entry.generation;
  leaf.leaders[index] = entry.leader;
  leaf.count++;
  leaf.startIndex.changed();
}

function removeAt(leaf: Leaf, index: number): void {
  leaf.starts.splice(index, 1);
  leaf.ends.splice(index, 1);
  leaf.shardIds.splice(index, 1);
  for (const column of [leaf.epochs, leaf.generations, leaf.leaders]) column.copyWithin(index, index + 1, leaf.count);
  leaf.count--;
  leaf.startIndex.changed();
}

/** Moves the entries from `index` on into a new leaf. */
function splitOff(leaf: Leaf, index: number): Leaf {
  const right = newLeaf();
  for (let i = index; i < leaf.count; i++) insertAt(right, right.count, entryAt(leaf, i));
  leaf.starts.length = index;
  leaf.ends.length = index;
  leaf.shardIds.length = index;
  leaf.count = index;
  leaf.startIndex.changed();
  return right;
}
