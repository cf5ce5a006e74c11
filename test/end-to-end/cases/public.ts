import assert from 'node:assert/strict';
import type { Case } from '../case.ts';

export const publicCalls: readonly Case[] = [
  {
    name: 'public calls need no token; unknown paths are 404',
    run: async ({ deployment: { call } }) => {
      assert.deepEqual((await call('GET', '/healthz')).body['status'], 'ok');
      const api = await call('GET', '/openapi.json');
      assert.match(String(api.body['openapi']), /^3\.1/);
      assert.ok('/shards/{shard_id}/leader' in (api.body['paths'] as object));
      const unknown = await call('GET', '/nothing');
      assert.equal(unknown.status, 404);
      assert.equal(unknown.body['code'], 'NOT_FOUND');
    },
  },
];
