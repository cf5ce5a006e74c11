import { err } from '../../shared/domain/result.ts';
import type { PageHeader } from '../../shared/domain/records.ts';
import type { PageId } from '../../shared/domain/ids.ts';
import { pageId } from '../../shared/domain/ids.ts';
import type { Records } from '../../shared/ports.ts';
import type { DirectoryWithPages } from '../../shared/store/directory.ts';
import { directoryOver } from '../support/directory-over.ts';
import { storeWorld } from '../support/store.ts';
import type { StoreWorld } from '../support/store.ts';
import { evenShards, keyOf, tiledTable } from '../support/tiles.ts';

/** How a full page splits: what moves, what is written under which conditions, and what is done about changes meanwhile. */
const by = { principal: 'system:test', action: 'TEST' };

let world: StoreWorld;
beforeEach(() => {
  world = storeWorld({ items: 'PLAIN' });
});
afterEach(() => world.close());

/** A page of `count` shards, the first of a table; `right` stands for a page behind it. */
async function pageOf(count: number, over: Partial<PageHeader> = {}): Promise<PageId> {
  const shards = evenShards(count + 1).slice(0, count);
  await world.directory.append(tiledTable, shards.slice(0, 48), by);
  const { page } = (await world.directory.lookup(tiledTable, keyOf(0)))!;
  const header = (await world.records.get('page', { page }))!;
  const rest = shards.slice(48);
  const put = await world.records.commit({
    writes: [
      {
        kind: 'put',
        entity: 'page',
        value: { ...header.value, count, ...over },
        when: [{ kind: 'revision', is: header.revision }],
      },
      ...rest.map((shard) => ({
        kind: 'put' as const,
        entity: 'shard' as const,
        id: { page, startKey: shard.startKey },
        value: shard,
        when: [{ kind: 'absent' as const }],
      })),
    ],
    audit: [{ entity: 'test', number: 1, ...by, detail: null }],
    events: [],
  });
  expect(put.ok).toBe(true);
  return page;
}
const over = (records: Partial<Records>): DirectoryWithPages => directoryOver(world, records);
const headerOf = async (page: PageId): Promise<PageHeader> => (await world.records.get('page', { page }))!.value;

test('the upper half moves, between the page and the one on its right', async () => {
  const page = await pageOf(64, { high: keyOf(64), right: pageId('page-right') });
  const before = await headerOf(page);
  const split = (await world.directory.splitPage(page, by))!;
  expect(split.right.page).toMatch(/^page-[0-9a-f]{16}$/);
  expect(split).toEqual({
    left: { ...before, high: keyOf(32), generation: before.generation + 1, count: 32, right: split.right.page },
    right: {
      page: split.right.page,
      tableId: tiledTable,
      low: keyOf(32),
      high: keyOf(64),
      generation: 1,
      count: 32,
      right: pageId('page-right'),
    },
  });
  expect([await headerOf(page), await headerOf(split.right.page)]).toEqual([split.left, split.right]);
  for (const [id, detail] of [
    [page, { right: split.right.page, moved: 32 }],
    [split.right.page, { left: page, moved: 32 }],
  ] as const) {
    const { items } = await world.records.query('audit', {
      partition: { entity: `page:${id}` },
      order: 'backward',
      limit: 1,
    });
    expect(items[0]?.value).toMatchObject({ ...by, detail, number: (await headerOf(id)).generation });
  }
});

test('no more shards move than one transaction holds, and they keep their order', async () => {
  const page = await pageOf(80);
  const split = (await world.directory.splitPage(page, by))!;
  expect([split.left.count, split.right.count, split.right.low]).toEqual([48, 32, keyOf(48)]);
  expect(world.committed.at(-1)!.length).toBeLessThanOrEqual(100);
});

test('every shard moves as it was read, into a page that must be new', async () => {
  const page = await pageOf(64);
  const shards = await world.records.query('shard', { partition: { page }, order: 'forward', limit: 100 });
  const seen: unknown[] = [];
  const commit: Records['commit'] = (change) => {
    seen.push(...change.writes.map(({ kind, entity, when }) => [kind, entity, when]));
    return world.records.commit(change);
  };
  const { revision } = (await world.records.get('page', { page }))!;
  await over({ commit }).splitPage(page, by);
  expect(seen).toEqual([
    ['put', 'page', [{ kind: 'revision', is: revision }]],
    ['put', 'page', [{ kind: 'absent' }]],
    ['put', 'separator', [{ kind: 'absent' }]],
    ...shards.items.slice(32).flatMap((shard) => [
      ['delete', 'shard', [{ kind: 'revision', is: shard.revision }]],
      ['put', 'shard', [{ kind: 'absent' }]],
    ]),
  ]);
});

test('a page with room, and one that is gone, stay as they are', async () => {
  const page = await pageOf(63);
  const commits = world.committed.length;
  expect(await world.directory.splitPage(page, by)).toBeNull();
  await world.directory.makeRoom(page, by);
  expect(await world.directory.splitPage(pageId('page-none'), by)).toBeNull();
  expect(world.committed).toHaveLength(commits);
});

test('room is made in a full page', async () => {
  const page = await pageOf(64);
  await world.directory.makeRoom(page, by);
  expect((await headerOf(page)).count).toBe(32);
});

test('a page that comes in several answers splits as one that comes in one', async () => {
  const page = await pageOf(64);
  let answers = 0;
  const query: Records['query'] = (kind, request) => {
    if (kind !== 'shard') return world.records.query(kind, request);
    answers++;
    return world.records.query(kind, { ...request, limit: 20 });
  };
  expect((await over({ query }).splitPage(page, by))!.right).toMatchObject({ count: 32, low: keyOf(32) });
  expect(answers).toBe(4);
});

test('a page that seems to hold fewer or more shards than it says is read again', async () => {
  const page = await pageOf(66);
  let reads = 0;
  const get: Records['get'] = async (kind, id) => {
    const found = await world.records.get(kind, id);
    if (found === null || kind !== 'page') return found;
    const count = [67, 65, 64][reads++] ?? (found.value as PageHeader).count;
    return { ...found, value: { ...found.value, count } };
  };
  expect((await over({ get }).splitPage(page, by))?.left.count).toBe(34);
  expect(reads).toBe(4);
});

test('a page that loses every race is given up after ten attempts', async () => {
  const page = await pageOf(64);
  let commits = 0;
  const commit: Records['commit'] = async () => {
    commits++;
    return err({ index: 0, current: null } as never);
  };
  await expect(over({ commit }).splitPage(page, by)).rejects.toMatchObject({
    code: 'TRANSACTION_CONFLICT',
    message: `page ${page} changed during each of 10 attempts to split it`,
  });
  expect(commits).toBe(10);
});
