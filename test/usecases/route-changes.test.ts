import type { Route } from '../../shared/contracts/data/rows.ts';
import type { RouteVersion } from '../../shared/domain/records.ts';
import { FEED_CURSOR_MS } from '../../shared/domain/route-history.ts';
import { cutFeed, routeFeed, sequence } from '../../shared/usecases/feed.ts';
import { routeChanges } from '../../shared/usecases/route-changes.ts';
import { begin, routeWorld, TABLE, TABLE_ID, uniform } from '../support/route-history.ts';
import type { Pending, RouteWorld } from '../support/route-history.ts';

/** The change feed of routes: nothing is missing, whoever commits when, in whatever order the stream brings it. */

type Changes = Extract<Awaited<ReturnType<typeof routeChanges>>, { ok: true }>['value'];

const poll = (world: RouteWorld, cursor: string | null, limit = 3) =>
  world.call('routeChanges', routeChanges, {
    params: { table: TABLE },
    query: { limit, ...(cursor === null ? {} : { cursor }) },
  });

/** One that follows the feed by its one rule: for each key the highest generation is the newest. */
class Follower {
  routes: Route[];
  cursor: string | null;
  /** Highest generation that was told of each shard; of one that is gone, that of the merge. */
  readonly generations: Map<string, number>;

  constructor(from?: Follower) {
    this.routes = from?.routes ?? [];
    this.cursor = from?.cursor ?? null;
    this.generations = new Map(from?.generations);
  }

  take({ routes, gone, next_cursor }: Changes): void {
    for (const route of routes) {
      this.heard(route.shard_id, route.generation);
      const overlapped = this.routes.filter((known) => overlap(known, route));
      if (overlapped.some((known) => known.generation > route.generation)) continue;
      this.routes = [...this.routes.filter((known) => !overlapped.includes(known)), route];
    }
    for (const { shard_id, generation } of gone) this.heard(shard_id, generation);
    this.cursor = next_cursor;
  }

  async step(world: RouteWorld, limit?: number): Promise<boolean> {
    const answer = await poll(world, this.cursor, limit);
    if (!answer.ok) throw new Error(answer.error.message);
    this.take(answer.value);
    return answer.value.more;
  }

  async catchUp(world: RouteWorld): Promise<void> {
    while (await this.step(world, 100));
  }

  shown(): string[] {
    return this.routes.toSorted((a, b) => (a.start_key < b.start_key ? -1 : 1)).map(shownRoute);
  }

  private heard(shard: string, generation: number): void {
    this.generations.set(shard, Math.max(this.generations.get(shard) ?? 0, generation));
  }
}

const overlap = (a: Route, b: Route): boolean =>
  (a.end_key === null || b.start_key < a.end_key) && (b.end_key === null || a.start_key < b.end_key);

const shownRoute = (
  route: Pick<Route, 'shard_id' | 'start_key' | 'end_key' | 'epoch'> & { leader: { node_id: string } },
) => `${route.shard_id} [${route.start_key}, ${String(route.end_key)}) epoch ${route.epoch} ${route.leader.node_id}`;

const truth = async (world: RouteWorld): Promise<string[]> =>
  (await world.present()).map((shard) =>
    shownRoute({
      shard_id: shard.shardId,
      start_key: shard.startKey,
      end_key: shard.endKey,
      epoch: shard.epoch,
      leader: { node_id: shard.leader.nodeId },
    }),
  );

/** The stream: shards of it that keep no order between them, each at its own pace, sometimes bringing a batch twice. */
class Stream {
  private readonly lanes: RouteVersion[][] = [[], [], []];
  private readonly world: RouteWorld;
  private readonly random: () => number;

  constructor(world: RouteWorld, random: () => number) {
    this.world = world;
    this.random = random;
  }

  fill(): readonly RouteVersion[] {
    const { versions } = this.world.newlyCommitted();
    // Even versions of one shard may come in any order: nothing rests on it.
    for (const version of versions) this.lanes[Math.floor(this.random() * this.lanes.length)]!.push(version);
    return versions;
  }

