import { marshall } from '@aws-sdk/util-dynamodb';
import type { DynamoDBStreamEvent } from 'aws-lambda';
import { createLocalFeeds } from '../../local/local-feeds.ts';
import { sequenceChangesHandler } from '../../shared/runtime/feed-stream.ts';
import { fixedRuntime } from '../../shared/runtime/runtime.ts';
import type { CommittedWrite } from '../../shared/store/faults.ts';
import { STORE_ATTRIBUTES } from '../../shared/store/limits.ts';
import { routeFeed } from '../../shared/usecases/feed.ts';
import { begin, routeWorld, TABLE_ID, uniform } from '../support/route-history.ts';
import type { RouteWorld } from '../support/route-history.ts';

/** From committed changes to numbered ones: the stream's function, and its likeness on one machine. */

const FEED = routeFeed(TABLE_ID);

async function changed(world: RouteWorld, seed: number, count: number): Promise<readonly CommittedWrite[]> {
  const from = world.committed.length;
  const random = uniform(seed);
  for (let done = 0; done < count;) {
    const pending = await begin(world, world.directory, random, () => `${seed}-${done}`);
    world.clock.advance(10);
    if (pending !== null && (await pending.commit())) done += 1;
  }
  return world.committed.slice(from).flat();
}

const packs = async (world: RouteWorld) => {
  const { items } = await world.records.query('feedPack', { partition: { feed: FEED }, order: 'forward', limit: 1000 });
  return items.map(({ value }) => value);
};

const versionsIn = (writes: readonly CommittedWrite[]): number =>
  writes.filter(({ key, before }) => key.pk.startsWith('V#') && before === null).length;

function streamed(
  writes: readonly CommittedWrite[],
  damage: (body: Record<string, unknown>) => void = () => undefined,
): DynamoDBStreamEvent {
  const { partitionKey, sortKey, revision, writeId } = STORE_ATTRIBUTES;
  return {
    Records: writes
      .filter(({ key }) => key.table === 'events')
      .map(({ key, before, after }, index) => {
        const body = { ...after?.body } as Record<string, unknown>;
        damage(body);
        const image = { [partitionKey]: key.pk, [sortKey]: key.sk, [revision]: 1, [writeId]: 'w', ...body };
        return {
          eventName: before === null ? ('INSERT' as const) : ('MODIFY' as const),
          dynamodb: { SequenceNumber: String(index), NewImage: marshall(image) as never },
        };
      }),
  };
}

describe('the function behind the stream', () => {
  test('numbers versions and leaves audit entries and events alone; a batch that comes twice is numbered twice', async () => {
    const world = await routeWorld();
    const writes = await changed(world, 1, 12);
    const handle = sequenceChangesHandler(fixedRuntime({ deps: world.deps, answers: 'checked' }));
    await handle(streamed(writes));
    expect((await packs(world)).map(({ number, entries }) => [number, entries.length])).toEqual([
      [1, versionsIn(writes)],
    ]);
    await handle(streamed(writes));
    expect((await packs(world)).map(({ number }) => number)).toEqual([1, 2]);
    world.close();
  });

  test('a version that this release can not read cuts the feed of its table', async () => {
    const world = await routeWorld();
    const writes = (await changed(world, 2, 1)).filter(({ key }) => key.pk.startsWith('V#')).slice(0, 1);
    const handle = sequenceChangesHandler(fixedRuntime({ deps: world.deps, answers: 'checked' }));
    await handle(streamed(writes, (body) => void (body['v'] = 99)));
    expect((await packs(world)).map(({ cut }) => cut)).toEqual([true]);
    world.close();
  });

  test('a batch that could not be numbered is given back', async () => {
    const world = await routeWorld();
    const writes = await changed(world, 3, 2);
    const handle = sequenceChangesHandler(fixedRuntime({ deps: world.deps, answers: 'checked' }));
    world.faults.use((call) => (call.method === 'transact' ? { refuse: 'UNAVAILABLE' } : null));
    await expect(handle(streamed(writes))).rejects.toThrow();
    world.faults.none();
    await handle(streamed(writes));
    expect(await packs(world)).toHaveLength(1);
    world.close();
  });
});

describe('on one machine', () => {
  test('what was committed before and after the start is numbered, through failures of the store', async () => {
    const world = await routeWorld();
    const feeds = createLocalFeeds();
    const first = await changed(world, 4, 3);
    feeds.onCommit(first);
    await feeds.start(world.deps);
    const second = await changed(world, 5, 3);
    let failures = 3;
    world.faults.use((call) => (call.method === 'transact' && failures-- > 0 ? { refuse: 'UNAVAILABLE' } : null));
    feeds.onCommit(second);
    const settled = feeds.settled();
    await world.timers.advance(5_000);
    await settled;
    const entries = (await packs(world)).flatMap((pack) => pack.entries);
    expect(entries).toHaveLength(versionsIn(first) + versionsIn(second));
    world.close();
  });

  test('a start cuts the feeds that are there: an earlier process may not have numbered its last commits', async () => {
    const world = await routeWorld();
    const feeds = createLocalFeeds();
    await feeds.start(world.deps);
    expect(await packs(world)).toEqual([]);
    feeds.onCommit(await changed(world, 6, 1));
    await feeds.settled();
    await createLocalFeeds().start(world.deps);
    expect((await packs(world)).map(({ cut }) => cut)).toEqual([false, true]);
    world.close();
  });
});
