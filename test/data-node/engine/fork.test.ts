import { openEngine } from '../../../data-node/engine/engine.ts';
import type { Engine } from '../../../data-node/engine/engine.ts';
import { HISTORY_ENTRIES_MAX } from '../../../data-node/engine/history.ts';
import type { LogEntry } from '../../../data-node/engine/types.ts';
import { toWireDescriptor } from '../../../shared/contracts/node/descriptor.ts';
import type { WireDescriptor } from '../../../shared/contracts/node/descriptor.ts';
import { aShard } from '../../support/shards.ts';

const LEFT = 'shard-1';
const RIGHT = 'shard-2';
const whole = toWireDescriptor(aShard(), (node) => ({ host: node, port: 7000 }));
const left: WireDescriptor = { ...whole, generation: 2, end_key: 'm' };
const right: WireDescriptor = { ...whole, shard_id: RIGHT, generation: 3, epoch: 2, start_key: 'm' };

const entry = (seq: number, changes: Record<string, string | null>): LogEntry => ({
  seq,
  epoch: 1,
  writeId: `w-${seq}`,
  fingerprint: `f-${seq}`,
  changes: Object.entries(changes).map(([key, value]) => ({ key, value })),
  at: { wallMs: 1_000 + seq, counter: 0 },
});

/** Entries 1..6 over both halves; 1..4 are committed, 5 and 6 are not. */
function written(): Engine {
  const engine = openEngine({ memory: true });
  engine.transaction((tx) => {
    tx.createReplica({ shardId: LEFT, replicaId: 'r-1', storeUuid: 'store-1', descriptor: whole, maxEpoch: 1 });
    tx.append(
      LEFT,
      [
        entry(1, { a: '1', x: '1' }),
        entry(2, { b: '2' }),
        entry(3, { y: '33' }),
        entry(4, { x: '4' }),
        entry(5, { c: '5', z: '5' }),
        entry(6, { y: null }),
      ],
      4,
    );
  });
  return engine;
}

const fork = (engine: Engine): void => {
  engine.transaction((tx) => tx.fork(LEFT, { parent: left, child: right, childReplicaId: 'r-2', commitSeq: 0 }));
};

const rows = (engine: Engine, shardId: string, atSeq = 99): Record<string, string | null> =>
  Object.fromEntries(
    engine.scan(engine.replica(shardId)!, { from: '', to: null }, atSeq, 100).map((row) => [row.key, row.value]),
  );

const counted = (engine: Engine): void => {
  engine.beginCount(LEFT, 'm');
  while (engine.continueCount(LEFT, 1) === 'MORE');
};