  /** Some lanes bring their next batch at the same time. */
  async bring(share: number): Promise<void> {
    const bringing = this.lanes.filter((lane) => lane.length > 0 && this.random() < share);
    await Promise.all(
      bringing.map(async (lane) => {
        const batch = lane.slice(0, 1 + Math.floor(this.random() * 4));
        await sequence(this.world.deps, { versions: batch, decisions: [] });
        if (this.random() < 0.85) lane.splice(0, batch.length);
      }),
    );
  }

  get empty(): boolean {
    return this.lanes.every((lane) => lane.length === 0);
  }
}

describe('changes of routes', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'under concurrent commits each is told or superseded, and any cursor leads to the truth (seed %i)',
    async (seed) => {
      const world = await routeWorld();
      const random = uniform(seed);
      const processes = [world.newDirectory(), world.newDirectory(), world.newDirectory()];
      const waiting: Pending[] = [];
      const followers: Follower[] = [];
      const bookmarks: Follower[] = [];
      /** What was committed after a follower had begun. */
      const owed = new Map<Follower, RouteVersion[]>();
      const stream = new Stream(world, random);
      let ids = 0;
      let commits = 0;
      let lost = 0;
      for (let round = 0; round < 500; round++) {
        world.clock.advance(Math.floor(random() * 50));
        const what = random();
        if (what < 0.35 && waiting.length < 6) {
          const directory = processes[Math.floor(random() * processes.length)]!;
          const pending = await begin(world, directory, random, () => `${seed}-${ids++}`);
          if (pending !== null) waiting.push(pending);
        } else if (what < 0.65 && waiting.length > 0) {
          // Begun early, committed late: others were committed, numbered and read meanwhile.
          const [pending] = waiting.splice(Math.floor(random() * waiting.length), 1);
          if (await pending!.commit()) commits += 1;
          else lost += 1;
          const versions = stream.fill();
          for (const versionsOwed of owed.values()) versionsOwed.push(...versions);
        } else if (what < 0.8) await stream.bring(0.6);
        else if (what < 0.83 && followers.length < 6) {
          const follower = new Follower();
          followers.push(follower);
          owed.set(follower, []);
          await follower.step(world);
        } else if (followers.length > 0) {
          const follower = followers[Math.floor(random() * followers.length)]!;
          bookmarks.push(new Follower(follower));
          await follower.step(world, 1 + Math.floor(random() * 300));
        }
      }
      stream.fill();
      while (!stream.empty) await stream.bring(0.8);
      expect(commits).toBeGreaterThan(40);
      expect(lost).toBeGreaterThan(0);
      expect(followers.length).toBeGreaterThan(2);
      const expected = await truth(world);
      for (const follower of [...followers, ...bookmarks]) {
        await follower.catchUp(world);
        expect(follower.shown()).toEqual(expected);
      }
      for (const [follower, versions] of owed)
        for (const { shardId, generation } of versions)
          expect(follower.generations.get(shardId)).toBeGreaterThanOrEqual(generation);
      world.close();
    },
  );

  test('a poll of one who is up to date is one query of the store', async () => {
    const world = await routeWorld();
    const follower = new Follower();
    await follower.catchUp(world);
    const calls = await world.faults.during(() => follower.step(world));
    expect(calls).toEqual(['query']);
    world.close();
  });

  test('a change of status alone is told to nobody', async () => {
    const world = await routeWorld();
    const [located] = (await world.directory.scan(TABLE_ID, { fromKey: '' as never, limit: 1 })).shards;
    const { shard } = located!;
    const replicas = shard.replicas.map((replica) =>
      replica.nodeId === shard.leader.nodeId ? replica : { ...replica, syncStatus: 'LAGGING' as const },
    );
    const writes = world.directory.replaceWrites(located!, { ...shard, replicas, generation: 2 as never });
    expect(writes.map(({ entity }) => entity)).toEqual(['shard']);
    world.close();
  });

  test('answers are bounded, however many changes wait', async () => {
    const world = await routeWorld();
    const follower = new Follower();
    await follower.catchUp(world);
    const version = (generation: number, shard: number): RouteVersion => ({
      shardId: `x-${shard}` as never,
      tableId: TABLE_ID,
      table: TABLE as never,
      keyType: 'string',
      atMs: world.clock.wallMs(),
      generation: generation as never,
      before: null,
      after: {
        startKey: `k${shard}` as never,
        endKey: `k${shard}a` as never,
        epoch: 1 as never,
        generation: generation as never,
        leader: { nodeId: 'node-1' as never, nodeEpoch: 1 as never },
        replicas: [],
        leaderSinceMs: 0,
        boundsSinceMs: 0,
      },
      origin: null,
    });
    const versions = Array.from({ length: 2_500 }, (_, shard) => version(2, shard));
    await sequence(world.deps, { versions, decisions: [] });
    const answer = await poll(world, follower.cursor, 1_000);
    expect(answer).toMatchObject({ ok: true, value: { phase: 'DELTAS', more: true, poll_after_ms: 0 } });
    expect(answer.ok && answer.value.routes.length).toBe(1_000);
    await follower.catchUp(world);
    expect(follower.generations.size).toBe(2 + 2_500);
    world.close();
  });
});

