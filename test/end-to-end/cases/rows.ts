import assert from 'node:assert/strict';
import type { Case } from '../case.ts';
import { shardctl } from '../shardctl.ts';
import { TABLE } from '../world.ts';

/** Rows in every shard: `''` to `g`, `g` to `p`, and from `p` on. */
const CITIES = ['amsterdam', 'berlin', 'genoa', 'lisbon', 'madrid', 'paris', 'tokyo', 'zürich', 'београд', '東京'];

export const rows: readonly Case[] = [
  {
    name: 'rows are written, read, deleted and scanned by the client library',
    run: async (world) => {
      await world.withClient(async (client) => {
        for (const city of CITIES) {
          await client.put(TABLE, city, { city });
          world.rows.set(city, { city });
        }
        const batch = await client.batch(
          TABLE,
          ['batch-a', 'h-batch', 'q-batch'].map((key) => ({ op: 'put', key, value: [key, 1, null] }) as const),
        );
        assert.deepEqual(batch.failures, []);
        for (const row of batch.acknowledged) if (row.op === 'put') world.rows.set(row.key, row.value);
        assert.equal(batch.acknowledged.length, 3);

        await client.put(TABLE, 'gone', 1);
        await client.delete(TABLE, 'gone');
        assert.equal(await client.get(TABLE, 'gone'), null);
        assert.deepEqual((await client.get(TABLE, 'lisbon'))?.value, { city: 'lisbon' });

        const keys: string[] = [];
        for await (const { key } of client.scan(TABLE, { startKey: 'b', endKey: 'q' })) keys.push(key);
        assert.deepEqual(
          keys,
          [...world.rows.keys()].filter((key) => key >= 'b' && key < 'q').sort(),
          'a scan over three shards, in key order',
        );
      });
      assert.equal(await world.verifyRows(), world.rows.size);
    },
  },
  {
    name: 'a write that is repeated under its write id is applied once',
    run: async (world) => {
      await world.withClient(async (client) => {
        const writeId = 'w-end-to-end-repeated';
        const first = await client.put(TABLE, 'repeated', 'first', { writeId });
        await client.put(TABLE, 'repeated', 'second');
        const again = await client.put(TABLE, 'repeated', 'first', { writeId });
        assert.equal(again.timestamp, first.timestamp);
        assert.equal((await client.get(TABLE, 'repeated'))?.value, 'second');
        world.rows.set('repeated', 'second');
      });
    },
  },
  {
    name: 'shardctl writes, reads and lists; its exit status tells what happened',
    run: async (world) => {
      const put = await shardctl(world, 'put', TABLE, 'vienna', '{"country":"AT"}');
      assert.equal(put.exitCode, 0, put.stderr);
      world.rows.set('vienna', { country: 'AT' });
      const got = await shardctl(world, '--json', 'get', TABLE, 'vienna');
      assert.deepEqual((JSON.parse(got.stdout) as { value: unknown }).value, { country: 'AT' });
      assert.equal((await shardctl(world, 'get', TABLE, 'nowhere')).exitCode, 5);
      assert.equal((await shardctl(world, 'tables', 'get', 'nothing')).exitCode, 1);
      const listed = await shardctl(world, '--json', 'nodes', 'list');
      assert.equal(listed.exitCode, 0, listed.stderr);
      const { nodes } = JSON.parse(listed.stdout) as { nodes: { node_id: string }[] };
      for (const { nodeId } of world.deployment.nodes) assert.ok(nodes.some(({ node_id }) => node_id === nodeId));
    },
  },
];
