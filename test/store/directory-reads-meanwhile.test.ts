import { encodedKey, nodeId, pageId, replicaId, shardId, tableId } from '../../shared/domain/ids.ts';
import type { PageHeader } from '../../shared/domain/records.ts';
import { divides } from '../../shared/domain/split.ts';
import type { MetadataStore, Records } from '../../shared/ports.ts';
import type { DirectoryWithPages } from '../../shared/store/directory.ts';
import { by, merge, scanned, split } from '../support/bounds-changes.ts';
import { directoryOver } from '../support/directory-over.ts';
import { aReplica } from '../support/shards.ts';
import { storeWorld } from '../support/store.ts';
import type { StoreWorld } from '../support/store.ts';
import { evenShards, keyOf, tiledTable } from '../support/tiles.ts';

/** What readers of the directory are answered with while it changes: pages that split and go, roots that are late, many readers at once. */
let world: StoreWorld;
beforeEach(() => {
  world = storeWorld({ items: 'PLAIN' });
});
afterEach(() => world.close());

const build = (count: number, of = count): Promise<void> =>
  world.directory.append(tiledTable, evenShards(of).slice(0, count), by);
/** A cold directory over the same store, some of whose reads go otherwise. */
const over = (records: Partial<Records>, store: Partial<MetadataStore> = {}): DirectoryWithPages =>
  directoryOver(world, records, store);
const keys = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => (index + from === 0 ? '' : keyOf(index + from)));

describe('a directory that does not stand still', () => {
  const header = async (): Promise<PageHeader> => {
    const { page } = (await world.directory.lookup(tiledTable, keyOf(1)))!;
    return (await world.records.get('page', { page }))!.value;
  };

  test('whose page is gone whenever it is looked at is given up after sixteen attempts', async () => {
    await build(3);
    let asked = 0;
    const get: Records['get'] = async (kind, id) => {
      if (kind === 'page') asked++;
      return kind === 'page' ? null : world.records.get(kind, id);
    };
    await expect(over({ get }).lookup(tiledTable, keyOf(1))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: 'the directory kept changing during 16 reads of one key',
    });
    expect(asked).toBe(16);
    const [pointer] = (await world.directory.replicasOn(nodeId('node-1'), { limit: 1 })).replicas;
    await expect(over({ get }).resolve([pointer!])).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: 'the directory’s root kept changing during 16 reads of one key'.replace('’', "'"),
    });
    expect(asked).toBe(32);
  });

  test('whose root lags without end is given up', async () => {
    await build(3);
    const { page } = await header();
    // The page says of itself that it ends before every key and that it is its own neighbour.
    const endless = (value: PageHeader): PageHeader => ({ ...value, high: encodedKey('a'), right: page });
    const get: Records['get'] = async (kind, id) => {
      const found = await world.records.get(kind, id);
      return found === null || kind !== 'page' ? found : { ...found, value: endless(found.value as PageHeader) };
    };
    let hops = 0;
    const getSnapshot: MetadataStore['getSnapshot'] = async (asked) => {
      hops++;
      const items = await world.store.getSnapshot(asked);
      return items.map((item) => (item === null ? null : { ...item, body: { ...item.body, high: 'a', right: page } }));
    };
    await expect(over({ get }, { getSnapshot }).lookup(tiledTable, keyOf(1))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: 'the root of table table-1 lags more than 64 page splits',
    });
    expect(hops).toBe(64);
  });

  test('whose page changes during every walk through it is given up; a walk that sees one moment answers', async () => {
    await build(10, 12);
    let walks = 0;
    let changes = Infinity;
    const getSnapshot: MetadataStore['getSnapshot'] = async (asked) => {
      const items = await world.store.getSnapshot(asked);
      return items.map((item, index) =>
        item === null || index > 0 || walks++ >= changes
          ? item
          : { ...item, body: { ...item.body, generation: 1000 + walks } },
      );
    };
    await expect(over({}, { getSnapshot }).lookup(tiledTable, keyOf(11))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: 'the directory kept changing during 16 reads of one key',
    });
    // The first attempt reads the root; each further one the page's header and the shard before the key, then what starts at its end.
    expect(walks).toBe(30);
    [walks, changes] = [0, 10];
    expect(await over({}, { getSnapshot }).lookup(tiledTable, keyOf(11))).toBeNull();
  });
});

