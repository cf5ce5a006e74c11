import assert from 'node:assert/strict';
import type { Case } from '../case.ts';
import { elsewhere } from '../world.ts';

const KEY = 'lisbon';

export const structureRefusals: readonly Case[] = [
  {
    name: 'structural changes that make no sense are refused with their reason, and nothing is changed',
    run: async (world) => {
      const shard = await world.shardOf(KEY);
      const [holder] = shard.replicas;
      const stranger = elsewhere(world, shard);
      const stale = shard.generation - 1;
      const refusals: readonly (readonly [verb: string, body: unknown, status: number, code: string])[] = [
        ['split', { split_key: 'a' }, 400, 'INVALID_KEY'],
        ['split', { split_key: shard.data_range_start }, 400, 'INVALID_KEY'],
        ['split', { split_key: shard.data_range_end }, 400, 'INVALID_KEY'],
        ['split', { split_key: 'z' }, 400, 'INVALID_KEY'],
        ['split', { split_key: 'l', generation: stale }, 409, 'GENERATION_STALE'],
        ['split', { key: 'l' }, 400, 'INVALID_REQUEST'],
        ['move', { target_node_id: holder }, 409, 'ALREADY_ON_NODE'],
        ['move', { target_node_id: 'nobody' }, 404, 'NODE_NOT_FOUND'],
        ['move', { target_node_id: stranger, source_node_id: 'nobody' }, 409, 'REPLICA_UNKNOWN'],
        ['move', { target_node_id: stranger, generation: stale }, 409, 'GENERATION_STALE'],
        ['move', {}, 400, 'INVALID_REQUEST'],
      ];
      const operations = (await world.operations('limit=1000')).length;
      for (const [verb, body, status, code] of refusals) {
        const refused = await world.refused('POST', `/shards/${shard.shard_id}/${verb}`, body);
        const what = `${verb} ${JSON.stringify(body)}: ${JSON.stringify(refused.body)}`;
        assert.deepEqual([refused.status, refused.body['code']], [status, code], what);
        assert.match(refused.contentType, /application\/problem\+json/, what);
      }
      for (const verb of ['split', 'move']) {
        const unknown = await world.refused('POST', `/shards/nothing/${verb}`, { target_node_id: stranger });
        assert.ok([400, 404].includes(unknown.status), verb);
      }
      assert.deepEqual(await world.shardOf(KEY), shard);
      assert.equal((await world.operations('limit=1000')).length, operations);
    },
  },
];
