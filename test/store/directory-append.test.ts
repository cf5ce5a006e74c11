import { encodedKey, generation, nodeId, replicaId, shardId, tableId } from '../../shared/domain/ids.ts';
import { err } from '../../shared/domain/result.ts';
import type { PageHeader } from '../../shared/domain/records.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { Records } from '../../shared/ports.ts';
import type { DirectoryWithPages } from '../../shared/store/directory.ts';
import { aReplica } from '../support/shards.ts';
import { directoryOver } from '../support/directory-over.ts';
import { storeWorld } from '../support/store.ts';
import type { StoreWorld } from '../support/store.ts';
import { evenShards, keyOf, tiledTable } from '../support/tiles.ts';

/** What is written when shards are added at the high end of a table, or taken from its low end, and what is done about races. */
const by = { principal: 'system:test', action: 'TEST' };

let world: StoreWorld;
beforeEach(() => {
  world = storeWorld({ items: 'PLAIN' });
});
afterEach(() => world.close());

const build = (shards: readonly ShardDescriptor[]): Promise<void> => world.directory.append(tiledTable, shards, by);
/** A directory over the same store, some of whose reads or commits go otherwise. */
const over = (records: Partial<Records>): DirectoryWithPages => directoryOver(world, records);
/** Commits are lost to somebody else, the first `times` of them. */
const losing = (times: number) => {
  const counted = { commits: 0 };
  const commit: Records['commit'] = async (change) =>
    ++counted.commits > times ? world.records.commit(change) : err({ index: 0, current: null } as never);
  return { counted, directory: over({ commit }) };
};
/** Pages of the table from left to right. */
const pages = async (): Promise<readonly PageHeader[]> => {
  const partition = { tableId: tiledTable };
  const { items } = await world.records.query('separator', { partition, order: 'forward', limit: 100 });
  const headers = await Promise.all(items.map(({ value: { page } }) => world.records.get('page', { page })));
  return headers.map((header) => header!.value);
};
const auditsOf = async (entity: string): Promise<(readonly [number: number, detail: unknown])[]> => {
  const { items } = await world.records.query('audit', { partition: { entity }, order: 'forward', limit: 100 });
  expect(items.every(({ value }) => value.principal === by.principal && value.action === by.action)).toBe(true);
  return items.map(({ value }) => [value.number, value.detail]);
};
const idsOf = (shards: readonly ShardDescriptor[]): string[] => shards.map(({ shardId: id }) => id);
const scanned = async (): Promise<string[]> => {
  const { shards } = await world.directory.scan(tiledTable, { fromKey: keyOf(0), limit: 1000 });
  return idsOf(shards.map(({ shard }) => shard));
};

