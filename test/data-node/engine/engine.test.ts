import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openEngine } from '../../../data-node/engine/engine.ts';
import type { Engine } from '../../../data-node/engine/engine.ts';
import {
  COMPACT_BYTES_PER_ENTRY,
  HISTORY_ENTRIES_MAX,
  WRITE_ID_RETENTION_MS,
} from '../../../data-node/engine/history.ts';
import { compareTimestamps, nextTimestamp } from '../../../data-node/engine/hlc.ts';
import { StorageError } from '../../../data-node/engine/storage-error.ts';
import type { LogEntry } from '../../../data-node/engine/types.ts';
import { toWireDescriptor } from '../../../shared/contracts/node/descriptor.ts';
import { aShard } from '../../support/shards.ts';

const SHARD = 'shard-1';
const descriptor = toWireDescriptor(aShard(), (node) => ({ host: node, port: 7000 }));

const entry = (seq: number, changes: Record<string, string | null>, over: Partial<LogEntry> = {}): LogEntry => ({
  seq,
  epoch: 1,
  writeId: `w-${seq}`,
  fingerprint: `f-${seq}`,
  changes: Object.entries(changes).map(([key, value]) => ({ key, value })),
  at: { wallMs: 1_000 + seq, counter: 0 },
  ...over,
});

function withReplica(engine: Engine): Engine {
  engine.transaction((tx) =>
    tx.createReplica({ shardId: SHARD, replicaId: 'r-1', storeUuid: 'store-1', descriptor, maxEpoch: 1 }),
  );
  return engine;
}

const append = (engine: Engine, entries: LogEntry[], commitSeq = 0): void => {
  engine.transaction((tx) => tx.append(SHARD, entries, commitSeq));
};

const valueAt = (engine: Engine, key: string, seq: number): string | null | undefined =>
  engine.row(engine.replica(SHARD)!, key, seq)?.value;

const storageCode = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof StorageError) return error.code;
    throw error;
  }
  return 'none';
};

