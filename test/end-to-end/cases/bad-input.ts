import assert from 'node:assert/strict';
import type { Case } from '../case.ts';

/** Method, path, body, and the field that the answer must name. */
const BAD: readonly (readonly [method: string, path: string, body: unknown, field: string])[] = [
  ['POST', '/cluster/nodes/register', { node_id: 'register', host: '127.0.0.1', port: 7001, zone: 'a' }, 'node_id'],
  ['POST', '/cluster/nodes/register', { node_id: 'bad-1', host: '127.0.0.1', port: 70_000, zone: 'a' }, 'port'],
  ['POST', '/cluster/nodes/register', { node_id: 'bad-1', host: '127.0.0.1', port: 7001 }, 'zone'],
  ['POST', '/cluster/join-tokens', { lifetime_seconds: 'x' }, 'lifetime_seconds'],
  ['POST', '/tables', { table: 'bad', replication_factor: 0 }, 'replication_factor'],
  ['POST', '/tables', { table: 'bad', key_type: 'float' }, 'key_type'],
  ['POST', '/tables', { table: 'bad', pre_split: 'm' }, 'pre_split'],
  ['POST', '/tables', { table: 'bad', pre_split: ['m', 'm'] }, 'pre_split'],
  ['POST', '/tables', { table: 'bad', colour: 'red' }, 'colour'],
  ['GET', '/shards?limit=0', undefined, 'limit'],
  ['GET', '/shards?cursor=nonsense', undefined, 'cursor'],
  ['POST', '/auth/token', { scope: 'data', tables: [], access: 'read' }, 'tables'],
];

const UNKNOWN = [
  ['GET', '/cluster/nodes/nobody'],
  ['GET', '/tables/nothing'],
  ['GET', '/shards/nothing'],
  ['GET', '/operations/nothing'],
  ['GET', '/routes/nothing?key=k'],
  ['GET', '/shards?node=nobody'],
  ['DELETE', '/tables/nothing'],
] as const;

export const badInput: readonly Case[] = [
  {
    name: 'bad input is 400, names its field, and nothing is stored',
    run: async ({ deployment: { call, adminToken } }) => {
      for (const [method, path, body, field] of BAD) {
        const answer = await call(method, path, { token: adminToken, ...(body === undefined ? {} : { body }) });
        const what = `${method} ${path} ${JSON.stringify(body)}: ${JSON.stringify(answer.body)}`;
        assert.equal(answer.status, 400, what);
        assert.match(answer.contentType, /application\/problem\+json/, what);
        assert.ok(String(answer.body['field']).startsWith(field), what);
      }
      assert.equal((await call('GET', '/cluster/nodes/bad-1', { token: adminToken })).status, 404);
      assert.equal((await call('GET', '/tables/bad', { token: adminToken })).status, 404);
    },
  },
  {
    name: 'what is not there is 404 with a code',
    run: async ({ deployment: { call, adminToken } }) => {
      for (const [method, path] of UNKNOWN) {
        const answer = await call(method, path, { token: adminToken });
        assert.equal(answer.status, 404, `${method} ${path}: ${JSON.stringify(answer.body)}`);
        assert.match(String(answer.body['code']), /^[A-Z_]+_NOT_FOUND$/, `${method} ${path}`);
      }
    },
  },
];