describe('appending', () => {
  test('makes pages that touch: each goes on where the one before ends, and the last has no end', async () => {
    await build(evenShards(100));
    const [first, second, third] = await pages();
    expect(await pages()).toEqual([
      {
        page: first!.page,
        tableId: tiledTable,
        low: '',
        high: keyOf(48),
        generation: 5,
        count: 48,
        right: second!.page,
      },
      {
        page: second!.page,
        tableId: tiledTable,
        low: keyOf(48),
        high: keyOf(96),
        generation: 5,
        count: 48,
        right: third!.page,
      },
      { page: third!.page, tableId: tiledTable, low: keyOf(96), high: null, generation: 1, count: 4, right: null },
    ]);
  });

  test('has an entry for each change of a page, in order, and for each shard', async () => {
    await build(evenShards(50));
    const [first, second] = await pages();
    expect(await auditsOf(`page:${first!.page}`)).toEqual([
      [1, { added: 15 }],
      [2, { added: 15 }],
      [3, { added: 15 }],
      [4, { added: 3 }],
      [5, { right: second!.page }],
    ]);
    expect(await auditsOf(`page:${second!.page}`)).toEqual([[1, { added: 2 }]]);
    expect(await auditsOf('shard:shard-0000049')).toEqual([[1, { table: 'cities', page: second!.page }]]);
  });

  test('reads the end of the table once, and then only writes', async () => {
    expect(await world.faults.during(() => build(evenShards(50)))).toEqual([
      'query',
      ...Array.from({ length: 5 }, () => 'transact'),
    ]);
  });

  test('uses the whole of a transaction', async () => {
    const twoReplicas = evenShards(70, [1, 2]);
    await build(twoReplicas.slice(0, 48));
    const before = world.committed.length;
    await build(twoReplicas);
    // The second page is opened by 19 shards of five items, two headers, a separator and two entries: 100.
    expect(world.committed.slice(before).map((writes) => writes.length)).toEqual([100, 3 * 5 + 2]);
  });

  test('of nothing does nothing', async () => {
    await build([]);
    expect(world.committed).toEqual([]);
  });

  test('goes on in the last page also when the root does not know it yet', async () => {
    await build(evenShards(70).slice(0, 50));
    const [, second] = await pages();
    await world.records.observe({
      kind: 'delete',
      entity: 'separator',
      id: { tableId: tiledTable, low: second!.low },
      when: [],
    });
    await build(evenShards(70));
    expect((await world.records.get('page', { page: second!.page }))?.value.count).toBe(22);
  });

  test('of a root that lags without end gives up', async () => {
    await build(evenShards(5).slice(0, 3));
    let reads = 0;
    const get: Records['get'] = async (kind, id) => {
      const found = await world.records.get(kind, id);
      if (found === null || kind !== 'page') return found;
      reads++;
      return { ...found, value: { ...found.value, right: (found.value as PageHeader).page } };
    };
    await expect(over({ get }).append(tiledTable, evenShards(5), by)).rejects.toThrow(
      'the root of table table-1 lags more than 64 page splits',
    );
    expect(reads).toBe(64);
  });

  test('while the last page is being taken away is told to come again', async () => {
    await build(evenShards(5).slice(0, 3));
    const get: Records['get'] = async (kind, id) => (kind === 'page' ? null : world.records.get(kind, id));
    await expect(over({ get }).append(tiledTable, evenShards(5), by)).rejects.toMatchObject({
      code: 'TRANSACTION_CONFLICT',
      message: `page ${(await pages())[0]!.page} of table table-1 is changing`,
    });
  });

  test('goes on after races, up to twenty of them', async () => {
    const some = losing(20);
    await some.directory.append(tiledTable, evenShards(3), by);
    expect(some.counted.commits).toBe(21);
    expect(await scanned()).toEqual(idsOf(evenShards(3)));
  });

  test('gives up when it loses every race', async () => {
    const { counted, directory } = losing(Infinity);
    await expect(directory.append(tiledTable, evenShards(3), by)).rejects.toMatchObject({
      code: 'TRANSACTION_CONFLICT',
      message: 'lost 21 races for the last page of table table-1',
    });
    expect(counted.commits).toBe(21);
  });

  test.each<[string, (shards: ShardDescriptor[]) => ShardDescriptor[], string]>([
    [
      'of another table',
      ([a, b, c]) => [a!, { ...b!, tableId: tableId('other') }, c!],
      'shard shard-0000001 does not continue the shards to append',
    ],
    [
      'that end where they start',
      ([a, b, c]) => [a!, { ...b!, endKey: b!.startKey }, { ...c!, startKey: b!.startKey }],
      'shard shard-0000001 does not continue the shards to append',
    ],
    ['with a gap between them', ([a, , c]) => [a!, c!], 'shard shard-0000000 does not continue the shards to append'],
    ['with something behind the end', ([a, b, c]) => [a!, { ...b!, endKey: null }, c!], 'shard shard-0000001 does not'],
    [
      'that are not new',
      ([a, b, c]) => [a!, b!, { ...c!, generation: generation(2) }],
      'a new shard has generation 1, not 2',
    ],
    [
      'that begin behind the start of the key space',
      ([, b, c]) => [b!, c!],
      'shard shard-0000001 does not continue table',
    ],
  ])('shards %s is a bug', async (_what, spoilt, message) => {
    await expect(build(spoilt(evenShards(3)))).rejects.toThrow(message);
    expect(world.committed).toEqual([]);
  });

  test.each<[string, (all: ShardDescriptor[]) => ShardDescriptor[], string]>([
    [
      'another one in the place of one that is there, far from the first',
      (all) => all.map((shard, index) => (index === 120 ? { ...shard, shardId: shardId('shard-x') } : shard)),
      'another shard than shard-x starts at its start key',
    ],
    [
      'one that is there with another start',
      (all) => [{ ...all[1]!, startKey: encodedKey('k00000005') }],
      'another shard than shard-0000001 starts at its start key',
    ],
    [
      'one behind the end of a complete table',
      () => [{ ...evenShards(131)[130]!, shardId: shardId('shard-x') }],
      'another shard than shard-x starts at its start key',
    ],
  ])('%s is a bug', async (_what, spoilt, message) => {
    await build(evenShards(130));
    const commits = world.committed.length;
    await expect(build(spoilt(evenShards(130)))).rejects.toThrow(message);
    expect(world.committed).toHaveLength(commits);
  });

  test('a shard of another table in the place of one that is there is a bug', async () => {
    const other = evenShards(3).map((shard) => ({ ...shard, tableId: tableId('other') }));
    await build(evenShards(3));
    const others = other.map((shard, index) => ({ ...shard, shardId: shardId(`other-${index}`) }));
    await world.directory.append(
      tableId('other'),
      others.map((shard, index) => ({
        ...shard,
        replicas: [{ ...aReplica(1), replicaId: replicaId(`o-${index}`) }],
      })),
      by,
    );
    await expect(world.directory.append(tableId('other'), [other[1]!], by)).rejects.toThrow(
      'another shard than shard-0000001 starts at its start key',
    );
  });
});

