import assert from 'node:assert/strict';
import type { Case } from '../case.ts';
import { send } from '../http.ts';
import { TABLE } from '../world.ts';

export const dataTokens: readonly Case[] = [
  {
    name: 'a data node serves rows to data tokens alone, and writes to those that may write',
    run: async (world) => {
      const shard = await world.shardOf('lisbon');
      const leader = await world.node(shard.leader);
      const ask = (verb: 'get' | 'put', token?: string) =>
        send('POST', `http://${leader.host}:${leader.port}/data/${verb}`, {
          ...(token === undefined ? {} : { token }),
          body: {
            ...{ table: TABLE, shard_id: shard.shard_id, epoch: shard.epoch, key: 'lisbon' },
            ...(verb === 'put' ? { value: 'changed', write_id: 'w-not-allowed' } : {}),
          },
        });
      assert.equal((await ask('get')).status, 401);
      assert.equal((await ask('get', 'not.a.token')).status, 401);
      assert.ok([401, 403].includes((await ask('get', world.deployment.adminToken)).status));
      const reader = await world.dataToken('read');
      assert.deepEqual((await ask('get', reader)).body['value'], world.rows.get('lisbon'));
      const refused = await ask('put', reader);
      assert.equal(refused.status, 403, JSON.stringify(refused.body));
      assert.deepEqual((await ask('get', reader)).body['value'], world.rows.get('lisbon'));
    },
  },
];
