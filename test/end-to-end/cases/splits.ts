import assert from 'node:assert/strict';
import { routeCalls } from '../../../shared/contracts/api/routes.ts';
import { splitMergeCalls } from '../../../shared/contracts/api/split-merge.ts';
import { tableCalls } from '../../../shared/contracts/api/tables.ts';
import type { Case } from '../case.ts';
import { TABLE } from '../world.ts';
import type { OperationView, ShardView, World } from '../world.ts';
import { Writers } from '../writers.ts';

const EVENT_MS_MAX = 60_000;
/** It divides the shard that holds `KEY`, and `KEY` falls into the new part. */
const SPLIT_KEY = 'l';
const KEY = 'lisbon';
/** Above every row. */
const LAST_KEY = '\u{10ffff}';

/** What the cases of one run pass on. */
let whole: { readonly shard: ShardView; readonly at: string } | null = null;
let parts: { readonly parent: string; readonly child: string } | null = null;

const wereSplit = (): { readonly parent: string; readonly child: string } => {
  assert.ok(parts !== null, 'a shard was split before');
  return parts;
};

async function startSplit(world: World, shard: ShardView, splitKey?: string): Promise<string> {
  const body = splitKey === undefined ? {} : { split_key: splitKey };
  const path = `/shards/${shard.shard_id}/split`;
  const started = await world.ok(splitMergeCalls.splitShard.response, 'POST', path, body);
  assert.equal(started.plan.split_key, splitKey ?? null);
  assert.ok(started.operation_id !== null);
  return started.operation_id;
}

/** The new shard of a split that succeeded. */
function childOf(operation: OperationView): string {
  const { child } = operation.plan as { readonly child?: unknown };
  assert.ok(typeof child === 'string', JSON.stringify(operation.plan));
  return child;
}

/** The shard with this id; it is there. */
async function present(world: World, shardId: string): Promise<ShardView> {
  const shard = (await world.shards()).find(({ shard_id }) => shard_id === shardId);
  assert.ok(shard !== undefined, shardId);
  return shard;
}

/** Shards in key order, without gap and overlap, as many as the table counts (I-1). */
async function assertTiles(world: World, count: number): Promise<void> {
  const shards = await world.shards();
  assert.equal(shards.length, count);
  assert.deepEqual(
    shards.map(({ data_range_start: start }) => start),
    ['', ...shards.slice(0, -1).map(({ data_range_end: end }) => end)],
  );
  assert.equal(shards.at(-1)?.data_range_end, null);
  const table = await world.ok(tableCalls.getTable.response, 'GET', `/tables/${TABLE}`);
  assert.equal(table.shards, count);
}

