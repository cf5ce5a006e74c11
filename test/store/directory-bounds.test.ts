import { encodedKey, generation, operationId, replicaId, shardId } from '../../shared/domain/ids.ts';
import { KEY_SPACE_START, rangeContains } from '../../shared/domain/keys.ts';
import { commitMerge } from '../../shared/domain/merge.ts';
import { commitSplit, divides, splittingState } from '../../shared/domain/split.ts';
import { inSyncReplicas } from '../../shared/domain/shard.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { checkTiling } from '../../shared/domain/invariants.ts';
import type { LocatedShard } from '../../shared/ports.ts';
import { seededRandom, settled } from '../support/environment.ts';
import { storeWorld } from '../support/store.ts';
import type { StoreWorld } from '../support/store.ts';
import { evenShards, keyOf, tiledTable } from '../support/tiles.ts';

const by = { principal: 'system:test', action: 'TEST' };
const operation = operationId('op-1');

let world: StoreWorld;
let named = 0;
beforeEach(() => {
  world = storeWorld();
});
afterEach(() => world.close());

const scan = async (): Promise<readonly LocatedShard[]> =>
  (await world.directory.scan(tiledTable, { fromKey: KEY_SPACE_START, limit: 10_000 })).shards;
const expectTiled = async (): Promise<void> => {
  expect(
    checkTiling(
      'cities',
      (await scan()).map(({ shard }) => shard),
    ),
  ).toEqual([]);
};

/** The parts of a split of `located` at `key`, as if its intent stood. */
function partsOf(located: LocatedShard, key: string) {
  const childShardId = shardId(`child-${++named}`);
  const state = splittingState(located.shard, { operationId: operation, splitKey: encodedKey(key), childShardId }, () =>
    replicaId(`copy-${++named}`),
  );
  const shard: ShardDescriptor = { ...located.shard, state };
  const parts = commitSplit(shard, { operationId: operation, prepared: inSyncReplicas(shard), nowMs: 1 });
  if (!parts.ok) throw new Error(parts.error.code);
  return parts.value;
}

async function split(located: LocatedShard, key: string): Promise<'DONE' | 'PAGE_FULL' | 'RACED'> {
  const change = await world.directory.splitWrites(located, partsOf(located, key), by);
  if (typeof change === 'string') return change;
  const committed = await world.records.commit({ ...change, events: [] });
  return committed.ok ? 'DONE' : 'RACED';
}

async function merge(left: LocatedShard, right: LocatedShard): Promise<'DONE' | 'RACED'> {
  const side = (shard: ShardDescriptor, which: 'LEFT' | 'RIGHT', other: ShardDescriptor): ShardDescriptor => ({
    ...shard,
    state: { kind: 'MERGING', operationId: operation, side: which, otherShardId: other.shardId },
  });
  const receipt = ({ leader, epoch, generation: at }: ShardDescriptor) => ({
    replicaId: leader.replicaId,
    epoch,
    generation: at,
    sealed: { epoch, seq: 1 },
  });
  const merged = commitMerge(side(left.shard, 'LEFT', right.shard), side(right.shard, 'RIGHT', left.shard), {
    operationId: operation,
    receipts: { left: receipt(left.shard), right: receipt(right.shard) },
    sinceGeneration: { left: 0, right: 0 },
    nowMs: 1,
  });
  if (!merged.ok) throw new Error(merged.error.code);
  const change = await world.directory.mergeWrites({ left, right }, merged.value, by);
  if (typeof change === 'string') return change;
  const committed = await world.records.commit({ ...change, events: [] });
  return committed.ok ? 'DONE' : 'RACED';
}

