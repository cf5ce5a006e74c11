import { encodedKey, generation, nodeId, pageId, replicaId, shardId, tableId } from '../../shared/domain/ids.ts';
import { KEY_SPACE_START } from '../../shared/domain/keys.ts';
import type { LocatedShard, MetadataStore, Records } from '../../shared/ports.ts';
import type { DirectoryWithPages } from '../../shared/store/directory.ts';
import { by, merge, partsOf, scanned, split } from '../support/bounds-changes.ts';
import { directoryOver } from '../support/directory-over.ts';
import { storeWorld } from '../support/store.ts';
import type { StoreWorld } from '../support/store.ts';
import { evenShards, keyOf, tiledTable } from '../support/tiles.ts';

/** What readers of the directory are answered with: in pages, from the middle, by id, of replicas and of versions. */
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
const startsOf = (shards: readonly LocatedShard[]): string[] => shards.map(({ shard }) => shard.startKey);
const keys = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => (index + from === 0 ? '' : keyOf(index + from)));

describe('a scan', () => {
  const scan = (limit: number, fromKey = KEY_SPACE_START, directory = world.directory) =>
    directory.scan(tiledTable, { fromKey, limit });

  test('answers with as many shards as asked for and where to go on', async () => {
    await build(60);
    for (const limit of [1, 2, 48, 49, 59]) {
      const { shards, nextKey } = await scan(limit);
      expect([startsOf(shards), nextKey]).toEqual([keys(0, limit), keyOf(limit)]);
    }
    for (const limit of [60, 61, 10_000]) {
      const { shards, nextKey } = await scan(limit);
      expect([startsOf(shards), nextKey]).toEqual([keys(0, 60), null]);
    }
    const all = (await scan(100)).shards;
    for (const located of all)
      expect(await world.directory.lookup(tiledTable, located.shard.startKey)).toEqual(located);
  });

  test.each([0, -1, 10_001])('of %i shards is refused', async (limit) => {
    await expect(scan(limit)).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: `a scan takes 1 to 10000 shards, not ${limit}`,
    });
  });

  test('reads no more than it was asked for', async () => {
    await build(40);
    await scan(1);
    const limits: number[] = [];
    const query: Records['query'] = (kind, request) => {
      limits.push(request.limit);
      return world.records.query(kind, request);
    };
    const directory = over({ query });
    await directory.lookup(tiledTable, keyOf(5));
    limits.length = 0;
    await scan(1, keyOf(5), directory);
    expect(limits).toEqual([]);
    await scan(7, keyOf(5), directory);
    expect(limits).toEqual([6]);
    await scan(3000, keyOf(5), directory);
    expect(limits).toEqual([6, 1000]);
  });

  test('asks for nothing behind the end of the table', async () => {
    await build(3);
    await scan(1);
    const last = await world.faults.during(() => scan(10, keyOf(2)));
    expect(last).toEqual(['query']);
    expect(await world.faults.during(() => scan(10, keyOf(1)))).toEqual(['query', 'query']);
  });

  test('of a table under construction ends with what is there', async () => {
    await build(3, 5);
    const { shards, nextKey } = await scan(10);
    expect([startsOf(shards), nextKey]).toEqual([keys(0, 3), null]);
    expect(await scan(10, keyOf(4))).toEqual({ shards: [], nextKey: null });
  });

  test('of no table is empty', async () => {
    expect(await world.directory.scan(tableId('nowhere'), { fromKey: KEY_SPACE_START, limit: 5 })).toEqual({
      shards: [],
      nextKey: null,
    });
  });

  test('of a table whose low end is deleted begins with what is left', async () => {
    await build(60);
    await world.directory.removeFirst(tiledTable, 50, by);
    const { shards, nextKey } = await scan(100);
    expect([startsOf(shards), nextKey]).toEqual([keys(50, 60), null]);
    expect(startsOf((await scan(100, keyOf(20))).shards)).toEqual(keys(50, 60));
    expect(shards[0]).toEqual(await world.directory.lookup(tiledTable, keyOf(50)));
    expect(await world.newDirectory().lookup(tiledTable, keyOf(20))).toBeNull();
    await world.directory.removeFirst(tiledTable, 10, by);
    expect(await scan(100)).toEqual({ shards: [], nextKey: null });
  });

  test('anchors anew where a change came between two reads', async () => {
    await build(10);
    let skipped = false;
    const query: Records['query'] = async (kind, request) => {
      const answer = await world.records.query(kind, request);
      if (kind !== 'shard' || skipped) return answer;
      skipped = true;
      return { ...answer, items: answer.items.filter((_, index) => index !== 3) };
    };
    const { shards } = await scan(10, KEY_SPACE_START, over({ query }));
    expect(startsOf(shards)).toEqual(keys(0, 10));
  });

  test('whose table ends before the page that was read does not go past its end', async () => {
    await build(4);
    const beyond = evenShards(6)[5]!;
    const query: Records['query'] = async (kind, request) => {
      const answer = await world.records.query(kind, request);
      const last = answer.items.at(-1);
      return kind !== 'shard' || last === undefined
        ? answer
        : { ...answer, items: [...answer.items, { ...last, value: beyond }] };
    };
    expect(startsOf((await scan(10, KEY_SPACE_START, over({ query }))).shards)).toEqual(keys(0, 4));
  });
});