describe('the engine', () => {
  it('keeps versions: a reader sees the newest one up to its sequence', () => {
    const engine = withReplica(openEngine({ memory: true }));
    append(engine, [entry(1, { a: '1', b: '1' }), entry(2, { a: '2' }), entry(3, { a: null })]);
    expect([0, 1, 2, 3].map((seq) => valueAt(engine, 'a', seq))).toEqual([undefined, '1', '2', null]);
    expect(engine.replica(SHARD)).toMatchObject({ rows: 1, bytes: 2, last: { epoch: 1, seq: 3 } });
  });

  it('keeps keys whole, whatever characters they hold, in byte order', () => {
    const engine = withReplica(openEngine({ memory: true }));
    const keys = ['a', 'a\u0000', 'a\u0000b', 'ab', '\uFF5E', '\u{1F600}'];
    append(engine, [entry(1, Object.fromEntries([...keys].reverse().map((key) => [key, '1'])))]);
    const found = engine.scan(engine.replica(SHARD)!, { from: '', to: null }, 1, 100).map((row) => row.key);
    expect(found).toEqual(keys);
    const part = engine.scan(engine.replica(SHARD)!, { from: 'a\u0000', to: '\uFF5E' }, 1, 2);
    expect(part.map((row) => row.key)).toEqual(['a\u0000', 'a\u0000b']);
  });

  it('truncates entries with all that they derived, and never a committed one', () => {
    const engine = withReplica(openEngine({ memory: true }));
    append(engine, [entry(1, { a: '1' }), entry(2, { a: null, b: '22' }), entry(3, { c: '3' })], 1);
    engine.transaction((tx) => tx.truncate(SHARD, 1));
    expect(engine.replica(SHARD)).toMatchObject({ rows: 1, bytes: 2, last: { epoch: 1, seq: 1 } });
    expect([valueAt(engine, 'a', 9), valueAt(engine, 'b', 9), valueAt(engine, 'c', 9)]).toEqual([
      '1',
      undefined,
      undefined,
    ]);
    expect(engine.write(engine.replica(SHARD)!, 'w-2')).toBeUndefined();
    expect(engine.write(engine.replica(SHARD)!, 'w-1')?.seq).toBe(1);
    expect(() => engine.transaction((tx) => tx.truncate(SHARD, 0))).toThrow('never truncated');
  });

  it('undoes a failed transaction as a whole', () => {
    const engine = withReplica(openEngine({ memory: true }));
    const attempt = (): void =>
      engine.transaction((tx) => {
        tx.append(SHARD, [entry(1, { a: '1' })], 0);
        tx.append(SHARD, [entry(3, { a: '3' })], 0);
      });
    expect(attempt).toThrow('no gap');
    expect(engine.replica(SHARD)?.last).toEqual({ epoch: 0, seq: 0 });
    expect(valueAt(engine, 'a', 9)).toBeUndefined();
    append(engine, [entry(1, { a: 'again' })]);
    expect(valueAt(engine, 'a', 1)).toBe('again');
  });

  it('refuses to lower a promise (I-5) or a commit', () => {
    const engine = withReplica(openEngine({ memory: true }));
    append(engine, [entry(1, {})], 1);
    expect(() => engine.transaction((tx) => tx.patchReplica(SHARD, { maxEpoch: 0 }))).toThrow('never falls');
    expect(() => engine.transaction((tx) => tx.patchReplica(SHARD, { commitSeq: 0 }))).toThrow('never falls');
  });

  it('keeps a bounded history: entries, superseded versions, and write ids for their time', () => {
    const engine = withReplica(openEngine({ memory: true }));
    const total = HISTORY_ENTRIES_MAX + 300;
    const stepMs = Math.ceil((WRITE_ID_RETENTION_MS * 2) / total);
    const entries = Array.from({ length: total }, (_, index) =>
      entry(
        index + 1,
        { hot: `${index + 1}`, [`k${index}`]: '1', dead: index === 0 ? '1' : null },
        {
          at: { wallMs: (index + 1) * stepMs, counter: 0 },
        },
      ),
    );
    append(engine, entries, total);
    expect(engine.transaction((tx) => tx.compact(SHARD, 100, 51))).toBe(50);
    expect(engine.transaction((tx) => tx.compact(SHARD, 1_000, Infinity))).toBe(250);
    expect(engine.transaction((tx) => tx.compact(SHARD, 1_000, Infinity))).toBe(0);
    const meta = engine.replica(SHARD)!;
    expect(meta.base.seq).toBe(300);
    expect(engine.entries(meta, 1, { entries: 1, bytes: 0 })[0]?.seq).toBe(301);
    // At and above the base every read is as before; below it, superseded versions and tombstones are gone.
    expect(valueAt(engine, 'hot', 300)).toBe('300');
    expect(valueAt(engine, 'hot', 299)).toBeUndefined();
    expect(valueAt(engine, 'k0', total)).toBe('1');
    expect(engine.epochAt(meta, 300)).toBe(1);
    expect(engine.epochAt(meta, 299)).toBeNull();
    expect(engine.write(meta, 'w-1')).toBeUndefined();
    expect(engine.write(meta, 'w-301')?.seq).toBe(301);
  });

  it('forgets write ids piecemeal, the oldest first, however many there are', () => {
    const engine = withReplica(openEngine({ memory: true }));
    const total = HISTORY_ENTRIES_MAX + 20;
    append(
      engine,
      Array.from({ length: total }, (_, index) =>
        entry(index + 1, {}, { at: { wallMs: index < total - 1 ? 1 : 1 + WRITE_ID_RETENTION_MS * 2, counter: index } }),
      ),
      total,
    );
    expect(engine.transaction((tx) => tx.compact(SHARD, 8, Infinity))).toBe(8);
    const meta = engine.replica(SHARD)!;
    expect(engine.write(meta, 'w-8')).toBeUndefined();
    expect(engine.write(meta, 'w-9')?.seq).toBe(9);
    // Old too, but of an entry that the log still has.
    expect(engine.transaction((tx) => tx.compact(SHARD, 100, Infinity))).toBe(12);
    expect(engine.write(engine.replica(SHARD)!, 'w-20')).toBeUndefined();
    expect(engine.write(engine.replica(SHARD)!, 'w-21')?.seq).toBe(21);
  });

  it('gives up large entries one by one, many small writes apart: no transaction drops a heap of them', () => {
    const engine = withReplica(openEngine({ memory: true }));
    const large = 4;
    const bytes = 40 * COMPACT_BYTES_PER_ENTRY;
    append(
      engine,
      Array.from({ length: HISTORY_ENTRIES_MAX }, (_, index) =>
        entry(index + 1, index < large ? { [`large-${index}`]: 'x'.repeat(bytes) } : {}),
      ),
      HISTORY_ENTRIES_MAX,
    );
    const dropped: number[] = [];
    for (let seq = HISTORY_ENTRIES_MAX + 1; engine.replica(SHARD)!.base.seq < large + 20; seq++)
      dropped.push(
        engine.transaction((tx) => {
          tx.append(SHARD, [entry(seq, {})], seq - 1);
          return tx.compact(SHARD, 1, Infinity);
        }),
      );
    const times = dropped.flatMap((count, index) => (count > 0 ? [index] : []));
    expect(Math.max(...dropped)).toBe(1);
    // The first one takes what was saved up.
    for (let index = 2; index < large; index++) expect(times[index]! - times[index - 1]!).toBeGreaterThanOrEqual(38);
    // Small ones keep pace with the writes again.
    expect(dropped.slice(-10)).toEqual(Array.from({ length: 10 }, () => 1));
  });

  it('never compacts what is not committed', () => {
    const engine = withReplica(openEngine({ memory: true }));
    append(
      engine,
      Array.from({ length: HISTORY_ENTRIES_MAX + 10 }, (_, index) => entry(index + 1, {})),
      3,
    );
    expect(engine.transaction((tx) => tx.compact(SHARD, 1_000, Infinity))).toBe(3);
  });

  it('purges a destroyed copy piecemeal, and never one that is being loaded', () => {
    const engine = withReplica(openEngine({ memory: true }));
    append(
      engine,
      Array.from({ length: 50 }, (_, index) => entry(index + 1, { [`k${index}`]: '1' })),
    );
    const staging = engine.transaction((tx) => {
      tx.removeReplica(SHARD);
      const id = tx.openStaging();
      tx.stage(id, [{ key: 's', seq: 1, at: { wallMs: 1, counter: 0 }, value: '1' }], []);
      return id;
    });
    let rounds = 0;
    while (engine.transaction((tx) => tx.purge(20))) rounds++;
    expect(rounds).toBeGreaterThan(5);
    withReplica2(engine);
    const time = { wallMs: 5, counter: 0 };
    engine.transaction((tx) =>
      tx.swapIn(SHARD, staging, { at: { epoch: 1, seq: 1 }, time, storeUuid: 'store-1', rows: 1, bytes: 2 }),
    );
    expect(valueAt(engine, 's', 1)).toBe('1');
    expect(engine.wasRemoved('r-1')).toBe(true);
  });

  it('tells when there is nothing to purge, and never so of what is kept for now or came back', () => {
    const engine = withReplica(openEngine({ memory: true }));
    const purged = (): boolean => engine.transaction((tx) => tx.purge(20));
    expect(engine.mayHoldGarbage()).toBe(true);
    expect(purged()).toBe(false);
    expect(engine.mayHoldGarbage()).toBe(false);
    engine.transaction((tx) => tx.removeReplica(SHARD));
    while (purged()) expect(engine.mayHoldGarbage()).toBe(true);
    expect(engine.mayHoldGarbage()).toBe(false);
    const staging = engine.transaction((tx) => tx.openStaging());
    expect(purged()).toBe(false);
    expect(engine.mayHoldGarbage()).toBe(true);
    engine.releaseStaging(staging);
    const undone = new Error('undone');
    const purgeAll = (): void =>
      engine.transaction((tx) => {
        while (tx.purge(20));
        throw undone;
      });
    expect(purgeAll).toThrow(undone);
    expect(engine.mayHoldGarbage()).toBe(true);
    while (purged());
    expect(engine.mayHoldGarbage()).toBe(false);
  });

  it('purges large entries and rows a few at a time: a turn holds the node as long for them as for small ones', () => {
    const engine = withReplica(openEngine({ memory: true }));
    const large = 'x'.repeat(200 * 1024);
    append(
      engine,
      Array.from({ length: 10 }, (_, index) => entry(index + 1, { [`k${index}`]: large })),
    );
    engine.transaction((tx) => tx.removeReplica(SHARD));
    let turns = 0;
    while (engine.transaction((tx) => tx.purge(100))) turns++;
    // One row a turn, one entry a turn, and the turns that find the range, the log and the write ids done.
    expect(turns).toBeGreaterThanOrEqual(20);
    expect(turns).toBeLessThanOrEqual(24);
  });

  it('gives rising timestamps when the wall clock stands still or steps back', () => {
    let last = nextTimestamp({ wallMs: 10, counter: 3 }, 20);
    expect(last).toEqual({ wallMs: 20, counter: 0 });
    for (const wallMs of [20, 5, 20]) {
      const next = nextTimestamp(last, wallMs);
      expect(compareTimestamps(next, last)).toBeGreaterThan(0);
      last = next;
    }
    expect(nextTimestamp(last, 21)).toEqual({ wallMs: 21, counter: 0 });
  });
});