describe('taking shards from the low end', () => {
  const removeFirst = (limit: number, directory: DirectoryWithPages = world.directory) =>
    directory.removeFirst(tiledTable, limit, by);

  test('takes as many as asked for, and leaves a page that says so', async () => {
    await build(evenShards(30));
    const [before] = await pages();
    const { removed, done } = await removeFirst(5);
    expect([idsOf(removed), done]).toEqual([idsOf(evenShards(5)), false]);
    expect(await pages()).toEqual([{ ...before!, generation: before!.generation + 1, count: 25 }]);
    expect((await auditsOf(`page:${before!.page}`)).at(-1)).toEqual([before!.generation + 1, { removed: 5 }]);
    expect(await auditsOf('shard:shard-0000004')).toEqual([
      [1, { table: 'cities', page: before!.page }],
      [2, { table: 'cities', page: before!.page }],
    ]);
    expect(await scanned()).toEqual(idsOf(evenShards(30).slice(5)));
    expect((await world.directory.replicasOn(nodeId('node-1'), { limit: 100 })).replicas).toHaveLength(25);
  });

  test('takes the page away with its last shard; its last entry says so', async () => {
    await build(evenShards(50));
    const [first, second] = await pages();
    expect(await removeFirst(48)).toMatchObject({ done: false });
    expect(await pages()).toEqual([second]);
    expect((await auditsOf(`page:${first!.page}`)).at(-1)?.[1]).toEqual({ removed: 9 });
    expect(await removeFirst(2)).toMatchObject({ done: true });
    expect(await pages()).toEqual([]);
  });

  test('uses the whole of a transaction', async () => {
    const shards = evenShards(13).map((shard, index) =>
      index === 12 ? { ...shard, replicas: [1, 2, 3, 4, 5, 6, 7, 8, 9].map((node) => aReplica(node)) } : shard,
    );
    await build(shards);
    const before = world.committed.length;
    await removeFirst(13); // 12 times seven items, one time 13, and three for the page: 100
    expect(world.committed).toHaveLength(before + 1);
  });

  test('takes no more than fits a transaction', async () => {
    await build(evenShards(30));
    const before = world.committed.length;
    await removeFirst(30);
    expect(world.committed).toHaveLength(before + 3); // 13, 13 and 4
  });

  test('takes the open intent of a shard along, and asks for none where there is none', async () => {
    const intent = { kind: 'TRANSFER', targetReplicaId: replicaId('r-1-2'), sinceGeneration: generation(1) } as const;
    await build(evenShards(3).map((shard, index) => (index === 1 ? { ...shard, intent } : shard)));
    const before = world.committed.length;
    const changes: unknown[] = [];
    const commit: Records['commit'] = (change) => {
      changes.push(...change.writes.filter(({ entity }) => entity === 'openIntent'));
      return world.records.commit(change);
    };
    await removeFirst(3, over({ commit }));
    expect(changes).toEqual([
      { kind: 'delete', entity: 'openIntent', id: { shardId: shardId('shard-0000001') }, when: [] },
    ]);
    expect(world.committed.length).toBeGreaterThan(before);
  });

  test('removes descriptors, locators and rows as they were read', async () => {
    await build(evenShards(1));
    const { items } = await world.records.query('shard', {
      partition: { page: (await pages())[0]!.page },
      order: 'forward',
      limit: 1,
    });
    const seen: unknown[] = [];
    const commit: Records['commit'] = (change) => {
      seen.push(...change.writes.map(({ kind, entity, when }) => [kind, entity, when]));
      return world.records.commit(change);
    };
    await removeFirst(1, over({ commit }));
    expect(seen).toEqual([
      ['delete', 'page', [{ kind: 'revision', is: 1 }]],
      ['delete', 'separator', [{ kind: 'present' }]],
      ['delete', 'shard', [{ kind: 'revision', is: items[0]!.revision }]],
      ['delete', 'locator', [{ kind: 'present' }]],
      ...[1, 2, 3].map((node) => [
        'delete',
        'nodeReplica',
        [{ kind: 'equals', field: 'replicaId', value: `r-0-${node}` }],
      ]),
    ]);
  });

  test('goes on after races, up to ten of them; then it gives up', async () => {
    await build(evenShards(3));
    const all = losing(Infinity);
    await expect(removeFirst(3, all.directory)).rejects.toMatchObject({
      code: 'TRANSACTION_CONFLICT',
      message: 'lost 11 races for the first page of table table-1',
    });
    expect(all.counted.commits).toBe(11);
    const some = losing(10);
    expect((await removeFirst(3, some.directory)).removed).toHaveLength(3);
    expect(some.counted.commits).toBe(11);
  });

  test.each<[string, (once: <T>(otherwise: T, real: () => Promise<T>) => Promise<T>) => Partial<Records>]>([
    [
      'whose header is gone already',
      (once) => ({
        get: (kind, id) =>
          kind === 'page' ? once(null, () => world.records.get(kind, id)) : world.records.get(kind, id),
      }),
    ],
    [
      'whose shards are shown as gone already',
      (once) => ({
        query: (kind, request) =>
          kind === 'shard'
            ? once({ items: [], next: null }, () => world.records.query(kind, request))
            : world.records.query(kind, request),
      }),
    ],
  ])('from a page %s looks again', async (_what, reads) => {
    await build(evenShards(3));
    const commits = world.committed.length;
    let torn = true;
    const directory = over(
      reads((otherwise, real) => {
        if (!torn) return real();
        torn = false;
        return Promise.resolve(otherwise);
      }),
    );
    const { removed, done } = await removeFirst(3, directory);
    expect([idsOf(removed), done]).toEqual([idsOf(evenShards(3)), true]);
    expect(world.committed).toHaveLength(commits + 1);
  });
});
