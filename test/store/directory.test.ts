import { encodedKey, epoch, generation, shardId, tableId } from '../../shared/domain/ids.ts';
import { KEY_SPACE_START } from '../../shared/domain/keys.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { LocatedShard } from '../../shared/ports.ts';
import { settled } from '../support/environment.ts';
import { storeWorld } from '../support/store.ts';
import type { StoreWorld } from '../support/store.ts';
import { evenShards, keyOf, tiledTable } from '../support/tiles.ts';

const by = { principal: 'system:test', action: 'TEST' };

/** An audit entry for changes whose audit is not the point. */
let audited = 0;
const auditEntry = () => ({ entity: 'test', number: ++audited, ...by, detail: null });

let world: StoreWorld;
beforeEach(() => {
  world = storeWorld();
});
afterEach(() => world.close());

const build = (shards: readonly ShardDescriptor[]): Promise<void> => world.directory.append(tiledTable, shards, by);
const at = (index: number): Promise<LocatedShard | null> => world.directory.lookup(tiledTable, keyOf(index));
const startOf = (found: LocatedShard | null): string | undefined => found?.shard.startKey;

describe('a lookup', () => {
  test('finds the shard of every kind of key: first, on a bound, inside, last', async () => {
    await build(evenShards(100));
    expect(startOf(await world.directory.lookup(tiledTable, KEY_SPACE_START))).toBe('');
    expect(startOf(await world.directory.lookup(tiledTable, encodedKey('a')))).toBe('');
    expect(startOf(await at(1))).toBe(keyOf(1));
    expect(startOf(await world.directory.lookup(tiledTable, encodedKey(`${keyOf(47)}x`)))).toBe(keyOf(47));
    expect(startOf(await world.directory.lookup(tiledTable, encodedKey('\u{10FFFF}')))).toBe(keyOf(99));
  });

  test('costs one Query when the page is known, and one separator more when it is not', async () => {
    await build(evenShards(200));
    const cold = await world.faults.during(() => at(120));
    expect(cold).toEqual(['query', 'get', 'query']);
    const warm = await world.faults.during(async () => {
      await at(121);
      await at(143);
      await at(100);
    });
    expect(warm).toEqual(['query', 'query', 'query']);
  });

  test('of many cold keys of one page reads the root once', async () => {
    await build(evenShards(48));
    const cold = world.newDirectory();
    const calls = await world.faults.during(() =>
      Promise.all(Array.from({ length: 40 }, (_, index) => cold.lookup(tiledTable, keyOf(index)))),
    );
    expect(calls.filter((method) => method === 'get')).toHaveLength(1);
    expect(calls.filter((method) => method === 'query')).toHaveLength(1 + 40);
  });

  test('of cold keys in many pages finds all of them', async () => {
    await build(evenShards(500));
    const cold = world.newDirectory();
    const found = await Promise.all(
      Array.from({ length: 500 }, (_, index) => cold.lookup(tiledTable, keyOf((index * 7919) % 500))),
    );
    expect(found.map(startOf)).toEqual(
      Array.from({ length: 500 }, (_, index) => ((index * 7919) % 500 === 0 ? '' : keyOf((index * 7919) % 500))),
    );
  });

  test('orders keys by UTF-8 bytes, not by UTF-16 units', async () => {
    const [first, second] = evenShards(2) as [ShardDescriptor, ShardDescriptor];
    const bound = encodedKey('\u{FF5E}'); // EF BD 9E: below every character beyond the BMP, though its unit is above D83D
    await build([
      { ...first, endKey: bound },
      { ...second, startKey: bound },
    ]);
    expect(startOf(await world.directory.lookup(tiledTable, encodedKey('\u{1F600}')))).toBe(bound);
    expect(startOf(await world.directory.lookup(tiledTable, encodedKey('\u{FF5D}')))).toBe('');
  });

  test('of an unknown table answers null', async () => {
    expect(await world.directory.lookup(tableId('nowhere'), keyOf(1))).toBeNull();
  });

  test('beyond the shards built so far answers null only after a transactional read', async () => {
    await build(evenShards(10).slice(0, 5));
    await at(1);
    const calls = await world.faults.during(async () => expect(await at(7)).toBeNull());
    expect(calls).toEqual(['query', 'getSnapshot', 'getSnapshot']);
  });

  test('by shard id costs the locator besides', async () => {
    await build(evenShards(60));
    await at(50);
    const calls = await world.faults.during(async () => {
      expect(startOf(await world.directory.locate(shardId('shard-0000050')))).toBe(keyOf(50));
    });
    expect(calls).toEqual(['get', 'query']);
    expect(await world.directory.locate(shardId('shard-none'))).toBeNull();
  });
});

