import { encodedKey } from '../../shared/domain/ids.ts';
import { by, expectTiled, merge, partsOf, scanned, split } from '../support/bounds-changes.ts';
import { settled } from '../support/environment.ts';
import { storeWorld } from '../support/store.ts';
import type { StoreWorld } from '../support/store.ts';
import { evenShards, keyOf, tiledTable } from '../support/tiles.ts';

let world: StoreWorld;
beforeEach(() => {
  world = storeWorld();
});
afterEach(() => world.close());

describe('a split of a shard in the directory', () => {
  test('puts the child beside its parent, with locator and replica rows', async () => {
    await world.directory.append(tiledTable, evenShards(3), by);
    const [, middle] = await scanned(world);
    expect(await split(world, middle!, `${keyOf(1)}x`)).toBe('DONE');
    await expectTiled(world);
    const child = await world.directory.lookup(tiledTable, encodedKey(`${keyOf(1)}y`));
    expect(child?.shard.shardId).toMatch(/^child-/);
    expect((await world.directory.locate(child!.shard.shardId))?.shard.startKey).toBe(`${keyOf(1)}x`);
    for (const { nodeId, replicaId: id } of child!.shard.replicas) {
      const { replicas } = await world.directory.replicasOn(nodeId, { limit: 10 });
      expect(replicas.map((row) => row.replicaId)).toContain(id);
    }
    const header = await world.records.get('page', { page: middle!.page });
    expect(header?.value).toMatchObject({ count: 4, generation: 2 });
  });

  test.each([
    ['its locator is shown late', (pk: string, _sk: string) => pk.includes('child-')],
    ['the page is shown late', (pk: string, _sk: string) => pk.startsWith('P#')],
    ['only the left part is there', (_pk: string, sk: string) => sk !== `K#${keyOf(1)}`],
  ])('is never half there for who asks for the child: %s', async (_what, isLate) => {
    await world.directory.append(tiledTable, evenShards(3), by);
    const [, middle] = await scanned(world);
    const parts = partsOf(middle!, `${keyOf(1)}x`);
    const change = await world.directory.splitWrites(middle!, parts, by);
    if (typeof change === 'string') throw new Error(change);
    world.faults.use((call) =>
      call.method === 'transact' ? { delayAfterMs: 10 } : { seesBefore: ({ pk, sk }) => isLate(pk, sk) },
    );
    const committing = world.records.commit({ ...change, events: [] });
    await settled();
    expect((await world.directory.locate(parts.child.shardId))?.shard).toEqual(parts.child);
    await world.timers.advance(10);
    expect((await committing).ok).toBe(true);
  });

  test('of a changed descriptor, or in a changed page, does not commit', async () => {
    await world.directory.append(tiledTable, evenShards(3), by);
    const [first, second] = await scanned(world);
    const change = await world.directory.splitWrites(first!, partsOf(first!, 'a'), by);
    if (typeof change === 'string') throw new Error(change);
    expect(await split(world, second!, `${keyOf(1)}x`)).toBe('DONE');
    expect((await world.records.commit({ ...change, events: [] })).ok).toBe(false);
    expect(await split(world, second!, `${keyOf(1)}y`)).toBe('RACED');
    await expectTiled(world);
  });

  test('asks for room in a full page, which is then made', async () => {
    await world.directory.append(tiledTable, evenShards(40), by);
    for (let round = 0; round < 60; round++) {
      const all = await scanned(world);
      const located = all[round % all.length]!;
      const outcome = await split(world, located, `${located.shard.startKey}a`);
      if (outcome === 'PAGE_FULL') {
        await world.directory.makeRoom(located.page, by);
        continue;
      }
      expect(outcome).toBe('DONE');
    }
    await expectTiled(world);
    expect(new Set((await scanned(world)).map(({ page }) => page)).size).toBeGreaterThan(1);
  });
});

describe('a merge of two shards in the directory', () => {
  test('in one page leaves no trace of the right one', async () => {
    await world.directory.append(tiledTable, evenShards(3), by);
    const [first, second] = await scanned(world);
    expect(await merge(world, first!, second!)).toBe('DONE');
    await expectTiled(world);
    expect(await world.directory.locate(second!.shard.shardId)).toBeNull();
    const { replicas } = await world.directory.replicasOn(second!.shard.leader.nodeId, { limit: 10 });
    expect(replicas.map((row) => row.shardId)).not.toContain(second!.shard.shardId);
  });

  test('across two pages moves their border, also for processes that know the old one', async () => {
    await world.directory.append(tiledTable, evenShards(60), by); // 48 and 12
    const elsewhere = world.newDirectory();
    for (let index = 0; index < 60; index += 5) await elsewhere.lookup(tiledTable, keyOf(index));
    const all = await scanned(world);
    expect(all[47]!.page).not.toBe(all[48]!.page);
    expect(await merge(world, all[47]!, all[48]!)).toBe('DONE');
    await expectTiled(world);
    for (const directory of [elsewhere, world.directory, world.newDirectory()]) {
      expect((await directory.lookup(tiledTable, keyOf(48)))?.shard.shardId).toBe(all[47]!.shard.shardId);
      expect((await directory.lookup(tiledTable, keyOf(49)))?.shard.shardId).toBe(all[49]!.shard.shardId);
    }
  });

  test('that empties the right page takes the page away', async () => {
    await world.directory.append(tiledTable, evenShards(49), by); // 48 and 1
    const elsewhere = world.newDirectory();
    await elsewhere.lookup(tiledTable, keyOf(48));
    const all = await scanned(world);
    expect(await merge(world, all[47]!, all[48]!)).toBe('DONE');
    await expectTiled(world);
    expect(await world.records.get('page', { page: all[48]!.page })).toBeNull();
    for (const directory of [elsewhere, world.newDirectory()])
      expect((await directory.lookup(tiledTable, keyOf(48)))?.shard.endKey).toBeNull();
  });
});
