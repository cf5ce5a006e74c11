import assert from 'node:assert/strict';
import type { Case } from '../case.ts';

const READS = ['/cluster/nodes', '/cluster/health', '/shards', '/tables', '/operations', '/config/replication'];

/** The administrator's token with another signature. */
function tampered(token: string): string {
  const [head = '', claims = '', signature = ''] = token.split('.');
  return `${head}.${claims}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
}

export const tokens: readonly Case[] = [
  {
    name: 'without a good token nothing is told and nothing is done',
    run: async (world) => {
      const { call, adminToken, deniedStatuses } = world.deployment;
      const bad = [undefined, 'not.a.token', tampered(adminToken), await world.dataToken('read-write')];
      for (const token of bad) {
        const options = token === undefined ? {} : { token };
        const paths = token === undefined ? READS : READS.slice(0, 2);
        for (const path of paths) {
          const { status } = await call('GET', path, options);
          assert.ok(deniedStatuses.includes(status) || status === 403, `GET ${path}: ${status}`);
        }
        const created = await call('POST', '/tables', { ...options, body: { table: 'stolen' } });
        assert.ok(deniedStatuses.includes(created.status) || created.status === 403, `POST /tables: ${created.status}`);
      }
      assert.equal((await call('GET', '/tables/stolen', { token: adminToken })).status, 404);
    },
  },
  {
    name: 'the Function URLs check tokens themselves, and serve their own entries only',
    only: 'cloud',
    run: async ({ deployment: { hot, adminToken } }) => {
      const path = '/cluster/nodes/node-101/heartbeat';
      for (const options of [{}, { token: 'not.a.token' }, { token: tampered(adminToken) }]) {
        const refused = await hot('heartbeat', 'POST', path, { ...options, body: {} });
        assert.equal(refused.status, 401);
        assert.match(refused.contentType, /application\/problem\+json/);
        assert.equal(refused.body['code'], 'UNAUTHENTICATED');
      }
      assert.equal((await hot('heartbeat', 'POST', path, { token: adminToken, body: {} })).status, 403);
      assert.equal((await hot('heartbeat', 'GET', '/cluster/nodes', { token: adminToken })).status, 404);
      assert.equal((await hot('routes', 'GET', '/routes/none?key=k', { token: adminToken })).status, 404);
    },
  },
];
