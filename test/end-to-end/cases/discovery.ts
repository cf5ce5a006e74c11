import assert from 'node:assert/strict';
import { systemCalls } from '../../../shared/contracts/api/system.ts';
import type { Case } from '../case.ts';
import { send } from '../http.ts';
import { eventually } from '../waiting.ts';

/** Nodes ask in the background, with their first beats. */
const LEARNED_MS_MAX = 60_000;

export const discovery: readonly Case[] = [
  {
    name: 'whoever knows one address finds those of the hot calls, and is answered there',
    run: async (world) => {
      const { url, adminToken: token } = world.deployment;
      const told = await world.ok(systemCalls.clusterEndpoints.response, 'GET', '/cluster/endpoints');
      // Null: there is no other address than the one that was asked.
      const base = (address: string | null): string => (address ?? url).replace(/\/$/, '');
      const beat = await send('POST', `${base(told.heartbeats)}/cluster/nodes/node-101/heartbeat`, { token, body: {} });
      assert.equal(beat.status, 403, JSON.stringify(beat.body));
      const route = await send('GET', `${base(told.routes)}/routes/nothing?key=k`, { token });
      assert.equal(route.status, 404, JSON.stringify(route.body));
      assert.equal(route.body['code'], 'TABLE_NOT_FOUND');
    },
  },
  {
    name: 'data nodes that were given the API’s address beat by the Function URL',
    only: 'cloud',
    run: async ({ deployment }) => {
      for (const { nodeId } of deployment.nodes) {
        await eventually(`${nodeId} learns the address for heartbeats`, LEARNED_MS_MAX, async () =>
          deployment.logOf(nodeId).includes('"heartbeats_by"') ? true : undefined,
        );
        assert.doesNotMatch(deployment.logOf(nodeId), /heartbeat_address_lost/);
      }
    },
  },
];
