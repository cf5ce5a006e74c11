import type { RegisterOperation } from './operations.ts';

/** Histories whose verdict is known: one for each way in which a store is known to go wrong, and those that only look wrong. */

const put = (value: string, startMs: number, endMs: number | null): RegisterOperation => ({
  kind: 'write',
  value,
  startMs,
  endMs,
  client: 'w',
});
const del = (startMs: number, endMs: number | null): RegisterOperation => ({
  kind: 'write',
  value: null,
  startMs,
  endMs,
  client: 'd',
});
const read = (value: string | null, startMs: number, endMs: number, client = 'r'): RegisterOperation => ({
  kind: 'read',
  value,
  startMs,
  endMs,
  client,
});

export type KnownHistory = readonly [name: string, history: readonly RegisterOperation[]];

export const BAD: readonly KnownHistory[] = [
  ['a stale read', [put('a', 0, 1), put('b', 2, 3), read('a', 4, 5)]],
  ['a stale read of the empty register', [put('a', 0, 1), read(null, 2, 3)]],
  ['a lost acknowledged write, seen before', [put('a', 0, 1), read('a', 2, 3), read(null, 4, 5)]],
  ['a lost update: the later of two acknowledged puts is gone', [put('a', 0, 1), put('b', 2, 3), read('a', 9, 10)]],
  ['a read of a value that nobody wrote', [put('a', 0, 1), read('ghost', 2, 3)]],
  ['a read before its write began', [read('a', 0, 1), put('a', 2, 3)]],
  [
    // The failed write is left out of the history, as one that surely had no effect.
    'a dirty read of a write that failed',
    [put('a', 0, 1), read('failed', 2, 3), read('a', 4, 5)],
  ],
  [
    'reads that go back and forth between two values',
    [put('a', 0, 1), put('b', 2, null), read('b', 3, 4), read('a', 5, 6)],
  ],
  [
    'two readers that see two concurrent writes in different orders',
    [put('a', 0, 20), put('b', 0, 20), read('a', 21, 22, 'r1'), read('b', 23, 24, 'r2'), read('a', 25, 26, 'r1')],
  ],
  [
    'a value that comes back after an unknown write was seen to be overwritten',
    [put('a', 0, null), read('a', 1, 2), put('b', 3, 4), read('b', 5, 6), read('a', 7, 8)],
  ],
  [
    'an unknown write that was seen and then undone',
    [put('a', 0, 1), put('b', 2, null), read('b', 3, 4), read('a', 5, 6), read('a', 7, 8)],
  ],
  ['a deleted value that comes back', [put('a', 0, 1), del(2, 3), read(null, 4, 5), read('a', 6, 7)]],
  ['a delete that was acknowledged and had no effect', [put('a', 0, 1), del(2, 3), read('a', 4, 5)]],
  ['a delete that took effect twice', [del(0, 1), put('a', 2, 3), read('a', 4, 5), read(null, 6, 7)]],
  [
    'an unknown delete that took effect twice',
    [
      put('a', 0, 1),
      del(2, null),
      read(null, 3, 4),
      put('b', 5, 6),
      read('b', 7, 8),
      read(null, 9, 10),
      read('b', 11, 12),
    ],
  ],
  [
    'an unknown delete that took effect before it was sent',
    [put('a', 0, 1), read(null, 2, 3), read('a', 4, 5), del(6, null)],
  ],
  [
    'a write that fits nowhere: another value stands the whole time',
    [put('a', 0, 1), put('b', 3, 4), read('a', 2, 6), read('a', 7, 8)],
  ],
  ['a delete that fits nowhere: a value stands the whole time', [put('a', 0, 1), del(3, 4), read('a', 5, 6)]],
  [
    'a read that is older than one that had ended before it began',
    [put('a', 0, 1), put('b', 2, 100), read('b', 3, 4, 'r1'), read('a', 5, 6, 'r2')],
  ],
  [
    'a split brain: two leaders, each with its own value',
    [
      put('a', 0, 1),
      put('b', 10, 11),
      read('b', 12, 13, 'near the new leader'),
      read('a', 12, 14, 'near the old leader'),
      read('b', 15, 16, 'near the new leader'),
      read('a', 17, 18, 'near the old leader'),
    ],
  ],
  [
    'nothing is found between two reads of a value that nobody put again',
    [put('a', 0, 1), read('a', 2, 3), read(null, 4, 5), read('a', 6, 7)],
  ],
  [
    'one unknown delete can not explain two disappearances',
    [del(0, null), put('a', 1, 2), read(null, 3, 4), put('b', 5, 6), read(null, 7, 8)],
  ],
];

export const GOOD: readonly KnownHistory[] = [
  ['nothing happened', []],
  ['a read of the empty register', [read(null, 0, 1)]],
  ['a put, then a read', [put('a', 0, 1), read('a', 2, 3)]],
  [
    'reads beside a write see the old or the new value',
    [put('a', 0, 1), put('b', 2, 5), read('a', 3, 4), read('b', 3, 5), read('b', 6, 7)],
  ],
  [
    'an unknown write that is seen much later',
    [put('a', 0, null), put('b', 1, 2), read('b', 3, 4), read('a', 50, 51), read('a', 52, 53)],
  ],
  ['an unknown write that never happened', [put('a', 0, null), put('b', 1, 2), read('b', 60, 61)]],
  ['two writes at once, read in either order', [put('a', 0, 10), put('b', 0, 10), read('b', 11, 12)]],
  [
    'a read that took so long that an old value is right',
    [put('a', 0, 1), read('a', 2, 50), put('b', 3, 4), read('b', 5, 6), read('b', 60, 61)],
  ],
  ['a read that ends in the moment in which the write begins', [read('a', 0, 5), put('a', 5, 6)]],
  ['a write in the moment in which another ends', [put('a', 0, 5), put('b', 5, 6), read('a', 7, 8)]],
  [
    'a put that nobody sees, overwritten at once',
    [put('a', 0, 10), put('b', 0, 10), put('c', 0, 10), read('c', 11, 12)],
  ],
  [
    'a delete, and the key is put again',
    [put('a', 0, 1), del(2, 3), read(null, 4, 5), put('b', 6, 7), read('b', 8, 9)],
  ],
  [
    'an unknown delete that comes late, between two reads of the same client',
    [put('a', 0, 1), del(2, null), read('a', 3, 4), put('b', 5, 6), read('b', 7, 8), read(null, 9, 10)],
  ],
  [
    'two unknown deletes, each of which took effect once',
    [del(0, null), del(0, null), put('a', 1, 2), read(null, 3, 4), put('b', 5, 6), read(null, 7, 8)],
  ],
  [
    'the definite delete must come first, so that the unknown one is left for later',
    [put('a', 0, 1), del(2, null), del(2, 20), read(null, 3, 4), put('b', 25, 26), read(null, 27, 28)],
  ],
  [
    'a delete that must be spent before the value stands for good',
    [del(0, 30), put('a', 1, 2), read('a', 3, 4), read('a', 40, 41)],
  ],
  [
    'nothing, a value and nothing again, by one put and one slow delete',
    [read(null, 0, 1), put('a', 0, 10), del(2, 20), read('a', 11, 12), read(null, 13, 14)],
  ],
];
