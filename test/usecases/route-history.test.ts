import { toTimestamp, wallMsOf } from '../../shared/contracts/primitives.ts';
import { ROUTE_HISTORY_KEPT_MS } from '../../shared/domain/route-history.ts';
import { getRoute } from '../../shared/usecases/routes.ts';
import { begin, holderOf, routeWorld, TABLE, told, uniform } from '../support/route-history.ts';
import type { RouteWorld } from '../support/route-history.ts';

/** Who led a key at a time that has passed, against a record of everything that was. */

const ask = (world: RouteWorld, key: string, atMs: number) =>
  world.call('getRoute', getRoute, { params: { table: TABLE }, query: { key, at: toTimestamp(atMs) } });

async function changed(world: RouteWorld, seed: number, changes: number): Promise<void> {
  const random = uniform(seed);
  let ids = 0;
  for (let done = 0; done < changes;) {
    const pending = await begin(world, world.directory, random, () => String(ids++));
    if (pending === null) continue;
    // Now and then two changes in one millisecond.
    if (random() < 0.9) world.clock.advance(1 + Math.floor(random() * 5_000));
    if (!(await pending.commit())) continue;
    done += 1;
    const last = world.history.at(-1)!;
    const entry = { atMs: world.clock.wallMs(), shards: await world.present() };
    if (last.atMs === entry.atMs) world.history.pop();
    world.history.push(entry);
  }
}

describe('the route of a key at a time', () => {
  test.each([1, 2, 3, 4, 5, 6])('is what it was, across leaders, moves, splits and merges (seed %i)', async (seed) => {
    const world = await routeWorld();
    await changed(world, seed, 150);
    const random = uniform(seed + 1000);
    world.clock.advance(1_000);
    for (let round = 0; round < 300; round++) {
      const index = Math.floor(random() * world.history.length);
      const { atMs, shards } = world.history[index]!;
      const untilMs = world.history[index + 1]?.atMs ?? world.clock.wallMs();
      const when = atMs + Math.floor(random() * (untilMs - atMs));
      const key =
        String.fromCharCode(97 + Math.floor(random() * 26)) + String.fromCharCode(97 + Math.floor(random() * 26));
      const answer = await ask(world, key, when);
      const expected = told(holderOf(shards, key));
      expect(answer).toMatchObject({
        ok: true,
        value: {
          shard_id: expected.id,
          start_key: expected.start,
          end_key: expected.endKey,
          epoch: expected.epoch,
          leader: { node_id: expected.leader },
          at: toTimestamp(when),
        },
      });
      const nodes = answer.ok ? answer.value.replicas.map(({ node_id }) => node_id) : [];
      expect(nodes.toSorted().join()).toBe(expected.nodes);
    }
    world.close();
  });

  test('tells until when it was so; now it is null', async () => {
    const world = await routeWorld();
    await changed(world, 7, 40);
    world.clock.advance(5_000);
    const nowMs = world.clock.wallMs();
    const key = 'cc';
    const present = await ask(world, key, nowMs);
    expect(present).toMatchObject({ ok: true, value: { until: null } });
    const first = await ask(world, key, world.history[0]!.atMs);
    if (!first.ok) throw new Error(first.error.message);
    const until = wallMsOf(first.value.until!);
    const before = await ask(world, key, until - 1);
    expect(before).toMatchObject({ ok: true, value: { shard_id: first.value.shard_id, epoch: first.value.epoch } });
    const after = await ask(world, key, until);
    if (!after.ok) throw new Error(after.error.message);
    expect(after.value.generation).toBeGreaterThan(first.value.generation);
    world.close();
  });

  test('a search costs one query for each change of bounds since, and two', async () => {
    const world = await routeWorld();
    const random = uniform(3);
    // A hundred changes of the leader alone.
    for (let change = 0; change < 100;) {
      const pending = await begin(
        world,
        world.directory,
        () => (change % 2 === 0 ? 0.1 : random() * 0.4),
        () => 'none',
      );
      world.clock.advance(100);
      if (pending !== null && (await pending.commit())) change += 1;
    }
    await ask(world, 'a', world.history[0]!.atMs);
    const calls = await world.faults.during(() => ask(world, 'a', world.history[0]!.atMs + 5));
    expect(calls.filter((method) => method === 'query').length).toBeLessThanOrEqual(2);
    world.close();
  });

  test('before the table was made, in the future, and beyond what is kept', async () => {
    const world = await routeWorld();
    const createdAtMs = (await world.records.get('table', { table: TABLE as never }))!.value.createdAtMs;
    expect(await ask(world, 'a', createdAtMs - 1)).toMatchObject({
      ok: false,
      error: { kind: 'NOT_FOUND', code: 'TABLE_NOT_YET' },
    });
    // Its record was there, its shards were not.
    expect(await ask(world, 'a', createdAtMs + 1)).toMatchObject({ ok: false, error: { code: 'TABLE_NOT_YET' } });
    expect(await ask(world, 'a', world.clock.wallMs() + 1)).toMatchObject({ ok: false, error: { field: 'at' } });
    world.clock.advance(ROUTE_HISTORY_KEPT_MS + 60_000);
    expect(await ask(world, 'a', createdAtMs + 1_000)).toMatchObject({
      ok: false,
      error: { code: 'HISTORY_EXPIRED' },
    });
    expect(await ask(world, 'a', world.clock.wallMs() - 1)).toMatchObject({ ok: true });
    world.close();
  });

  test('times are read as they are written', () => {
    for (const ms of [0, 951_782_400_000, 1_795_212_345_678, 4_102_444_799_999])
      expect(wallMsOf(toTimestamp(ms))).toBe(ms);
    expect(wallMsOf('2026-11-20T20:00:00Z')).toBe(Date.UTC(2026, 10, 20, 20));
  });
});