describe('a page split', () => {
  /** One page with 64 shards: 48 by append, the rest put in as a shard split would. */
  const fullPage = async (): Promise<LocatedShard['page']> => {
    await build(evenShards(64).slice(0, 48));
    const { page } = (await at(0))!;
    const header = (await world.records.get('page', { page }))!;
    const more = evenShards(64).slice(48);
    const grown = await world.records.commit({
      writes: [
        {
          kind: 'put',
          entity: 'page',
          value: { ...header.value, count: 64, generation: header.value.generation + 1 },
          when: [{ kind: 'revision', is: header.revision }],
        },
        ...more.map((shard) => ({
          kind: 'put' as const,
          entity: 'shard' as const,
          id: { page, startKey: shard.startKey },
          value: shard,
          when: [{ kind: 'absent' as const }],
        })),
      ],
      audit: [{ entity: `page:${page}`, number: header.value.generation + 1, ...by, detail: null }],
      events: [],
    });
    expect(grown.ok).toBe(true);
    return page;
  };
  const everyShardIsFound = async (directory: StoreWorld['directory']): Promise<void> => {
    for (let index = 1; index < 64; index++)
      expect(startOf(await directory.lookup(tiledTable, keyOf(index)))).toBe(keyOf(index));
  };

  test('moves the upper half in one transaction and keeps every shard findable', async () => {
    const page = await fullPage();
    const before = world.committed.length;
    const split = (await world.directory.splitPage(page, by))!;
    expect(world.committed).toHaveLength(before + 1);
    expect(split.left).toMatchObject({ page, count: 32, high: keyOf(32), right: split.right.page });
    expect(split.right).toMatchObject({ count: 32, low: keyOf(32), high: null, right: null });
    await everyShardIsFound(world.newDirectory());
    expect(await world.directory.splitPage(page, by)).toBeNull();
  });

  test('leaves a reader with a stale root right, who then knows the new page', async () => {
    const page = await fullPage();
    const stale = world.newDirectory();
    await stale.lookup(tiledTable, keyOf(1));
    await world.directory.splitPage(page, by);
    const first = await world.faults.during(async () =>
      expect(startOf(await stale.lookup(tiledTable, keyOf(40)))).toBe(keyOf(40)),
    );
    expect(first).toEqual(['query', 'getSnapshot', 'getSnapshot', 'query']);
    expect(await world.faults.during(() => stale.lookup(tiledTable, keyOf(50)))).toEqual(['query']);
    await everyShardIsFound(stale);
  });

  test('is safe when the root is late: `right` leads to the new page', async () => {
    const page = await fullPage();
    const { right } = (await world.directory.splitPage(page, by))!;
    await world.records.observe({
      kind: 'delete',
      entity: 'separator',
      id: { tableId: tiledTable, low: right.low },
      when: [],
    });
    await everyShardIsFound(world.newDirectory());
  });

  test.each([
    ['only the removals', (sk: string, page: boolean) => !page || sk === 'H'],
    ['only the additions', (sk: string, page: boolean) => page && sk !== 'H'],
    ['only the shrunk header', (sk: string) => sk !== 'H'],
  ])('that a Query sees in halves (%s) never hides a shard', async (_name, hidden) => {
    const page = await fullPage();
    const reader = world.newDirectory();
    await reader.lookup(tiledTable, keyOf(1));
    // The split is applied, its answer takes another second: until then reads may see it in halves.
    world.faults.use((call) => {
      if (call.method === 'transact') return { delayAfterMs: 1000 };
      return { seesBefore: (key) => hidden(key.sk, key.pk === `P#${page}`) };
    });
    const split = world.directory.splitPage(page, by);
    await settled();
    expect(world.timers.waiting).toBe(1);
    await everyShardIsFound(reader);
    await everyShardIsFound(world.newDirectory());
    await world.timers.advance(1000);
    await split;
    await everyShardIsFound(reader);
  });

  test('yields to a failover that changes one of its shards meanwhile', async () => {
    const page = await fullPage();
    const { directory, records } = world;
    const located = (await at(40))!;
    let disturbed = false;
    world.faults.use((call) => {
      if (call.method !== 'transact' || disturbed) return null;
      disturbed = true;
      return { delayBeforeMs: 10 };
    });
    const split = directory.splitPage(page, by);
    await settled();
    const elected = { ...located.shard, epoch: epoch(2), generation: generation(2) };
    const committed = await records.commit({
      writes: directory.replaceWrites(located, elected),
      audit: [{ entity: 'shard:shard-0000040', number: 2, ...by, detail: null }],
      events: [],
    });
    expect(committed.ok).toBe(true);
    await world.timers.advance(10);
    expect((await split)?.right.count).toBe(32);
    expect((await at(40))?.shard.epoch).toBe(2);
  });

  test('is not confused by a descriptor that moved: a stale location no longer commits', async () => {
    const page = await fullPage();
    const located = (await at(40))!;
    await world.directory.splitPage(page, by);
    const committed = await world.records.commit({
      writes: world.directory.replaceWrites(located, { ...located.shard, generation: generation(2) }),
      audit: [auditEntry()],
      events: [],
    });
    expect(committed).toMatchObject({ ok: false, error: { index: 0, current: null } });
  });

  test('numbers its audit entries by the pages’ generations, without a gap', async () => {
    const page = await fullPage();
    const { right } = (await world.directory.splitPage(page, by))!;
    for (const id of [page, right.page]) {
      const header = (await world.records.get('page', { page: id }))!;
      const entries = await world.records.query('audit', {
        partition: { entity: `page:${id}` },
        order: 'forward',
        limit: 100,
      });
      expect(entries.items.map((entry) => entry.value.number)).toEqual(
        Array.from({ length: header.value.generation }, (_, index) => index + 1),
      );
    }
  });
});
