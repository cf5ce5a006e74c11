import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { runCli } from '../../cli/program.ts';
import { systemEnvironment, systemNetwork } from '../../client/index.ts';

/** What shardctl sends and prints for placement rules and labels. */

const network = systemNetwork();
let server: Server;
let url = '';
let seen: { method: string; path: string; body: unknown }[] = [];
/** By path. */
let replies: Readonly<Record<string, unknown>> = {};

beforeAll(async () => {
  server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => (text += String(chunk)));
    request.on('end', () => {
      const { method = '', url: path = '' } = request;
      seen.push({ method, path, body: text === '' ? undefined : JSON.parse(text) });
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(replies[path]));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  network.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(() => {
  seen = [];
});

async function shardctl(files: Readonly<Record<string, string>>, ...args: string[]) {
  let out = '';
  let err = '';
  const code = await runCli(args, {
    env: { SHARDKEEPER_URL: url, SHARDKEEPER_TOKEN: 'secret' },
    network,
    environment: systemEnvironment,
    readFile: (path) => files[path] ?? null,
    out: (text) => (out += text),
    err: (text) => (err += text),
  });
  return { code, out, err };
}

const rules = [
  {
    tables: ['orders'],
    required: [{ key: 'disk', values: ['ssd', 'nvme'] }],
    forbidden: [],
    leader_preference: { nodes: ['node-1'], zones: ['a'] },
  },
];

describe('shardctl placement', () => {
  test('get shows the rules as a table', async () => {
    replies = { '/config/placement': { rules } };
    const { code, out } = await shardctl({}, 'placement', 'get');
    expect(code).toBe(0);
    expect(out).toContain('disk=ssd|nvme');
    expect(out).toContain('node-1, zone a');
    expect(seen).toEqual([{ method: 'GET', path: '/config/placement', body: undefined }]);
  });

  test('set sends the file', async () => {
    replies = { '/config/placement': { rules } };
    const { code } = await shardctl(
      { 'rules.json': JSON.stringify({ rules }) },
      'placement',
      'set',
      'rules.json',
      '--force',
    );
    expect(code).toBe(0);
    expect(seen).toEqual([{ method: 'PUT', path: '/config/placement', body: { rules, force: true } }]);
  });

  test.each([
    ['no file', {}],
    ['no JSON', { 'rules.json': '{' }],
    ['no object', { 'rules.json': '[]' }],
  ])('set: %s, nothing is sent', async (_what, files) => {
    const { code, err } = await shardctl(files, 'placement', 'set', 'rules.json');
    expect(code).toBe(2);
    expect(err).toContain('rules.json');
    expect(seen).toEqual([]);
  });
});

describe('shardctl nodes label', () => {
  const node = {
    node_id: 'node-1',
    host: 'h',
    port: 1,
    zone: 'a',
    status: 'HEALTHY',
    shards: 0,
    cordoned: false,
    node_epoch: 1,
    last_heartbeat: '2026-01-01T00:00:00Z',
    lease_profile: 'fast',
    version: '1',
    labels: { disk: 'hdd', old: 'x' },
    incarnation: null,
    store_uuid: 's',
    leaders: 0,
    fence_open: false,
    registered_at: '2026-01-01T00:00:00Z',
  };
  const answer = { status: 'success', message: 'done', node_id: 'node-1', labels: { disk: 'ssd' }, capacity_weight: 2 };

  test('adds, changes and takes away, and leaves the others', async () => {
    replies = { '/cluster/nodes/node-1': node, '/cluster/nodes/node-1/placement': answer };
    const { code, out } = await shardctl(
      {},
      'nodes',
      'label',
      'node-1',
      'disk=ssd',
      'rack=r1',
      'old-',
      '--weight',
      '2',
    );
    expect(code).toBe(0);
    expect(out).toContain('disk=ssd');
    expect(seen.at(-1)).toEqual({
      method: 'PUT',
      path: '/cluster/nodes/node-1/placement',
      body: { labels: { disk: 'ssd', rack: 'r1' }, capacity_weight: 2 },
    });
  });

  test('the weight alone asks for no labels', async () => {
    replies = { '/cluster/nodes/node-1/placement': answer };
    expect((await shardctl({}, 'nodes', 'label', 'node-1', '--weight', '2')).code).toBe(0);
    expect(seen.map(({ body }) => body)).toEqual([{ capacity_weight: 2 }]);
  });

  test('what is no label is refused before anything is sent', async () => {
    replies = { '/cluster/nodes/node-1': node };
    expect((await shardctl({}, 'nodes', 'label', 'node-1', 'ssd')).code).toBe(2);
    expect(seen.map(({ method }) => method)).toEqual(['GET']);
  });
});
