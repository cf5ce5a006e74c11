import assert from 'node:assert/strict';
import type { Case } from '../case.ts';
import { TABLE } from '../world.ts';

const EVENT_MS_MAX = 60_000;

export const leaderTransfer: readonly Case[] = [
  {
    name: 'leadership moves to another replica on its old leader’s receipt; rows go on (call 9)',
    run: async (world) => {
      const { call, adminToken } = world.deployment;
      const before = await world.shardOf('lisbon');
      const target = before.replicas.find((nodeId) => nodeId !== before.leader);
      const path = `/shards/${before.shard_id}/leader`;
      const moved = await call('POST', path, { token: adminToken, body: { new_leader_node_id: target } });
      assert.equal(moved.status, 200, JSON.stringify(moved.body));
      assert.equal(moved.body['message'], `Node ${target} is now leader for shard ${before.shard_id}`);
      const after = await world.shardOf('lisbon');
      assert.equal(after.leader, target);
      assert.ok(after.epoch > before.epoch);
      await world.withClient(async (client) => {
        assert.deepEqual((await client.get(TABLE, 'lisbon'))?.value, world.rows.get('lisbon'));
        await client.put(TABLE, 'lisbon', { city: 'lisbon', moved: true });
        world.rows.set('lisbon', { city: 'lisbon', moved: true });
      });
    },
  },
  {
    name: 'the new leader is told on the bus',
    only: 'cloud',
    run: async (world) => {
      const { shard_id, leader, epoch } = await world.shardOf('lisbon');
      await world.deployment.event('LEADER_CHANGED', { shard_id, to: leader, epoch }, EVENT_MS_MAX);
    },
  },
  {
    name: 'a node without a replica does not become leader (call 9)',
    run: async (world) => {
      const { call, adminToken, nodes } = world.deployment;
      const shard = await world.shardOf('lisbon');
      const stranger = nodes.find(({ nodeId }) => !shard.replicas.includes(nodeId))?.nodeId;
      assert.ok(stranger !== undefined);
      const ask = (nodeId: string) =>
        call('POST', `/shards/${shard.shard_id}/leader`, { token: adminToken, body: { new_leader_node_id: nodeId } });
      const refused = await ask(stranger);
      assert.equal(refused.status, 409);
      assert.equal(refused.body['code'], 'REPLICA_UNKNOWN');
      assert.ok([404, 409].includes((await ask('nobody')).status));
      assert.equal((await world.shardOf('lisbon')).epoch, shard.epoch);
    },
  },
];