export const splits: readonly Case[] = [
  {
    name: 'a shard splits at a key under writes, and clients that knew the old one go on',
    run: async (world) => {
      const before = await world.shardOf(KEY);
      const count = (await world.shards()).length;
      await world.withClient(async (client) => {
        await client.prefetch(TABLE);
        const writers = new Writers(client, ['h-split', 'n-split'], world.rows);
        let operation: OperationView;
        try {
          operation = await world.succeeded(await startSplit(world, before, SPLIT_KEY), async () => {
            assert.deepEqual((await client.get(TABLE, KEY))?.value, world.rows.get(KEY));
          });
        } finally {
          const pauseMs = await writers.stop();
          world.note(`longest time without an acknowledged write ${Math.round(pauseMs)} ms`);
        }
        assert.deepEqual(
          [operation.type, operation.outcome, operation.progress, operation.error],
          ['split-shard', 'APPLIED', { done: 1, total: 1, unit: 'splits' }, null],
        );
        whole = { shard: before, at: operation.created_at };
        parts = { parent: before.shard_id, child: childOf(operation) };
        await client.put(TABLE, KEY, { city: KEY, after: 'the split' });
        world.rows.set(KEY, { city: KEY, after: 'the split' });
      });
      await world.verifyRows();
      await assertTiles(world, count + 1);
      const parent = await present(world, wereSplit().parent);
      const child = await present(world, wereSplit().child);
      assert.deepEqual([parent.data_range_start, parent.data_range_end], [before.data_range_start, SPLIT_KEY]);
      assert.deepEqual([child.data_range_start, child.data_range_end], [SPLIT_KEY, before.data_range_end]);
      for (const part of [parent, child]) {
        assert.ok(part.generation > before.generation);
        assert.deepEqual([...part.replicas].sort(), [...before.replicas].sort());
        assert.deepEqual([part.state, part.operation_id], ['ACTIVE', null]);
      }
      assert.ok(child.epoch > before.epoch);
      const { call, adminToken } = world.deployment;
      const route = await call('GET', `/routes/${TABLE}?key=${KEY}`, { token: adminToken });
      assert.equal(route.body['shard_id'], child.shard_id);
      await world.settled();
    },
  },
  {
    name: 'time travel: at the time before the split the key was in the old shard, and who led it is told',
    run: async (world) => {
      assert.ok(whole !== null, 'a shard was split before');
      const at = async (time: string) => {
        const path = `/routes/${TABLE}?key=${KEY}&at=${encodeURIComponent(time)}`;
        return world.ok(routeCalls.getRoute.response, 'GET', path);
      };
      const old = await at(whole.at);
      assert.deepEqual(
        [old.shard_id, old.leader.node_id, old.epoch, old.end_key],
        [whole.shard.shard_id, whole.shard.leader, whole.shard.epoch, whole.shard.data_range_end],
      );
      const tooEarly = await world.refused('GET', `/routes/${TABLE}?key=${KEY}&at=2020-01-01T00:00:00Z`);
      assert.ok([400, 404, 409].includes(tooEarly.status), JSON.stringify(tooEarly.body));
    },
  },
  {
    name: 'the split is told on the bus',
    only: 'cloud',
    run: async (world) => {
      await world.deployment.event('SHARD_SPLIT', wereSplit(), EVENT_MS_MAX);
    },
  },
  {
    name: 'without a key a shard splits in the middle of its rows',
    run: async (world) => {
      const before = await present(world, wereSplit().parent);
      const count = (await world.shards()).length;
      const operation = await world.succeeded(await startSplit(world, before));
      await assertTiles(world, count + 1);
      const child = await present(world, childOf(operation));
      const keys = [...world.rows.keys()].filter((key) => key >= before.data_range_start && key < SPLIT_KEY);
      const right = keys.filter((key) => key >= child.data_range_start).length;
      assert.ok(right > keys.length / 4 && right < (keys.length * 3) / 4, `${right} of ${keys.length} rows`);
      world.note(`${keys.length - right} and ${right} rows`);
      await world.settled();
      await world.verifyRows();
    },
  },
  {
    name: 'a shard without rows has no middle: its split ends rolled back; redriven after rows came, it is applied',
    run: async (world) => {
      const count = (await world.shards()).length;
      const last = await world.shardOf(LAST_KEY);
      const empty = await present(world, childOf(await world.succeeded(await startSplit(world, last, LAST_KEY))));
      const operationId = await startSplit(world, empty);
      const failed = await world.ended(operationId);
      assert.deepEqual([failed.status, failed.outcome, failed.error?.code], ['FAILED', 'ROLLED_BACK', 'NO_SPLIT_KEY']);
      const left = await present(world, empty.shard_id);
      assert.deepEqual([left.state, left.operation_id], ['ACTIVE', null]);
      await world.withClient(async (client) => {
        for (const key of ['a', 'b', 'c', 'd'].map((end) => LAST_KEY + end)) {
          await client.put(TABLE, key, key);
          world.rows.set(key, key);
        }
      });
      const redriven = await world.control(operationId, 'redrive');
      assert.ok(['PENDING', 'RUNNING'].includes(redriven.status), redriven.status);
      const operation = await world.succeeded(operationId);
      assert.deepEqual([operation.outcome, operation.error], ['APPLIED', null]);
      assert.ok(operation.run > failed.run);
      await assertTiles(world, count + 2);
      await world.settled();
      await world.verifyRows();
    },
  },
];
