import { encodedKey, epoch, generation, nodeId, replicaId, shardId, tableId } from '../../shared/domain/ids.ts';
import { KEY_SPACE_START } from '../../shared/domain/keys.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { StoreError } from '../../shared/ports.ts';
import type { LocatedShard } from '../../shared/ports.ts';
import { aReplica } from '../support/shards.ts';
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

describe('appending', () => {
  test('fills pages to 48 shards, in transactions of at most 100 items', async () => {
    await build(evenShards(130));
    const counts = [];
    for (const index of [0, 48, 96]) {
      const { page } = (await at(index))!;
      counts.push((await world.records.get('page', { page }))!.value.count);
    }
    expect(counts).toEqual([48, 48, 34]);
    for (const writes of world.committed) expect(writes.length).toBeLessThanOrEqual(100);
  });

  test('repeated, leaves everything as it is', async () => {
    await build(evenShards(60));
    const commits = world.committed.length;
    await build(evenShards(60));
    expect(world.committed).toHaveLength(commits);
  });

  test('goes on where a crash left it, on any cut', async () => {
    const shards = evenShards(70);
    for (const cut of [1, 16, 17, 48, 49]) {
      await build(shards.slice(0, cut));
      await build(shards.slice(0, cut + 3));
    }
    await build(shards);
    const { shards: all } = await world.directory.scan(tiledTable, { fromKey: KEY_SPACE_START, limit: 1000 });
    expect(all.map(({ shard }) => shard.shardId)).toEqual(shards.map(({ shardId: id }) => id));
  });

  test('whose answer is lost commits once', async () => {
    world.faults.once('transact', { loseAnswer: 'UNAVAILABLE' });
    await expect(build(evenShards(5))).rejects.toThrow(StoreError);
    await build(evenShards(5));
    const header = await world.records.get('page', { page: (await at(0))!.page });
    expect(header?.value.count).toBe(5);
  });

  test('at once from two processes builds the table once', async () => {
    const other = world.newDirectory();
    world.faults.use((call) => (call.method === 'transact' ? { delayBeforeMs: 5 } : null));
    const both = Promise.all([build(evenShards(60)), other.append(tiledTable, evenShards(60), by)]);
    await world.timers.advance(1000);
    await both;
    world.faults.none();
    const { shards } = await world.directory.scan(tiledTable, { fromKey: KEY_SPACE_START, limit: 1000 });
    expect(shards).toHaveLength(60);
  });

  test('refuses other shards in the place of those that are there, and gaps', async () => {
    await build(evenShards(3).slice(0, 2));
    const impostor = { ...evenShards(3)[1]!, shardId: shardId('shard-other') };
    await expect(build([impostor])).rejects.toThrow('DIRECTORY_MISMATCH');
    await expect(build(evenShards(5).slice(3))).rejects.toThrow('DIRECTORY_MISMATCH');
    await expect(build([evenShards(5)[2]!, evenShards(5)[4]!])).rejects.toThrow('DIRECTORY_MISMATCH');
  });

  test('lists every replica under its node, and an audit entry under every shard', async () => {
    await build(evenShards(20));
    const { replicas, next } = await world.directory.replicasOn(nodeId('node-2'), { limit: 15 });
    expect(replicas).toHaveLength(15);
    const rest = await world.directory.replicasOn(nodeId('node-2'), { after: next!, limit: 15 });
    expect(rest.replicas).toHaveLength(5);
    const audit = await world.records.get('audit', { entity: 'shard:shard-0000007', number: 1 });
    expect(audit?.value).toMatchObject(by);
  });
});

describe('a scan', () => {
  test('pages through the table in key order, from inside a shard', async () => {
    await build(evenShards(130));
    const seen: string[] = [];
    let from: ReturnType<typeof keyOf> | null = encodedKey(`${keyOf(10)}middle`);
    while (from !== null) {
      const answer: Awaited<ReturnType<typeof world.directory.scan>> = await world.directory.scan(tiledTable, {
        fromKey: from,
        limit: 25,
      });
      seen.push(...answer.shards.map(({ shard }) => shard.startKey));
      from = answer.nextKey;
    }
    expect(seen).toEqual(Array.from({ length: 120 }, (_, index) => keyOf(index + 10)));
  });

  test('costs a page of the table, not the table', async () => {
    await build(evenShards(480));
    await world.directory.scan(tiledTable, { fromKey: KEY_SPACE_START, limit: 480 });
    const calls = await world.faults.during(() =>
      world.directory.scan(tiledTable, { fromKey: keyOf(240), limit: 100 }),
    );
    expect(calls.length).toBeLessThanOrEqual(6);
  });
});

describe('resolving a node’s replicas', () => {
  test('reads 100 descriptors a request once the pages are known', async () => {
    await build(evenShards(240));
    const { replicas } = await world.directory.replicasOn(nodeId('node-3'), { limit: 1000 });
    await world.directory.resolve(replicas);
    const calls = await world.faults.during(async () => {
      const found = await world.directory.resolve(replicas);
      expect(found.map((located) => located?.shard.shardId)).toEqual(replicas.map((replica) => replica.shardId));
    });
    expect(calls).toEqual(['getMany', 'getMany', 'getMany']);
  });

  test('answers null for a replica that is gone, and finds a shard that moved to another page', async () => {
    await build(evenShards(3));
    const { replicas } = await world.directory.replicasOn(nodeId('node-3'), { limit: 10 });
    const gone = { ...replicas[1]!, replicaId: replicaId('r-older') };
    const otherTable = { ...replicas[2]!, tableId: tableId('nowhere') };
    const found = await world.directory.resolve([replicas[0]!, gone, otherTable]);
    expect(found.map((located) => located?.shard.shardId ?? null)).toEqual(['shard-0000000', null, null]);
  });
});

