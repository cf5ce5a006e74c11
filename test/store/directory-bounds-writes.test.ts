import { encodedKey, epoch, generation, pageId, shardId, tableId } from '../../shared/domain/ids.ts';
import type { PageId } from '../../shared/domain/ids.ts';
import type { PageHeader } from '../../shared/domain/records.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { Change, LocatedShard, RecordWrite } from '../../shared/ports.ts';
import { by, expectTiled, merge, mergedOf, partsOf, scanned, split } from '../support/bounds-changes.ts';
import { storeWorld } from '../support/store.ts';
import type { StoreWorld } from '../support/store.ts';
import { evenShards, keyOf, tiledTable } from '../support/tiles.ts';

/** What a split and a merge write, under which conditions, and what they refuse before they write. Pages hold 48 shards after an append. */
let world: StoreWorld;
beforeEach(() => {
  world = storeWorld({ items: 'PLAIN' });
});
afterEach(() => world.close());

const build = async (count: number): Promise<readonly LocatedShard[]> => {
  await world.directory.append(tiledTable, evenShards(count), by);
  return scanned(world);
};
const headerOf = async (page: PageId): Promise<PageHeader | undefined> =>
  (await world.records.get('page', { page }))?.value;
/** Puts another header in the place of the page's, as somebody else's change of the page would. */
const changeHeader = async (page: PageId, over: Partial<PageHeader> | null): Promise<void> => {
  const header = (await world.records.get('page', { page }))!;
  const when = [{ kind: 'revision', is: header.revision }] as const;
  const write: RecordWrite =
    over === null
      ? { kind: 'delete', entity: 'page', id: { page }, when }
      : { kind: 'put', entity: 'page', value: { ...header.value, ...over }, when };
  const audit = { entity: `page:${page}`, number: 1_000, ...by, detail: null };
  expect((await world.records.commit({ writes: [write], audit: [audit], events: [] })).ok).toBe(true);
};
const auditsOf = async (page: PageId): Promise<(readonly [number: number, detail: unknown])[]> => {
  const partition = { entity: `page:${page}` };
  const { items } = await world.records.query('audit', { partition, order: 'forward', limit: 100 });
  return items.map(({ value }) => [value.number, value.detail]);
};
const asRead = ({ shard, revision }: LocatedShard) => [
  { kind: 'revision', is: revision },
  { kind: 'equals', field: 'shardId', value: shard.shardId },
  { kind: 'equals', field: 'generation', value: shard.generation },
  { kind: 'equals', field: 'epoch', value: shard.epoch },
  { kind: 'equals', field: ['leader', 'nodeEpoch'], value: shard.leader.nodeEpoch },
];
const writesOf = (change: Pick<Change, 'writes' | 'audit'> | string): readonly RecordWrite[] => {
  if (typeof change === 'string') throw new Error(change);
  return change.writes;
};

