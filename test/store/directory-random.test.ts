import { encodedKey, generation } from '../../shared/domain/ids.ts';
import { rangeContains } from '../../shared/domain/keys.ts';
import { divides } from '../../shared/domain/split.ts';
import { by, expectTiled, merge, scanned, split } from '../support/bounds-changes.ts';
import { seededRandom } from '../support/environment.ts';
import { storeWorld } from '../support/store.ts';
import { evenShards, tiledTable } from '../support/tiles.ts';

test('random splits and merges keep every table tiled and every lookup right (I-1)', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const world = storeWorld({ seed });
    const random = seededRandom(seed);
    const pick = (count: number): number => Math.floor(random.next() * count);
    await world.directory.append(tiledTable, evenShards(50), by);
    const elsewhere = world.newDirectory();
    for (let step = 0; step < 120; step++) {
      const all = await scanned(world);
      const index = pick(all.length);
      const located = all[index]!;
      const key = encodedKey(`${located.shard.startKey}${'abc'[pick(3)]}${step}`);
      if (random.next() < 0.5 && divides(located.shard, key)) {
        const outcome = await split(world, located, key);
        if (outcome === 'PAGE_FULL') await world.directory.makeRoom(located.page, by);
        else expect(outcome).toBe('DONE');
      } else if (index + 1 < all.length) expect(await merge(world, located, all[index + 1]!)).toBe('DONE');
      const probe = all[pick(all.length)]!.shard.startKey;
      const found = await elsewhere.lookup(tiledTable, probe);
      expect(found !== null && rangeContains(found.shard, probe)).toBe(true);
    }
    await expectTiled(world);
    for (const { shard } of await scanned(world)) {
      expect((await elsewhere.lookup(tiledTable, shard.startKey))?.shard.shardId).toBe(shard.shardId);
      expect((await world.directory.locate(shard.shardId))?.shard.startKey).toBe(shard.startKey);
      expect(shard.generation).toBeGreaterThanOrEqual(generation(1));
    }
    world.close();
  }
});