describe('a shard by its id', () => {
  const locate = async (id: string, directory = world.directory): Promise<string | undefined> =>
    (await directory.locate(shardId(id)))?.shard.startKey;

  test('is where its locator says', async () => {
    await build(60);
    expect([await locate('shard-0000000'), await locate('shard-0000050')]).toEqual(['', keyOf(50)]);
    expect(await locate('shard-none')).toBeUndefined();
  });

  test('that another one has absorbed is gone, though somebody holds its keys', async () => {
    await build(3);
    const [first, second] = await scanned(world);
    const directory = world.newDirectory();
    await directory.locate(second!.shard.shardId);
    expect(await merge(world, first!, second!)).toBe('DONE');
    expect(await locate('shard-0000001', directory)).toBeUndefined();
  });

  test('whose locator is shown although it was absorbed is gone by transactional reads', async () => {
    await build(3);
    const locator = await world.records.get('locator', { shardId: shardId('shard-0000001') });
    const [first, second] = await scanned(world);
    expect(await merge(world, first!, second!)).toBe('DONE');
    const get: Records['get'] = async (kind, id) =>
      kind === 'locator' ? (locator as never) : world.records.get(kind, id);
    expect(await locate('shard-0000001', over({ get }))).toBeUndefined();
  });

  test('whose locator is shown although its table is gone is gone too', async () => {
    await build(3);
    const key = world.committed.flat().find(({ key: { pk } }) => pk.includes('shard-0000001'))!.key;
    const kept = await world.store.get(key);
    const locator = await world.records.get('locator', { shardId: shardId('shard-0000001') });
    await world.directory.removeFirst(tiledTable, 3, by);
    const get: Records['get'] = async (kind, id) =>
      kind === 'locator' ? (locator as never) : world.records.get(kind, id);
    const getSnapshot: MetadataStore['getSnapshot'] = async (asked) =>
      (await world.store.getSnapshot(asked)).map((item, index) => (asked[index]?.pk === key.pk ? kept : item));
    expect(await locate('shard-0000001', over({ get }))).toBeUndefined();
    expect(await locate('shard-0000001', over({ get }, { getSnapshot }))).toBeUndefined();
  });

  test('whose locator is not shown yet is found by transactional reads', async () => {
    await build(3);
    const get: Records['get'] = async (kind, id) => (kind === 'locator' ? null : world.records.get(kind, id));
    expect(await locate('shard-0000001', over({ get }))).toBe(keyOf(1));
  });

  test('is found by what a transactional read shows, though a Query still shows its keys with another shard', async () => {
    await build(3);
    const [, second] = await scanned(world);
    const asked = new Map<string, Awaited<ReturnType<MetadataStore['query']>>>();
    const recorded: MetadataStore['query'] = async (request) => {
      const answer = await world.store.query(request);
      asked.set(JSON.stringify(request), answer);
      return answer;
    };
    await over({}, { query: recorded }).lookup(tiledTable, encodedKey(`${keyOf(1)}x`));
    expect(await split(world, second!, `${keyOf(1)}x`)).toBe('DONE');
    const child = (await world.directory.lookup(tiledTable, encodedKey(`${keyOf(1)}x`)))!.shard;
    // The locator is not shown yet, and the page as it was before the split.
    const get: Records['get'] = async (kind, id) => (kind === 'locator' ? null : world.records.get(kind, id));
    const query: MetadataStore['query'] = async (request) =>
      asked.get(JSON.stringify(request)) ?? world.store.query(request);
    const reader = over({ get }, { query });
    for (const root of ['cold', 'known']) {
      const found = await reader.locate(child.shardId);
      expect({ root, start: found?.shard.startKey }).toEqual({ root, start: child.startKey });
    }
  });

  test('in whose place another one is shown is found by transactional reads', async () => {
    await build(3);
    const [, second] = await scanned(world);
    const parts = partsOf(second!, `${keyOf(1)}x`);
    expect(await split(world, second!, `${keyOf(1)}x`)).toBe('DONE');
    const child = (await world.directory.lookup(tiledTable, encodedKey(`${keyOf(1)}y`)))!;
    expect(child.shard.startKey).toBe(parts.child.startKey);
    const locator = await world.records.get('locator', { shardId: child.shard.shardId });
    // The locator is shown with the start of another shard.
    const wrong = { ...locator!, value: { ...locator!.value, startKey: KEY_SPACE_START } };
    const get: Records['get'] = async (kind, id) => (kind === 'locator' ? wrong : world.records.get(kind, id));
    expect(await locate(child.shard.shardId, over({ get }))).toBe(child.shard.startKey);
  });

  test('whose locator outlives its shard is gone', async () => {
    await build(3);
    const [first, second] = await scanned(world);
    const key = world.committed.flat().find(({ key: { pk } }) => pk.includes('shard-0000001'))!.key;
    const kept = await world.store.get(key);
    expect(await merge(world, first!, second!)).toBe('DONE');
    const getSnapshot: MetadataStore['getSnapshot'] = async (asked) =>
      (await world.store.getSnapshot(asked)).map((item, index) => (asked[index]?.pk === key.pk ? kept : item));
    expect(await locate('shard-0000001', over({}, { getSnapshot }))).toBeUndefined();
  });
});

