import assert from 'node:assert/strict';
import { shardCalls } from '../../../shared/contracts/api/shards.ts';
import type { Case } from '../case.ts';
import { whileFrozen } from '../frozen.ts';
import { shardctl } from '../shardctl.ts';
import { eventually } from '../waiting.ts';
import { elsewhere, TABLE } from '../world.ts';
import type { OperationView, ShardView, World } from '../world.ts';

const WAITING_MS_MAX = 60_000;
const PAUSED_MS_MAX = 120_000;
const KEY = 'amsterdam';

/** Starts a move whose target does not answer, and asks something of the operation while it waits for that node. */
export async function whileMoveWaits<T>(
  world: World,
  shard: ShardView,
  target: string,
  ask: (operation: OperationView) => Promise<T>,
): Promise<T> {
  return whileFrozen(world.deployment, target, async () => {
    const path = `/shards/${shard.shard_id}/move`;
    const started = await world.ok(shardCalls.moveShard.response, 'POST', path, { target_node_id: target });
    const waiting = await eventually('the move waits for its target', WAITING_MS_MAX, async () => {
      const operation = await world.operation(started.operation_id ?? '');
      return operation.waiting_on?.includes(target) === true ? operation : undefined;
    });
    assert.equal(waiting.status, 'RUNNING');
    return ask(waiting);
  });
}

export const operationControl: readonly Case[] = [
  {
    name: 'an operation pauses while it waits, still owns its shard against others, and goes on when it is resumed',
    run: async (world) => {
      const before = await world.shardOf(KEY);
      const target = elsewhere(world, before);
      const asked = await whileMoveWaits(world, before, target, ({ operation_id: id }) => world.control(id, 'pause'));
      assert.equal(asked.control, 'PAUSE');
      const { operation_id: id } = asked;
      const paused = await eventually('the operation is paused', PAUSED_MS_MAX, async () => {
        const operation = await world.operation(id);
        return operation.status === 'PAUSED' ? operation : undefined;
      });

      const owned = await world.shardOf(KEY);
      assert.deepEqual([owned.state, owned.operation_id], ['CHANGING_REPLICAS', id]);
      for (const [verb, body] of [
        ['split', { split_key: 'c' }],
        ['move', { target_node_id: target }],
      ] as const) {
        const refused = await world.refused('POST', `/shards/${before.shard_id}/${verb}`, body);
        assert.deepEqual([refused.status, refused.body['code']], [409, 'SHARD_BUSY'], verb);
      }
      await world.withClient(async (client) => {
        await client.put(TABLE, KEY, { city: KEY, while: 'paused' });
        world.rows.set(KEY, { city: KEY, while: 'paused' });
      });
      assert.equal((await world.operation(id)).updated_at, paused.updated_at);

      await world.control(id, 'resume');
      const operation = await world.succeeded(id);
      assert.ok(operation.run > paused.run);
      assert.ok((await world.shardOf(KEY)).replicas.includes(target));
      const late = await world.refused('POST', `/operations/${id}/pause`);
      assert.deepEqual([late.status, late.body['code']], [409, 'OPERATION_ENDED']);
      await world.settled();
      await world.verifyRows();
    },
  },
  {
    name: 'an operation that is cancelled undoes what it did; shardctl ends with 6',
    run: async (world) => {
      const before = await world.shardOf(KEY);
      const target = elsewhere(world, before);
      const asked = await whileMoveWaits(world, before, target, ({ operation_id: id }) => world.control(id, 'cancel'));
      const { operation_id: id } = asked;
      assert.equal(asked.control, 'CANCEL');
      const watched = await shardctl(world, 'operations', 'get', id, '--watch');
      assert.equal(watched.exitCode, 6, watched.stderr);
      const operation = await world.ended(id);
      assert.deepEqual([operation.status, operation.outcome], ['CANCELLED', 'ROLLED_BACK']);
      const after = await world.shardOf(KEY);
      assert.deepEqual([...after.replicas].sort(), [...before.replicas].sort());
      assert.deepEqual([after.state, after.operation_id], ['ACTIVE', null]);
      await world.settled();
      await world.verifyRows();
    },
  },
];