describe('a reader whose root is late', () => {
  const calls = (work: () => Promise<unknown>) => world.faults.during(work);
  const startAt = async (directory: DirectoryWithPages, key: string): Promise<string | undefined> =>
    (await directory.lookup(tiledTable, encodedKey(key)))?.shard.startKey;

  test('follows pages to the right, over several splits', async () => {
    await build(60);
    const stale = world.newDirectory();
    await startAt(stale, keyOf(1));
    let splits = 0;
    for (let cut = 0; cut < 400 && splits < 3; cut++) {
      const all = await scanned(world);
      const located = all[cut % all.length]!;
      const key = encodedKey(`${located.shard.startKey}${String(cut).padStart(3, '0')}`);
      if (!divides(located.shard, key) || (await split(world, located, key)) !== 'PAGE_FULL') continue;
      await world.directory.makeRoom(located.page, by);
      splits++;
    }
    expect(new Set((await scanned(world)).map((located) => located.page)).size).toBe(5);
    for (const key of [keyOf(1), keyOf(10), keyOf(20), keyOf(40), keyOf(47), keyOf(48), keyOf(59)])
      expect(await startAt(stale, key)).toBe(key);
    // What it has met it knows.
    expect(await calls(() => startAt(stale, keyOf(20)))).toEqual(['query']);
  });

  test('follows no further than to the page of its key', async () => {
    await build(60);
    const stale = world.newDirectory();
    await startAt(stale, keyOf(1));
    const page = (await scanned(world))[0]!.page;
    for (let cut = 0; (await world.records.get('page', { page }))!.value.count < 64; cut++)
      expect(await split(world, (await scanned(world))[2 * cut + 1]!, `${keyOf(cut + 1)}x`)).toBe('DONE');
    await world.directory.makeRoom(page, by);
    // The page in the middle: its neighbour on the right is not read.
    expect(await calls(() => startAt(stale, keyOf(40)))).toEqual(['query', 'getSnapshot', 'getSnapshot', 'query']);
    expect(await calls(() => startAt(stale, keyOf(41)))).toEqual(['query']);
  });

  test('looks again where the page on the right is gone already', async () => {
    await build(60);
    let torn = true;
    const get: Records['get'] = async (kind, id) => {
      const found = await world.records.get(kind, id);
      if (found === null || kind !== 'page' || !torn) return found;
      torn = false;
      return { ...found, value: { ...found.value, high: encodedKey('a'), right: pageId('page-none') } };
    };
    expect(await startAt(over({ get }), keyOf(5))).toBe(keyOf(5));
  });

  test('looks again where the page goes while it walks through it', async () => {
    await build(10, 12);
    let asks = 0;
    const getSnapshot: MetadataStore['getSnapshot'] = async (asked) => {
      const items = await world.store.getSnapshot(asked);
      return ++asks === 2 ? items.map(() => null) : items;
    };
    const reader = over({}, { getSnapshot });
    await startAt(reader, keyOf(1));
    expect(await reader.lookup(tiledTable, keyOf(11))).toBeNull();
    expect(asks).toBe(4);
  });

  test('finds what a merge has moved to the page on the left', async () => {
    await build(60);
    const stale = world.newDirectory();
    for (const index of [1, 47, 48, 59]) await startAt(stale, keyOf(index));
    const shards = await scanned(world);
    expect(await merge(world, shards[47]!, shards[48]!)).toBe('DONE');
    expect(await startAt(stale, keyOf(48))).toBe(keyOf(47));
    expect(await startAt(stale, keyOf(49))).toBe(keyOf(49));
    expect(await calls(() => startAt(stale, keyOf(48)))).toEqual(['query']);
  });

  test('finds what was in a page that a merge has taken away', async () => {
    await build(49);
    const stale = world.newDirectory();
    for (const index of [1, 48]) await startAt(stale, keyOf(index));
    const shards = await scanned(world);
    expect(await merge(world, shards[47]!, shards[48]!)).toBe('DONE');
    expect(await startAt(stale, `${keyOf(48)}x`)).toBe(keyOf(47));
    expect(await startAt(stale, keyOf(47))).toBe(keyOf(47));
  });

  test('finds nothing where the table was removed, and what was built in its place', async () => {
    await build(3);
    const stale = world.newDirectory();
    await startAt(stale, keyOf(1));
    await world.directory.removeFirst(tiledTable, 3, by);
    expect(await startAt(stale, keyOf(1))).toBeUndefined();
    const again = evenShards(3).map((shard) => ({
      ...shard,
      shardId: shardId(`again-${shard.shardId}`),
    }));
    await world.directory.append(tiledTable, again, by);
    expect((await stale.lookup(tiledTable, keyOf(1)))?.shard.shardId).toBe('again-shard-0000001');
  });
});

describe('many readers at once', () => {
  test('of one gap of the root read it once; of many gaps each finds its own', async () => {
    await build(200);
    const cold = world.newDirectory();
    const before = world.faults.calls.length;
    const found = await Promise.all(
      Array.from({ length: 40 }, (_, index) => cold.lookup(tiledTable, keyOf(index + 1))),
    );
    expect(found.map((located) => located?.shard.startKey)).toEqual(keys(1, 41));
    const made = world.faults.calls.slice(before).map(({ method }) => method);
    expect(made.filter((method) => method === 'get')).toHaveLength(1);
    const spread = await Promise.all([5, 60, 100, 150, 199, 61].map((index) => cold.lookup(tiledTable, keyOf(index))));
    expect(spread.map((located) => located?.shard.startKey)).toEqual([5, 60, 100, 150, 199, 61].map(keyOf));
  });

  test('of two tables do not wait for each other', async () => {
    await build(3);
    await world.directory.append(
      tableId('other'),
      evenShards(1)
        .map((shard) => ({ ...shard, tableId: tableId('other'), shardId: shardId('other-0') }))
        .map((shard) => ({
          ...shard,
          replicas: [{ ...aReplica(9), replicaId: replicaId('r-other') }],
        })),
      by,
    );
    const cold = world.newDirectory();
    world.faults.use((call) =>
      call.method === 'query' && call.request.pk.includes(tiledTable) ? { delayBeforeMs: 1000 } : null,
    );
    const slow = cold.lookup(tiledTable, keyOf(1));
    expect((await cold.lookup(tableId('other'), keyOf(1)))?.shard.shardId).toBe('other-0');
    expect(world.timers.waiting).toBe(1);
    await world.timers.advance(1000);
    expect((await slow)?.shard.startKey).toBe(keyOf(1));
  });

  test('of whom one fails do not fail with it for good', async () => {
    await build(3);
    const cold = world.newDirectory();
    world.faults.once('get', { refuse: 'UNAVAILABLE' });
    const outcomes = await Promise.allSettled([1, 2].map((index) => cold.lookup(tiledTable, keyOf(index))));
    expect(outcomes.map(({ status }) => status)).toContain('rejected');
    expect((await cold.lookup(tiledTable, keyOf(2)))?.shard.startKey).toBe(keyOf(2));
  });
});