describe('a split of a shard in the directory', () => {
  test('puts the child beside its parent, with locator and replica rows', async () => {
    await world.directory.append(tiledTable, evenShards(3), by);
    const [, middle] = await scan();
    expect(await split(middle!, `${keyOf(1)}x`)).toBe('DONE');
    await expectTiled();
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
    const [, middle] = await scan();
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
    const [first, second] = await scan();
    const change = await world.directory.splitWrites(first!, partsOf(first!, 'a'), by);
    if (typeof change === 'string') throw new Error(change);
    expect(await split(second!, `${keyOf(1)}x`)).toBe('DONE');
    expect((await world.records.commit({ ...change, events: [] })).ok).toBe(false);
    expect(await split(second!, `${keyOf(1)}y`)).toBe('RACED');
    await expectTiled();
  });

  test('asks for room in a full page, which is then made', async () => {
    await world.directory.append(tiledTable, evenShards(40), by);
    for (let round = 0; round < 60; round++) {
      const all = await scan();
      const located = all[round % all.length]!;
      const outcome = await split(located, `${located.shard.startKey}a`);
      if (outcome === 'PAGE_FULL') {
        await world.directory.makeRoom(located.page, by);
        continue;
      }
      expect(outcome).toBe('DONE');
    }
    await expectTiled();
    expect(new Set((await scan()).map(({ page }) => page)).size).toBeGreaterThan(1);
  });
});

describe('a merge of two shards in the directory', () => {
  test('in one page leaves no trace of the right one', async () => {
    await world.directory.append(tiledTable, evenShards(3), by);
    const [first, second] = await scan();
    expect(await merge(first!, second!)).toBe('DONE');
    await expectTiled();
    expect(await world.directory.locate(second!.shard.shardId)).toBeNull();
    const { replicas } = await world.directory.replicasOn(second!.shard.leader.nodeId, { limit: 10 });
    expect(replicas.map((row) => row.shardId)).not.toContain(second!.shard.shardId);
  });

  test('across two pages moves their border, also for processes that know the old one', async () => {
    await world.directory.append(tiledTable, evenShards(60), by); // 48 and 12
    const elsewhere = world.newDirectory();
    for (let index = 0; index < 60; index += 5) await elsewhere.lookup(tiledTable, keyOf(index));
    const all = await scan();
    expect(all[47]!.page).not.toBe(all[48]!.page);
    expect(await merge(all[47]!, all[48]!)).toBe('DONE');
    await expectTiled();
    for (const directory of [elsewhere, world.directory, world.newDirectory()]) {
      expect((await directory.lookup(tiledTable, keyOf(48)))?.shard.shardId).toBe(all[47]!.shard.shardId);
      expect((await directory.lookup(tiledTable, keyOf(49)))?.shard.shardId).toBe(all[49]!.shard.shardId);
    }
  });

  test('that empties the right page takes the page away', async () => {
    await world.directory.append(tiledTable, evenShards(49), by); // 48 and 1
    const elsewhere = world.newDirectory();
    await elsewhere.lookup(tiledTable, keyOf(48));
    const all = await scan();
    expect(await merge(all[47]!, all[48]!)).toBe('DONE');
    await expectTiled();
    expect(await world.records.get('page', { page: all[48]!.page })).toBeNull();
    for (const directory of [elsewhere, world.newDirectory()])
      expect((await directory.lookup(tiledTable, keyOf(48)))?.shard.endKey).toBeNull();
  });
});

test('random splits and merges keep every table tiled and every lookup right (I-1)', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    world.close();
    world = storeWorld({ seed });
    const random = seededRandom(seed);
    const pick = (count: number): number => Math.floor(random.next() * count);
    await world.directory.append(tiledTable, evenShards(50), by);
    const elsewhere = world.newDirectory();
    for (let step = 0; step < 120; step++) {
      const all = await scan();
      const index = pick(all.length);
      const located = all[index]!;
      const key = encodedKey(`${located.shard.startKey}${'abc'[pick(3)]}${step}`);
      if (random.next() < 0.5 && divides(located.shard, key)) {
        const outcome = await split(located, key);
        if (outcome === 'PAGE_FULL') await world.directory.makeRoom(located.page, by);
        else expect(outcome).toBe('DONE');
      } else if (index + 1 < all.length) expect(await merge(located, all[index + 1]!)).toBe('DONE');
      const probe = all[pick(all.length)]!.shard.startKey;
      const found = await elsewhere.lookup(tiledTable, probe);
      expect(found !== null && rangeContains(found.shard, probe)).toBe(true);
    }
    await expectTiled();
    for (const { shard } of await scan()) {
      expect((await elsewhere.lookup(tiledTable, shard.startKey))?.shard.shardId).toBe(shard.shardId);
      expect((await world.directory.locate(shard.shardId))?.shard.startKey).toBe(shard.startKey);
      expect(shard.generation).toBeGreaterThanOrEqual(generation(1));
    }
  }
});
