import type { KeyObject } from 'node:crypto';
import { calls } from '../../shared/contracts/api/index.ts';
import type { CallName } from '../../shared/contracts/api/index.ts';
import type { Call, Caller } from '../../shared/contracts/api/call.ts';
import { concretePath, queryText, samples } from './samples.ts';
import { apiWorld, newNodeKey, nodeKeyToken, tokensOf } from './world.ts';
import type { ApiWorld, RegisteredNode } from './world.ts';

/** Every call by every kind of caller: who may is let in, everybody else is refused with what is needed. */
let world: ApiWorld;
let key: KeyObject;
let node: RegisteredNode;
let tokens: Record<string, string | null>;

beforeAll(async () => {
  world = await apiWorld();
  key = newNodeKey();
  node = await world.register({ id: 'node-101', port: 7101, zone: 'a', key });
  tokens = await tokensOf(world, node, key);
});
afterAll(() => world.close());

const all = Object.entries(calls) as [CallName, Call][];
const callers = ['nobody', 'garbage', 'data', 'admin', 'joiner', 'node', 'nodeKey'];

const send = (name: CallName, token: string | null, params = samples[name].params, body = samples[name].body) => {
  const path = concretePath(calls[name].path, params);
  const query = queryText(samples[name].query);
  return world.call(calls[name].method, query === '' ? path : `${path}?${query}`, { token, body });
};

describe.each(all)('%s', (name, call) => {
  test.each(callers)('by %s', async (caller) => {
    const before = world.commits();
    const { status, body, headers } = await send(name, tokens[caller] ?? null);
    if (call.callers.includes('public')) {
      expect(status).toBe(200);
    } else if (caller === 'nobody' || caller === 'garbage' || caller === 'data') {
      expect({ status, body }).toMatchObject({ status: 401, body: { code: 'UNAUTHENTICATED' } });
      expect(headers['www-authenticate']).toBe('Bearer');
      expect(world.commits()).toBe(before);
    } else if (call.callers.includes(caller as Caller)) {
      expect([401, 403]).not.toContain(status);
    } else {
      expect({ status, body }).toMatchObject({ status: 403, body: { code: 'FORBIDDEN', needed: call.callers } });
      expect(world.commits()).toBe(before);
    }
  });
});

describe('a node speaks for itself only (I-8)', () => {
  test.each(['heartbeat', 'releaseNode', 'report'] as const)('%s of another node', async (name) => {
    const before = world.commits();
    const answer = await send(name, tokens['node'] ?? null, { node_id: 'node-102' });
    expect(answer).toMatchObject({ status: 403, body: { code: 'FORBIDDEN' } });
    expect(world.commits()).toBe(before);
  });

  test('registering another node by its own key', async () => {
    const body = { ...samples.registerNode.body, node_id: 'node-102' };
    expect(await send('registerNode', tokens['nodeKey'] ?? null, {}, body)).toMatchObject({ status: 403 });
  });

  test('reading about other nodes is allowed', async () => {
    expect(await send('getNode', tokens['node'] ?? null, { node_id: 'node-102' })).toMatchObject({ status: 404 });
  });
});

test('a node that has left the cluster reads nothing any more, though its credential lasts a day', async () => {
  const leaving = await world.register({ id: 'node-104', port: 7104, zone: 'c' });
  const asked = () => world.call('GET', '/cluster/nodes', { token: leaving.credential });
  expect((await asked()).status).toBe(200);
  const started = await world.call('DELETE', '/cluster/nodes/node-104');
  const operation = `/operations/${String(started.body['operation_id'])}`;
  for (let looks = 0; (await world.call('GET', operation)).body['status'] !== 'SUCCEEDED'; looks++) {
    if (looks === 10_000) throw new Error('the node did not leave');
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await asked()).toMatchObject({ status: 401, body: { code: 'UNAUTHENTICATED' } });
  const shards = await world.call('GET', '/shards', { token: leaving.credential });
  expect(shards).toMatchObject({ status: 401, body: { code: 'UNAUTHENTICATED' } });
  // What it does for itself is refused by its lease, as before: the answer tells the agent to stop.
  const beat = { node_epoch: leaving.nodeEpoch, incarnation: leaving.incarnation, sequence: 1, attestation: 1 };
  const refused = await world.call('POST', '/cluster/nodes/node-104/heartbeat', {
    token: leaving.credential,
    body: beat,
  });
  expect(refused).toMatchObject({ status: 409 });
  expect((await world.call('GET', '/cluster/nodes', { token: node.credential })).status).toBe(200);
});

describe('a token signed by the key of a node', () => {
  const register = (token: string) => send('registerNode', token);
  const nowMs = (): number => world.clock.wallMs();

  test.each<[string, () => string]>([
    ['another key', () => nodeKeyToken(newNodeKey(), 'node-101', nowMs())],
    ['an unknown node', () => nodeKeyToken(key, 'node-999', nowMs())],
    ['another audience', () => nodeKeyToken(key, 'node-101', nowMs(), { aud: 'data' })],
    ['a life of an hour', () => nodeKeyToken(key, 'node-101', nowMs(), { exp: Math.floor(nowMs() / 1000) + 3600 })],
    ['expired', () => nodeKeyToken(key, 'node-101', nowMs() - 600_000)],
    ['from the future', () => nodeKeyToken(key, 'node-101', nowMs() + 600_000)],
    ['no subject', () => nodeKeyToken(key, '', nowMs())],
    ['a hostile subject', () => nodeKeyToken(key, '../x', nowMs())],
  ])('%s: 401', async (_name, token) => {
    expect(await register(token())).toMatchObject({ status: 401 });
  });

  test('a node that registered without a key has no such token', async () => {
    const other = newNodeKey();
    await world.register({ id: 'node-103', port: 7103, zone: 'b' });
    const body = { ...samples.registerNode.body, node_id: 'node-103' };
    const answer = await send('registerNode', nodeKeyToken(other, 'node-103', nowMs()), {}, body);
    expect(answer.status).toBe(401);
  });
});

test.each(['Bearer', 'Bearer ', 'Basic YTpi', 'bearer a b', '', ' '])(
  'Authorization: "%s" is 401',
  async (authorization) => {
    const answer = await world.call('GET', '/cluster/nodes', {
      token: null,
      headers: { Authorization: authorization },
    });
    expect(answer).toMatchObject({ status: 401, body: { code: 'UNAUTHENTICATED' } });
  },
);

test('header names and the scheme are taken in any case', async () => {
  const answer = await world.call('GET', '/cluster/nodes', {
    token: null,
    headers: { AUTHORIZATION: `bEaReR ${world.admin}` },
  });
  expect(answer.status).toBe(200);
});

test('an expired token says so', async () => {
  const token = await world.controlPlane.issueAdminToken('bob', 60_000);
  world.clock.advance(120_000);
  expect(await world.call('GET', '/cluster/nodes', { token })).toMatchObject({
    status: 401,
    body: { code: 'TOKEN_EXPIRED' },
  });
});

test('a store that does not answer is no reason to let anybody in', async () => {
  world.faults.use(() => ({ refuse: 'UNAVAILABLE' }));
  const answer = await send('registerNode', nodeKeyToken(key, 'node-101', world.clock.wallMs()));
  world.faults.none();
  expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '1' }, body: { code: 'STORE_UNAVAILABLE' } });
});
