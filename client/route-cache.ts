import { encodeKey, KEY_BYTES_MAX } from '../shared/contracts/keys.ts';
import type { KeyType } from '../shared/contracts/keys.ts';
import type { Route } from '../shared/contracts/data/rows.ts';
import { RouteLeaves } from './route-leaves.ts';

/**
 * Cached routes of one table: a look-up is two binary searches (route-leaves.ts), and a shard costs under 200 bytes.
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

const HAS_HIGH_UNITS = /[\ud800-\uffff]/;
/** A UTF-16 unit is at most 3 bytes of UTF-8: keys of so many units are never too long. */
const SURELY_LEGAL_UNITS = Math.floor(KEY_BYTES_MAX / 3);

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
  private readonly leaves = new RouteLeaves();

  constructor(keyType: KeyType, book: LeaderBook) {
    this.keyType = keyType;
    this.book = book;
  }

  /** Shards held. */
  get size(): number {
    return this.leaves.size;
  }

  /** The route of `key` as callers write it ('' is the start of the table); null when none is cached, or the key is none. */
  lookup(key: string): CachedRoute | null {
    const form = this.formOf(key);
    if (form === null) return null;
    const { leaves } = this;
    const slot = leaves.find(form);
    if (slot < 0) return null;
    return {
      shardId: leaves.shardIdAt(slot),
      epoch: leaves.epochAt(slot),
      generation: leaves.generationAt(slot),
      leader: this.book.at(leaves.leaderAt(slot)),
    };
  }

  /** Takes a route in place of every cached one that overlaps it; an older generation of a shard that is cached is ignored. */
  learn(route: Route): void {
    const bounds = this.boundsOf(route);
    if (bounds === null) return;
    const { start, end } = bounds;
    const overlapping = this.leaves.overlapping(start, end);
    if (overlapping.some((entry) => entry.shardId === route.shard_id && entry.generation > route.generation)) return;
    const entry = {
      start,
      end,
      shardId: route.shard_id,
      epoch: route.epoch,
      generation: route.generation,
      leader: this.book.indexOf(route.leader),
    };
    const [present] = overlapping;
    // Nearly always a new leader of a shard with the bounds that are known.
    if (overlapping.length === 1 && present?.start === start && present.end === end) {
      this.leaves.replace(entry);
      return;
    }
    for (const { start: removed } of overlapping) this.leaves.remove(removed);
    this.leaves.insert(entry);
  }

  /**
   * Takes changes of routes that lie where something is cached; the rest of the table stays unknown. For each key the highest
   * generation is the newest, across splits and merges too (I-2), so that what comes late is recognised and ignored.
   */
  correct(routes: readonly Route[]): void {
    const newer = routes.filter((route) => {
      const bounds = this.boundsOf(route);
      if (bounds === null) return false;
      const overlapping = this.leaves.overlapping(bounds.start, bounds.end);
      return overlapping.length > 0 && overlapping.every((entry) => entry.generation < route.generation);
    });
    // All are judged before any is taken: of a split's parts the one leaves no room for the other.
    for (const route of newer.toSorted((a, b) => a.generation - b.generation)) this.learn(route);
  }

  private boundsOf(route: Route): { start: string; end: string | null } | null {
    const start = this.formOf(route.start_key);
    const end = route.end_key === null ? null : this.formOf(route.end_key);
    return start === null || (route.end_key !== null && end === null) ? null : { start, end };
  }

  private formOf(key: string): string | null {
    if (key === '') return '';
    // Nearly every key: without surrogates it is well-formed, and it is its own encoding and its own sort form.
    if (this.keyType === 'string' && key.length <= SURELY_LEGAL_UNITS && !HAS_HIGH_UNITS.test(key)) return key;
    const encoded = encodeKey(this.keyType, key);
    return encoded.ok ? sortForm(encoded.value) : null;
  }
}
