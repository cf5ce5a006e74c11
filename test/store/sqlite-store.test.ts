import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StoreError } from '../../shared/ports.ts';
import type { ItemKey, ItemWrite } from '../../shared/ports.ts';
import { SqliteStore } from '../../shared/store/sqlite-store.ts';
import { seededRandom, settled } from '../support/environment.ts';
import { storeWorld } from '../support/store.ts';
import { metadataStoreContract } from './metadata-store-contract.ts';

describe('the SQLite store keeps the contract', () => {
  metadataStoreContract(async () => new SqliteStore({ path: ':memory:', random: seededRandom(1) }));
});

const key = (sk: string): ItemKey => ({ table: 'topology', pk: 'P', sk });
const put = (sk: string): Extract<ItemWrite, { kind: 'put' }> => ({
  kind: 'put',
  key: key(sk),
  body: { name: sk },
  when: [{ kind: 'absent' }],
});

describe('a SQLite store in a file', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'store-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test('keeps what was committed across a restart', async () => {
    const path = join(directory, 'meta.sqlite');
    const before = new SqliteStore({ path, random: seededRandom(1) });
    await before.transact([put('a'), put('b')]);
    before.close();
    const after = new SqliteStore({ path, random: seededRandom(2) });
    expect((await after.getMany([key('a'), key('b')])).map((item) => item?.revision)).toEqual([1, 1]);
    after.close();
  });

  test('that can’t be opened is a StoreError', () => {
    const open = (): SqliteStore => new SqliteStore({ path: join(directory, 'no', 'such'), random: seededRandom(1) });
    expect(open).toThrow(StoreError);
  });
});

describe('injected faults', () => {
  test('before a write leave no trace', async () => {
    const { store, faults } = storeWorld();
    for (const refuse of ['THROTTLED', 'TRANSACTION_CONFLICT', 'UNAVAILABLE'] as const) {
      faults.once('write', { refuse });
      await expect(store.write(put('a'))).rejects.toMatchObject({ code: refuse });
    }
    expect(await store.get(key('a'))).toBeNull();
  });

  test('after a write lose its answer, not its effect', async () => {
    const { store, faults, committed } = storeWorld();
    faults.once('write', { loseAnswer: 'UNAVAILABLE' });
    await expect(store.write(put('a'))).rejects.toThrow(StoreError);
    expect((await store.get(key('a')))?.revision).toBe(1);
    expect(committed).toHaveLength(1);
  });

  test('delay the effect, or only the answer', async () => {
    const { store, faults, timers } = storeWorld();
    faults.once('write', { delayBeforeMs: 50 });
    const late = store.write(put('late'));
    faults.once('write', { delayAfterMs: 50 });
    const early = store.write(put('early'));
    await settled();
    expect([await store.get(key('late')), (await store.get(key('early')))?.revision]).toEqual([null, 1]);
    await timers.advance(50);
    expect([(await late).ok, (await early).ok]).toEqual([true, true]);
  });

  test('show half a transaction until it has answered, to all but transactional reads', async () => {
    const { store, faults, timers } = storeWorld();
    faults.use((call) => (call.method === 'transact' ? { delayAfterMs: 10 } : { seesBefore: ({ sk }) => sk === 'b' }));
    const committing = store.transact([put('a'), put('b')]);
    await settled();
    const everything = { table: 'topology', pk: 'P', order: 'backward', limit: 10 } as const;
    expect((await store.query(everything)).items.map((item) => item.key.sk)).toEqual(['a']);
    expect((await store.getMany([key('a'), key('b')])).map((item) => item !== null)).toEqual([true, false]);
    expect((await store.getSnapshot([key('a'), key('b')])).map((item) => item !== null)).toEqual([true, true]);
    await timers.advance(10);
    await committing;
    expect((await store.query(everything)).items.map((item) => item.key.sk)).toEqual(['b', 'a']);
  });
});

test('each commit is told once, synchronously, with what was there before', async () => {
  const { store, committed } = storeWorld();
  const writing = store.write(put('a'));
  expect(committed).toHaveLength(1);
  await writing;
  await store.transact([
    { kind: 'update', key: key('a'), set: { n: 1 }, when: [] },
    { kind: 'check', key: key('b'), when: [{ kind: 'absent' }] },
  ]);
  await store.write({ kind: 'delete', key: key('a'), when: [] });
  await store.write({ kind: 'delete', key: key('a'), when: [] });
  await store.write({ kind: 'update', key: key('a'), set: {}, when: [] });
  const told = committed.map((writes) => writes.map(({ before, after }) => [before?.revision, after?.revision]));
  expect(told).toEqual([[[undefined, 1]], [[1, 2]], [[2, undefined]]]);
});