describe('replacing a descriptor', () => {
  const change = async (to: (shard: ShardDescriptor) => ShardDescriptor): Promise<boolean> => {
    const located = (await at(1))!;
    const committed = await world.records.commit({
      writes: world.directory.replaceWrites(located, to(located.shard)),
      audit: [auditEntry()],
      events: [],
    });
    return committed.ok;
  };
  const rows = async (node: number): Promise<string[]> => {
    const { replicas } = await world.directory.replicasOn(nodeId(`node-${node}`), { limit: 10 });
    return replicas.filter((row) => row.shardId === 'shard-0000001').map((row) => row.replicaId);
  };

  test('moves the replicas’ rows along: one added, one removed, one renewed', async () => {
    await build(evenShards(3));
    const renewed = { ...aReplica(2), replicaId: replicaId('r-new') };
    const added = { ...aReplica(4), replicaId: replicaId('r-added') };
    expect(
      await change((shard) => ({
        ...shard,
        generation: generation(2),
        replicas: [shard.replicas[0]!, renewed, added],
      })),
    ).toBe(true);
    expect([await rows(1), await rows(2), await rows(3), await rows(4)]).toEqual([
      ['r-1-1'],
      ['r-new'],
      [],
      ['r-added'],
    ]);
  });

  test('fails under a generation that is no longer the present one', async () => {
    await build(evenShards(3));
    const located = (await at(1))!;
    const next = { ...located.shard, generation: generation(2) };
    const writes = world.directory.replaceWrites(located, next);
    expect((await world.records.commit({ writes, audit: [auditEntry()], events: [] })).ok).toBe(true);
    const second = await world.records.commit({ writes, audit: [auditEntry()], events: [] });
    expect(second).toMatchObject({ ok: false, error: { index: 0, current: { value: { generation: 2 } } } });
  });

  test('writes rows of those replicas alone that changed', async () => {
    await build(evenShards(3));
    const located = (await at(1))!;
    const next = { ...located.shard, generation: generation(2) };
    const entities = (to: ShardDescriptor): string[] =>
      world.directory.replaceWrites(located, to).map((write) => `${write.kind} ${write.entity}`);
    expect(entities(next)).toEqual(['put shard']);
    // Who leads, and who holds copies, is told to those who keep routes.
    expect(entities({ ...next, replicas: [...next.replicas, aReplica(4)] })).toEqual([
      'put shard',
      'put nodeReplica',
      'put routeVersion',
    ]);
    expect(entities({ ...next, replicas: next.replicas.slice(0, 2) })).toEqual([
      'put shard',
      'delete nodeReplica',
      'put routeVersion',
    ]);
  });

  test.each<[string, (shard: ShardDescriptor) => Partial<ShardDescriptor>, string]>([
    [
      'skips a generation',
      () => ({ generation: generation(3) }),
      'generation 3 of shard shard-0000001 does not follow 1 (I-2)',
    ],
    [
      'keeps the generation',
      () => ({ generation: generation(1) }),
      'generation 1 of shard shard-0000001 does not follow 1 (I-2)',
    ],
    ['lowers the epoch', () => ({ epoch: epoch(0) }), 'epoch 0 of shard shard-0000001 is below 1 (I-3)'],
    ['moves its end', () => ({ endKey: encodedKey('zz') }), 'the bounds of shard shard-0000001 change by'],
    ['moves its start', () => ({ startKey: encodedKey('k00') }), 'the bounds of shard shard-0000001 change by'],
    ['is of another table', () => ({ tableId: tableId('other') }), 'the bounds of shard shard-0000001 change by'],
    [
      'names another shard',
      () => ({ shardId: shardId('shard-x') }),
      "shard shard-0000001 can't be replaced by shard-x",
    ],
    [
      'has two replicas on one node',
      ({ replicas }) => ({ replicas: [...replicas, { ...replicas[0]!, replicaId: replicaId('r-2nd') }] }),
      'shard shard-0000001 has two replicas on one node (I-7)',
    ],
  ])('is a bug when the new one %s', async (_name, over, message) => {
    await build(evenShards(3));
    const commits = world.committed.length;
    await expect(change((shard) => ({ ...shard, generation: generation(2), ...over(shard) }))).rejects.toThrow(message);
    expect(world.committed).toHaveLength(commits);
  });
});

describe('removing a table', () => {
  test('takes shards from the low end until nothing of the table is left', async () => {
    await build(evenShards(110));
    const removed: string[] = [];
    for (let round = 0, done = false; !done; round++) {
      expect(round).toBeLessThan(10);
      const answer = await world.directory.removeFirst(tiledTable, 30, by);
      expect(answer.removed.length).toBeLessThanOrEqual(30);
      removed.push(...answer.removed.map((shard) => shard.shardId));
      done = answer.done;
    }
    expect(removed).toEqual(evenShards(110).map((shard) => shard.shardId));
    const left = [...new Set(world.committed.flat().map(({ key }) => JSON.stringify(key)))].map(
      (text) => JSON.parse(text) as { table: 'topology' | 'events'; pk: string; sk: string },
    );
    for (const key of left) if (key.table === 'topology') expect(await world.store.get(key)).toBeNull();
  });

  test('is done at once for a table without shards', async () => {
    expect(await world.directory.removeFirst(tiledTable, 10, by)).toEqual({ removed: [], done: true });
  });

  test('leaves a reader who knew its pages with null', async () => {
    await build(evenShards(20));
    await at(3);
    await world.directory.removeFirst(tiledTable, 100, by);
    expect(await at(3)).toBeNull();
    expect(await world.directory.locate(shardId('shard-0000003'))).toBeNull();
  });
});
