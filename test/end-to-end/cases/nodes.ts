import assert from 'node:assert/strict';
import type { Case } from '../case.ts';
import { eventually } from '../waiting.ts';
import { WireNode } from '../wire-node.ts';

/** It registers, beats once, and goes silent. Alone in its zone's list of losses, so that it never trips the brake (L5). */
const SILENT = 'node-901';
/** The detector's rule fires once a minute, and then the lease has to expire. */
const FENCED_MS_MAX = 180_000;
const EVENT_MS_MAX = 60_000;

export const nodes: readonly Case[] = [
  {
    name: 'data nodes that were started joined by themselves, each in its zone (calls 1 and 2)',
    run: async (world) => {
      const listed = await world.nodes();
      assert.deepEqual(
        listed.map(({ node_id, zone, status }) => ({ node_id, zone, status })),
        world.deployment.nodes.map(({ nodeId, zone }) => ({ node_id: nodeId, zone, status: 'HEALTHY' })),
      );
    },
  },
  {
    name: 'a node registers by a join token that is good once, and speaks for itself alone (call 1)',
    run: async (world) => {
      const { call, adminToken } = world.deployment;
      const issued = await call('POST', '/cluster/join-tokens', { token: adminToken, body: {} });
      const joinToken = String(issued.body['join_token']);
      const node = await WireNode.register(world, SILENT, 'b', joinToken);
      await node.beat();
      assert.equal((await world.node(SILENT)).status, 'HEALTHY');

      const again = await call('POST', '/cluster/nodes/register', {
        token: joinToken,
        body: { node_id: 'node-902', host: '127.0.0.1', port: 7002, zone: 'b' },
      });
      assert.ok(again.status >= 401 && again.status < 500, JSON.stringify(again.body));
      assert.equal((await call('GET', '/cluster/nodes/node-902', { token: adminToken })).status, 404);

      const token = node.credential;
      assert.equal((await call('POST', '/tables', { token, body: { table: 'stolen' } })).status, 403);
      assert.equal((await call('POST', '/cluster/join-tokens', { token, body: {} })).status, 403);
      const foreign = await call('POST', '/cluster/nodes/node-101/heartbeat', {
        token,
        body: { node_epoch: 1, incarnation: 'inc-1', sequence: 1_000_000, attestation: 1 },
      });
      assert.equal(foreign.status, 403, JSON.stringify(foreign.body));
    },
  },
  {
    name: 'the registration arrives in the queue: stream, publisher, bus, rule',
    only: 'cloud',
    run: async ({ deployment }) => {
      const event = await deployment.event('NODE_REGISTERED', { node_id: SILENT }, EVENT_MS_MAX);
      assert.equal(event.source, 'shardkeeper');
      assert.equal(event.detail.event_type, 'NODE_REGISTERED');
      assert.ok(event.detail.event_id.length > 0);
    },
  },
  {
    name: 'the scheduled loop fences a node that went silent, and no other',
    run: async (world) => {
      await eventually(`${SILENT} is fenced`, FENCED_MS_MAX, async () =>
        (await world.node(SILENT)).status === 'UNHEALTHY' ? true : undefined,
      );
      for (const { nodeId } of world.deployment.nodes) assert.equal((await world.node(nodeId)).status, 'HEALTHY');
    },
  },
  {
    name: 'the fence is told on the bus',
    only: 'cloud',
    run: async ({ deployment }) => {
      await deployment.event('NODE_FENCED', { node_id: SILENT }, EVENT_MS_MAX);
    },
  },
];