describe('a fork', () => {
  it('shares the rows by range, continues the numbering, and repeats what is not committed', () => {
    const engine = written();
    counted(engine);
    fork(engine);
    expect(rows(engine, LEFT)).toEqual({ a: '1', b: '2', c: '5' });
    expect(rows(engine, RIGHT)).toEqual({ x: '4', y: null, z: '5' });
    const child = engine.replica(RIGHT)!;
    expect(child).toMatchObject({
      base: { epoch: 1, seq: 4 },
      last: { epoch: 1, seq: 6 },
      commitSeq: 4,
      maxEpoch: 2,
      rows: 2,
      bytes: 4,
    });
    expect(engine.replica(LEFT)).toMatchObject({ rows: 3, bytes: 6, last: { epoch: 1, seq: 6 }, descriptor: left });
    const log = engine.entries(child, 0, { entries: 10, bytes: Infinity });
    expect(log.map(({ seq, changes }) => [seq, changes.map(({ key }) => key)])).toEqual([
      [5, ['z']],
      [6, ['y']],
    ]);
    expect(log[1]?.writeId).toBe('w-6');
    expect(engine.write(child, 'w-1')?.seq).toBe(1);
    expect(engine.writes(child, 0, 6, 3).map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect(engine.writes(child, 3, 6, 9).map(({ seq }) => seq)).toEqual([4, 5, 6]);
  });

  it('lets either half truncate its own entries alone', () => {
    const engine = written();
    fork(engine);
    engine.transaction((tx) => tx.truncate(LEFT, 4));
    expect(rows(engine, RIGHT)).toEqual({ x: '4', y: null, z: '5' });
    engine.transaction((tx) => tx.truncate(RIGHT, 4));
    expect(rows(engine, RIGHT)).toEqual({ x: '4', y: '33' });
    expect(rows(engine, LEFT)).toEqual({ a: '1', b: '2' });
  });

  it('counts while writes go on, and estimates where nothing was counted', () => {
    const engine = written();
    engine.beginCount(LEFT, 'm');
    expect(engine.continueCount(LEFT, 1)).toBe('MORE');
    engine.transaction((tx) => tx.append(LEFT, [entry(7, { x: '7777', zz: '1' }), entry(8, { n: '8', x: null })], 4));
    while (engine.continueCount(LEFT, 1) === 'MORE');
    engine.transaction((tx) => tx.append(LEFT, [entry(9, { z: null })], 4));
    fork(engine);
    expect(engine.replica(RIGHT)).toMatchObject({ rows: 2, bytes: 5 });
    const uncounted = written();
    fork(uncounted);
    const total = (shardId: string): number => uncounted.replica(shardId)?.rows ?? 0;
    expect(total(LEFT) + total(RIGHT)).toBe(5);
  });

  it('leaves the other half whole when one is destroyed, rows and write ids', () => {
    for (const gone of [LEFT, RIGHT]) {
      const engine = written();
      fork(engine);
      engine.transaction((tx) => tx.removeReplica(gone));
      while (engine.transaction((tx) => tx.purge(2)));
      if (gone === LEFT) expect(rows(engine, RIGHT)).toEqual({ x: '4', y: null, z: '5' });
      else expect(rows(engine, LEFT)).toEqual({ a: '1', b: '2', c: '5' });
      const kept = engine.replica(gone === LEFT ? RIGHT : LEFT)!;
      expect(engine.write(kept, 'w-2')?.seq).toBe(2);
    }
  });

  it('purges the right part’s rows where it was not forked', () => {
    const engine = written();
    engine.transaction((tx) => tx.shrink(LEFT, left));
    while (engine.transaction((tx) => tx.purge(2)));
    expect(rows(engine, LEFT)).toEqual({ a: '1', b: '2', c: '5' });
    engine.transaction((tx) =>
      tx.createReplica({ shardId: RIGHT, replicaId: 'r-2', storeUuid: 'store-1', descriptor: right, maxEpoch: 2 }),
    );
    expect(rows(engine, RIGHT)).toEqual({});
  });

  it('forgets old versions of the right part with the left one’s log, never one that the right one still reads', () => {
    const engine = written();
    fork(engine);
    const filler = Array.from({ length: HISTORY_ENTRIES_MAX + 6 }, (_, index) => entry(7 + index, { a: `${index}` }));
    engine.transaction((tx) => tx.append(LEFT, filler, HISTORY_ENTRIES_MAX));
    engine.transaction((tx) => tx.compact(LEFT, 1_000, Infinity));
    expect(engine.replica(LEFT)).toMatchObject({ base: { seq: 12 }, firstForkSeq: null });
    expect(rows(engine, RIGHT, 4)).toMatchObject({ x: '4', y: '33' });
    expect(rows(engine, RIGHT, 1)).toMatchObject({ x: null });
    engine.transaction((tx) => tx.truncate(RIGHT, 4));
    expect(rows(engine, RIGHT)).toEqual({ x: '4', y: '33' });
  });

  it('is undone as a whole when its transaction fails', () => {
    const engine = written();
    expect(() =>
      engine.transaction((tx) => {
        tx.fork(LEFT, { parent: left, child: right, childReplicaId: 'r-2', commitSeq: 0 });
        throw new Error('after');
      }),
    ).toThrow('after');
    expect(engine.replica(RIGHT)).toBeUndefined();
    expect(engine.replica(LEFT)?.descriptor).toEqual(whole);
    fork(engine);
    expect(engine.replica(RIGHT)?.replicaId).toBe('r-2');
  });
});