describe('descriptors of replicas', () => {
  const pointers = async (node: number) =>
    (await world.directory.replicasOn(nodeId(`node-${node}`), { limit: 1000 })).replicas;

  test('are read in batches of a hundred, each in its place', async () => {
    await build(201);
    const all = await pointers(2);
    await world.directory.resolve(all);
    const wanted = [...all].reverse();
    const calls = await world.faults.during(async () => {
      const found = await world.directory.resolve(wanted);
      expect(found.map((located) => located?.shard.shardId)).toEqual(wanted.map((pointer) => pointer.shardId));
      expect(found[7]).toEqual(await world.directory.locate(wanted[7]!.shardId));
    });
    expect(calls.filter((method) => method === 'getMany')).toHaveLength(3);
    expect(await world.directory.resolve([])).toEqual([]);
  });

  test('of a shard that moved to another page are looked up', async () => {
    await build(60);
    const all = await pointers(1);
    const stale = world.newDirectory();
    await stale.resolve(all);
    const shards = await scanned(world);
    expect(await merge(world, shards[47]!, shards[48]!)).toBe('DONE');
    const found = await stale.resolve(all);
    expect(found.map((located) => located?.shard.shardId ?? null)).toEqual(
      all.map(({ shardId: id }) => (id === 'shard-0000048' ? null : id)),
    );
  });

  test('are null where another shard is at that start, or another replica on the node, or none', async () => {
    await build(3);
    const [first] = await pointers(1);
    const found = await world.directory.resolve([
      first!,
      { ...first!, shardId: shardId('shard-x') },
      { ...first!, replicaId: replicaId('r-older') },
      { ...first!, nodeId: nodeId('node-9') },
      { ...first!, tableId: tableId('nowhere') },
      { ...first!, startKey: encodedKey('k0') },
    ]);
    expect(found.map((located) => located?.shard.shardId ?? null)).toEqual([
      'shard-0000000',
      null,
      null,
      null,
      null,
      'shard-0000000', // its keys begin before, but it is the same replica
    ]);
  });

  test('of a node come in pages, by shard id', async () => {
    await build(5);
    const first = await world.directory.replicasOn(nodeId('node-1'), { limit: 2 });
    expect(first.replicas.map((row) => row.shardId)).toEqual(['shard-0000000', 'shard-0000001']);
    const rest = await world.directory.replicasOn(nodeId('node-1'), { after: first.next!, limit: 9 });
    expect(rest.replicas.map((row) => row.shardId)).toEqual(['shard-0000002', 'shard-0000003', 'shard-0000004']);
    expect(rest.next).toBeNull();
  });
});

describe('versions of routes', () => {
  test('go with the change that they tell of, and must be new', async () => {
    await build(3);
    const [first, second] = await scanned(world);
    const versions = (writes: readonly { entity: string; when: unknown }[]) =>
      writes.filter(({ entity }) => entity === 'routeVersion').map(({ when }) => when);
    const absent = [{ kind: 'absent' }];
    const moved = { ...first!.shard, generation: generation(2), replicas: first!.shard.replicas.slice(0, 2) };
    expect(versions(world.directory.replaceWrites(first!, moved))).toEqual([absent]);
    const halves = await world.directory.splitWrites(second!, partsOf(second!, `${keyOf(1)}x`), by);
    if (typeof halves === 'string') throw new Error(halves);
    expect(versions(halves.writes)).toEqual([absent, absent]);
    expect(await split(world, { ...second!, page: pageId('page-none') }, `${keyOf(1)}x`)).toBe('RACED');
  });
});