function withReplica2(engine: Engine): void {
  engine.transaction((tx) =>
    tx.createReplica({ shardId: SHARD, replicaId: 'r-2', storeUuid: 'store-1', descriptor, maxEpoch: 1 }),
  );
}

describe('the engine on disk', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'engine-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const path = (): string => join(folder, 'node.sqlite');

  function filled(): void {
    const engine = withReplica(openEngine({ path: path() }));
    engine.put({ node_epoch: '7' });
    const entries = Array.from({ length: 200 }, (_, index) => entry(index + 1, { [`k${index}`]: 'x'.repeat(500) }));
    append(engine, entries, 200);
    engine.transaction((tx) => tx.patchReplica(SHARD, { maxEpoch: 3, receipt: { epoch: 2, generation: 9 } }));
    engine.close();
  }

  it('has everything again after it was closed', () => {
    filled();
    const engine = openEngine({ path: path() });
    expect(engine.get('node_epoch')).toBe('7');
    expect(engine.get('other')).toBeNull();
    expect(engine.replica(SHARD)).toMatchObject({
      replicaId: 'r-1',
      maxEpoch: 3,
      commitSeq: 200,
      receipt: { epoch: 2, generation: 9 },
      last: { epoch: 1, seq: 200 },
      descriptor,
    });
    expect(valueAt(engine, 'k199', 200)).toBe('x'.repeat(500));
    engine.close();
  });

  it('is held by one process at a time', () => {
    filled();
    const engine = openEngine({ path: path() });
    engine.put({ a: '1' });
    expect(storageCode(() => openEngine({ path: path() }))).toBe('BUSY');
    engine.close();
  });

  it('refuses a file that is no database', () => {
    writeFileSync(path(), 'not a database, but long enough to be read as one'.repeat(100));
    expect(storageCode(() => openEngine({ path: path() }))).toBe('CORRUPT');
  });

  it('refuses a file with overwritten pages, or one cut short', () => {
    filled();
    const intact = readFileSync(path());
    const damaged = Buffer.from(intact);
    damaged.fill(0xa5, 4096 * 6, 4096 * 12);
    writeFileSync(path(), damaged);
    expect(storageCode(() => openEngine({ path: path() }))).toBe('CORRUPT');
    writeFileSync(path(), intact);
    truncateSync(path(), 4096 * 8);
    expect(storageCode(() => openEngine({ path: path() }))).toBe('CORRUPT');
  });

  it.each([
    ['a log entry', "UPDATE log SET changes = replace(changes, 'xxxx', 'yyyy') WHERE seq = 150", /checksum/],
    ['a promise', 'UPDATE replicas SET max_epoch = 1', /checksum/],
    ['a lost entry', 'DELETE FROM log WHERE seq = 200', /does not match/],
    ['a foreign format', "UPDATE meta SET value = '99' WHERE key = 'format'", /format/],
  ])('refuses a file in which %s was changed behind its back', (_what, sql, message) => {
    filled();
    const db = new DatabaseSync(path());
    db.exec(sql);
    db.close();
    expect(storageCode(() => openEngine({ path: path() }))).toBe('CORRUPT');
    expect(() => openEngine({ path: path() })).toThrow(message);
  });

  it('refuses writes when the disk is full, loses nothing, and works again with space', () => {
    const engine = withReplica(openEngine({ path: path(), pageCountMax: 60 }));
    let stored = 0;
    const fill = (): void => {
      for (;;) {
        append(engine, [entry(stored + 1, { [`k${stored}`]: 'x'.repeat(2_000) })], stored);
        stored++;
      }
    };
    expect(storageCode(fill)).toBe('FULL');
    expect(stored).toBeGreaterThan(5);
    expect(engine.failure()).toBeNull();
    expect(engine.replica(SHARD)?.last.seq).toBe(stored);
    for (let i = 0; i < stored; i++) expect(valueAt(engine, `k${i}`, stored)).toBe('x'.repeat(2_000));
    engine.close();
    const larger = openEngine({ path: path() });
    expect(larger.replica(SHARD)?.last.seq).toBe(stored);
    append(larger, [entry(stored + 1, { more: '1' })], stored);
    larger.close();
  });

  it('refuses everything after it was closed, instead of answering from memory', () => {
    const engine = withReplica(openEngine({ path: path() }));
    engine.close();
    expect(storageCode(() => valueAt(engine, 'a', 1))).toBe('IO');
    expect(storageCode(() => engine.put({ a: '1' }))).toBe('IO');
  });
});