describe('a split', () => {
  test('replaces the parent as it was read, under its leader, and adds what must not be there yet', async () => {
    const [, middle] = await build(3);
    const parts = partsOf(middle!, `${keyOf(1)}x`);
    const writes = writesOf(await world.directory.splitWrites(middle!, parts, by));
    expect(writes[0]).toMatchObject({ kind: 'put', entity: 'shard', value: parts.parent, when: asRead(middle!) });
    const added = writes.filter(({ entity }) => ['shard', 'locator', 'nodeReplica', 'routeVersion'].includes(entity));
    for (const write of added.slice(1)) expect(write).toMatchObject({ kind: 'put', when: [{ kind: 'absent' }] });
    expect(added.map(({ entity }) => entity).filter((entity) => entity !== 'routeVersion')).toEqual([
      'shard',
      'shard',
      'locator',
      'nodeReplica',
      'nodeReplica',
      'nodeReplica',
    ]);
  });

  test('numbers the entry of the page by its generation, and names both shards', async () => {
    const [, middle] = await build(3);
    expect(await split(world, middle!, `${keyOf(1)}x`)).toBe('DONE');
    const child = (await world.directory.lookup(tiledTable, encodedKey(`${keyOf(1)}y`)))!.shard.shardId;
    expect(await auditsOf(middle!.page)).toEqual([
      [1, { added: 3 }],
      [2, { added: child, by_split_of: 'shard-0000001' }],
    ]);
  });

  test.each<[string, (parent: ShardDescriptor) => Partial<ShardDescriptor>, object, string]>([
    ['the parent is another shard', () => ({ shardId: shardId('x') }), {}, 'a split keeps the parent in place'],
    ['the parent moves', () => ({ startKey: encodedKey('k') }), {}, 'a split keeps the parent in place'],
    ['the parent has no end', () => ({ endKey: null }), {}, 'the parts of shard-0000001 do not tile it (I-1)'],
    ['neither has a bound', () => ({ endKey: null }), { startKey: null }, 'do not tile it (I-1)'],
    ['the parts overlap', () => ({ endKey: encodedKey(`${keyOf(1)}y`) }), {}, 'do not tile it (I-1)'],
    ['the child ends elsewhere', () => ({}), { endKey: null }, 'do not tile it (I-1)'],
    [
      'the parent skips a generation',
      () => ({ generation: generation(3) }),
      {},
      'the parts of shard-0000001 do not exceed it (I-2)',
    ],
    ['the child does not exceed it', () => ({}), { generation: generation(1) }, 'do not exceed it (I-2)'],
    ['the parent changes its epoch', () => ({ epoch: epoch(2) }), {}, 'child epoch = parent epoch + 1 (S1)'],
    ['the child keeps the epoch', () => ({}), { epoch: epoch(1) }, 'child epoch = parent epoch + 1 (S1)'],
  ])('is a bug when %s', async (_what, ofParent, ofChild, message) => {
    const [, middle] = await build(3);
    const parts = partsOf(middle!, `${keyOf(1)}x`);
    const wrong = {
      parent: { ...parts.parent, ...ofParent(parts.parent) },
      child: { ...parts.child, ...ofChild },
    };
    await expect(world.directory.splitWrites(middle!, wrong, by)).rejects.toThrow(message);
  });

  test('of the last shard of a page, and of a table, is one in its page', async () => {
    const all = await build(50);
    expect(await split(world, all[47]!, `${keyOf(47)}x`)).toBe('DONE');
    expect(await split(world, all[48]!, `${keyOf(48)}x`)).toBe('DONE');
    expect(await split(world, all[49]!, `${keyOf(49)}x`)).toBe('DONE');
    await expectTiled(world);
    expect(await headerOf(all[0]!.page)).toMatchObject({ count: 49 });
    expect(await headerOf(all[49]!.page)).toMatchObject({ count: 4 });
  });

  test.each<[string, (all: readonly LocatedShard[]) => Promise<LocatedShard>]>([
    ['whose page is gone', async (all) => ({ ...all[0]!, page: pageId('page-none') })],
    ['that has moved to a page on the right', async (all) => ({ ...all[48]!, page: all[0]!.page })],
    ['that has moved to a page on the left', async (all) => ({ ...all[0]!, page: all[48]!.page })],
    [
      'that the page holds in part',
      async (all) => {
        await changeHeader(all[0]!.page, { high: encodedKey(`${keyOf(47)}y`) });
        return all[47]!;
      },
    ],
    [
      'of the end of the table in a page that ends before',
      async (all) => {
        await changeHeader(all[48]!.page, { high: encodedKey('z') });
        return all[48]!;
      },
    ],
  ])('of a shard %s is raced', async (_what, located) => {
    const found = await located(await build(49));
    const parts = partsOf(found, `${found.shard.startKey || 'a'}x`);
    expect(await world.directory.splitWrites(found, parts, by)).toBe('RACED');
  });

  test('asks for room when the page holds 64 shards, not before', async () => {
    const [first] = await build(3);
    await changeHeader(first!.page, { count: 63 });
    expect(await split(world, first!, 'b')).toBe('DONE');
    const [again] = await scanned(world);
    expect(await split(world, again!, 'a')).toBe('PAGE_FULL');
  });
});