describe('a cursor that leads nowhere', () => {
  const expiredIn = async (world: RouteWorld, cursor: string | null): Promise<void> => {
    expect(await poll(world, cursor)).toMatchObject({
      ok: false,
      error: {
        kind: 'CONFLICT',
        code: 'CURSOR_EXPIRED',
        message: expect.stringMatching(/Start a new snapshot/) as string,
      },
    });
  };

  test('too old, though nothing has changed', async () => {
    const world = await routeWorld();
    const follower = new Follower();
    await follower.catchUp(world);
    world.clock.advance(FEED_CURSOR_MS - 1_000);
    await follower.catchUp(world);
    world.clock.advance(FEED_CURSOR_MS - 1_000);
    await follower.catchUp(world); // each answer makes it young again
    world.clock.advance(FEED_CURSOR_MS + 1);
    await expiredIn(world, follower.cursor);
    await new Follower().catchUp(world);
    world.close();
  });

  test('when changes may be missing; a new snapshot goes on behind them', async () => {
    const world = await routeWorld();
    const follower = new Follower();
    await follower.catchUp(world);
    await cutFeed(world.deps, routeFeed(TABLE_ID));
    await expiredIn(world, follower.cursor);
    const again = new Follower();
    await again.catchUp(world);
    expect(again.shown()).toEqual(await truth(world));
    world.close();
  });

  test('when a change came so late that the stream may have dropped others', async () => {
    const world = await routeWorld();
    const follower = new Follower();
    await follower.catchUp(world);
    const random = uniform(5);
    const pending = await begin(
      world,
      world.directory,
      () => random() * 0.4,
      () => 'x',
    );
    await pending!.commit();
    const { versions } = world.newlyCommitted();
    expect(versions).toHaveLength(1);
    world.clock.advance(13 * 3_600_000);
    await sequence(world.deps, { versions, decisions: [] });
    await expiredIn(world, follower.cursor);
    world.close();
  });

  test('when the table is another one of the same name', async () => {
    const world = await routeWorld();
    const follower = new Follower();
    await follower.catchUp(world);
    const stored = (await world.records.get('table', { table: TABLE as never }))!;
    const value = { ...stored.value, tableId: 'table-2' as never };
    await world.records.commit({
      writes: [{ kind: 'put', entity: 'table', value, when: [{ kind: 'revision', is: stored.revision }] }],
      audit: [{ entity: 'table:table-2', number: 1, action: 'TEST', principal: 'test', detail: null }],
      events: [],
    });
    world.clock.advance(31_000);
    await expiredIn(world, follower.cursor);
    world.close();
  });

  test('made up', async () => {
    const world = await routeWorld();
    for (const cursor of [
      'x',
      Buffer.from('[1,2]').toString('base64url'),
      Buffer.from('["t",-1,0,0,null]').toString('base64url'),
    ])
      expect(await poll(world, cursor)).toMatchObject({ ok: false, error: { kind: 'INVALID', field: 'cursor' } });
    world.close();
  });
});
