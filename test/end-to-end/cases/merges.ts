import assert from 'node:assert/strict';
import { splitMergeCalls } from '../../../shared/contracts/api/split-merge.ts';
import { tableCalls } from '../../../shared/contracts/api/tables.ts';
import type { Case } from '../case.ts';
import { TABLE } from '../world.ts';
import type { OperationView } from '../world.ts';
import { Writers } from '../writers.ts';

/** In the left one of the two shards that merge. */
const KEY = 'genoa';

export const merges: readonly Case[] = [
  {
    name: 'two neighbours merge under writes: one shard holds the rows of both',
    run: async (world) => {
      await world.settled();
      const shards = await world.shards();
      const left = await world.shardOf(KEY);
      const right = shards[shards.findIndex(({ shard_id }) => shard_id === left.shard_id) + 1];
      assert.ok(right !== undefined);
      const path = `/shards/${left.shard_id}/merge`;
      const dry = await world.ok(splitMergeCalls.mergeShards.response, 'POST', path, { dry_run: true });
      assert.deepEqual([dry.operation_id, dry.shard_id, dry.with_shard_id], [null, left.shard_id, right.shard_id]);
      assert.deepEqual(await world.shards(), shards);
      await world.withClient(async (client) => {
        await client.prefetch(TABLE);
        const writers = new Writers(client, ['h-merge', 'n-merge'], world.rows);
        let operation: OperationView;
        try {
          const started = await world.ok(splitMergeCalls.mergeShards.response, 'POST', path, { plan: dry.plan });
          assert.ok(started.operation_id !== null);
          operation = await world.succeeded(started.operation_id, async () => {
            assert.deepEqual((await client.get(TABLE, KEY))?.value, world.rows.get(KEY));
          });
        } finally {
          const pauseMs = await writers.stop();
          world.note(`longest time without an acknowledged write ${Math.round(pauseMs)} ms`);
        }
        assert.deepEqual([operation.type, operation.outcome, operation.error], ['merge-shards', 'APPLIED', null]);
      });
      const merged = await world.shardOf(KEY);
      assert.deepEqual(
        [merged.data_range_start, merged.data_range_end, merged.state, merged.operation_id],
        [left.data_range_start, right.data_range_end, 'ACTIVE', null],
      );
      assert.ok(merged.generation > Math.max(left.generation, right.generation));
      assert.ok(merged.epoch > Math.max(left.epoch, right.epoch));
      const table = await world.ok(tableCalls.getTable.response, 'GET', `/tables/${TABLE}`);
      assert.equal(table.shards, shards.length - 1);
      await world.settled();
      await world.verifyRows();
    },
  },
];