describe('a merge', () => {
  test('replaces the left shard and removes the right one as they were read, under their leaders', async () => {
    const [first, second] = await build(3);
    const merged = mergedOf(first!, second!);
    const change = await world.directory.mergeWrites({ left: first!, right: second! }, merged, by);
    const writes = writesOf(change);
    expect(writes[0]).toMatchObject({ kind: 'put', entity: 'shard', value: merged, when: asRead(first!) });
    expect(writes[1]).toMatchObject({ kind: 'delete', entity: 'shard', when: asRead(second!) });
    expect(writes[2]).toMatchObject({ kind: 'delete', entity: 'locator', when: [{ kind: 'present' }] });
    expect(writes.slice(3, 6)).toEqual(
      second!.shard.replicas.map(({ nodeId, replicaId }) => ({
        kind: 'delete',
        entity: 'nodeReplica',
        id: { nodeId, shardId: second!.shard.shardId },
        when: [{ kind: 'equals', field: 'replicaId', value: replicaId }],
      })),
    );
  });

  test('within a page counts one shard less, and says which', async () => {
    const [first, second] = await build(3);
    expect(await merge(world, first!, second!)).toBe('DONE');
    expect(await headerOf(first!.page)).toMatchObject({ generation: 2, count: 2, low: '', high: null });
    expect(await auditsOf(first!.page)).toEqual([
      [1, { added: 3 }],
      [2, { removed: 'shard-0000001', by_merge_into: 'shard-0000000' }],
    ]);
  });

  test('across two pages moves the border; the root knows the page by its new low key', async () => {
    const all = await build(60);
    const [left, right] = [all[47]!, all[48]!];
    const before = (await headerOf(left.page))!;
    const writes = writesOf(await world.directory.mergeWrites({ left, right }, mergedOf(left, right), by));
    expect(writes.filter(({ entity }) => entity === 'page' || entity === 'separator')).toMatchObject([
      { kind: 'put', when: [{ kind: 'revision' }] },
      { kind: 'put', when: [{ kind: 'revision' }] },
      { kind: 'delete', id: { low: keyOf(48) }, when: [{ kind: 'present' }] },
      { kind: 'put', value: { low: keyOf(49) }, when: [{ kind: 'absent' }] },
    ]);
    expect(await merge(world, left, right)).toBe('DONE');
    expect(await headerOf(left.page)).toEqual({ ...before, generation: before.generation + 1, high: keyOf(49) });
    expect(await headerOf(right.page)).toMatchObject({ low: keyOf(49), high: null, generation: 2, count: 11 });
    const { items } = await world.records.query('separator', {
      partition: { tableId: tiledTable },
      order: 'forward',
      limit: 10,
    });
    expect(items.map(({ value }) => [value.low, value.page])).toEqual([
      ['', left.page],
      [keyOf(49), right.page],
    ]);
    const told = { removed: 'shard-0000048', by_merge_into: 'shard-0000047' };
    expect((await auditsOf(left.page)).at(-1)).toEqual([before.generation + 1, told]);
    expect((await auditsOf(right.page)).at(-1)).toEqual([2, told]);
  });

  test('with the only shard of the right page takes the page away; its last entry says so', async () => {
    const all = await build(49 + 48);
    // Pages of 48, 48 and 1: the middle one is emptied from its right end, and then goes too.
    expect(await merge(world, all[95]!, all[96]!)).toBe('DONE');
    let middle = (await scanned(world)).slice(48);
    while (middle.length > 1) {
      expect(await merge(world, middle[0]!, middle[1]!)).toBe('DONE');
      middle = (await scanned(world)).slice(48);
    }
    const [left, last] = (await scanned(world)).slice(47);
    const [before, gone] = [(await headerOf(left!.page))!, (await headerOf(last!.page))!];
    expect(await merge(world, left!, last!)).toBe('DONE');
    expect(await headerOf(last!.page)).toBeUndefined();
    expect(await headerOf(left!.page)).toEqual({
      ...before,
      generation: before.generation + 1,
      high: null,
      right: null,
    });
    expect((await auditsOf(last!.page)).at(-1)).toEqual([
      gone.generation + 1,
      { removed: last!.shard.shardId, by_merge_into: left!.shard.shardId },
    ]);
    const separators = await world.records.query('separator', {
      partition: { tableId: tiledTable },
      order: 'forward',
      limit: 10,
    });
    expect(separators.items).toHaveLength(1);
    await expectTiled(world);
  });

  test('with the only shard of a page between two leaves its neighbours side by side', async () => {
    const all = await build(97);
    await changeHeader(all[48]!.page, { count: 1 });
    const change = await world.directory.mergeWrites(
      { left: all[47]!, right: all[48]! },
      mergedOf(all[47]!, all[48]!),
      by,
    );
    const headers = writesOf(change).filter(({ entity }) => entity === 'page' || entity === 'separator');
    expect(headers).toMatchObject([
      { kind: 'put', value: { page: all[47]!.page, high: keyOf(96), right: all[96]!.page } },
      { kind: 'delete', entity: 'page', id: { page: all[48]!.page }, when: [{ kind: 'revision' }] },
      { kind: 'delete', entity: 'separator', id: { tableId: tiledTable, low: keyOf(48) }, when: [{ kind: 'present' }] },
    ]);
  });

  test.each<[string, (all: readonly LocatedShard[]) => Promise<readonly [LocatedShard, LocatedShard]>]>([
    ['whose left page is gone', async (all) => [{ ...all[47]!, page: pageId('page-none') }, all[48]!]],
    ['whose right page is gone', async (all) => [all[47]!, { ...all[48]!, page: pageId('page-none') }]],
    [
      'whose right page begins elsewhere by now',
      async (all) => {
        await changeHeader(all[48]!.page, { low: keyOf(47) });
        return [all[47]!, all[48]!];
      },
    ],
    [
      'between whose pages another one has come',
      async (all) => {
        await changeHeader(all[47]!.page, { right: pageId('page-new') });
        return [all[47]!, all[48]!];
      },
    ],
  ])('%s is raced', async (_what, located) => {
    const [left, right] = await located(await build(60));
    expect(await world.directory.mergeWrites({ left, right }, mergedOf(left, right), by)).toBe('RACED');
  });

  test('of shards, or of pages, that changed meanwhile does not commit', async () => {
    const all = await build(60);
    const changeOf = async (left: LocatedShard, right: LocatedShard) => {
      const change = await world.directory.mergeWrites({ left, right }, mergedOf(left, right), by);
      return { writes: writesOf(change), audit: typeof change === 'string' ? [] : change.audit, events: [] };
    };
    const across = await changeOf(all[47]!, all[48]!);
    const [first, second] = [await changeOf(all[50]!, all[51]!), await changeOf(all[51]!, all[52]!)];
    expect((await world.records.commit(first)).ok).toBe(true);
    expect((await world.records.commit(second)).ok).toBe(false);
    expect((await world.records.commit(across)).ok).toBe(false); // the right page's header has changed
    await expectTiled(world);
  });

  test.each<[string, (parts: { left: LocatedShard; right: LocatedShard; merged: ShardDescriptor }) => object, string]>([
    [
      'they do not touch',
      ({ right }) => ({ right: { ...right, shard: { ...right.shard, startKey: encodedKey('z') } } }),
      'shard-0000000 and shard-0000001 are no neighbours',
    ],
    [
      'they are of two tables',
      ({ right }) => ({ right: { ...right, shard: { ...right.shard, tableId: tableId('other') } } }),
      'shard-0000000 and shard-0000001 are no neighbours',
    ],
    [
      'it becomes another shard',
      ({ merged }) => ({ merged: { ...merged, shardId: shardId('x') } }),
      'the merged shard is the left one with the right bounds of the right one',
    ],
    [
      'it moves its start',
      ({ merged }) => ({ merged: { ...merged, startKey: encodedKey('a') } }),
      'the merged shard is',
    ],
    ['it ends elsewhere', ({ merged }) => ({ merged: { ...merged, endKey: keyOf(1) } }), 'the merged shard is'],
    [
      'it does not exceed the left one',
      ({ left, merged }) => ({
        left: { ...left, shard: { ...left.shard, generation: generation(9) } },
        merged: { ...merged, generation: generation(9) },
      }),
      'a merge exceeds both parents (I-2)',
    ],
    [
      'it does not exceed the right one',
      ({ right, merged }) => ({
        right: { ...right, shard: { ...right.shard, generation: generation(9) } },
        merged: { ...merged, generation: generation(9) },
      }),
      'a merge exceeds both parents (I-2)',
    ],
  ])('is a bug when %s', async (_what, wrong, message) => {
    const [left, right] = await build(3);
    const parts = { left: left!, right: right!, merged: mergedOf(left!, right!) };
    const { merged, ...sides } = { ...parts, ...(wrong(parts) as Partial<typeof parts>) };
    await expect(world.directory.mergeWrites(sides, merged, by)).rejects.toThrow(message);
  });
});
