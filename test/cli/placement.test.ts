import { shardctlAgainstServer } from '../support/shardctl.ts';

/** What shardctl sends and prints for placement rules and labels. */

const cli = shardctlAgainstServer();

const replyByPath = (replies: Readonly<Record<string, unknown>>): void => {
  cli.reply = ({ path }) => ({ status: 200, body: replies[path] });
};
const shardctl = (files: Readonly<Record<string, string>>, ...args: string[]) => cli.run(args, { files });

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
    replyByPath({ '/config/placement': { rules } });
    const { code, out } = await shardctl({}, 'placement', 'get');
    expect(code).toBe(0);
    expect(out).toContain('disk=ssd|nvme');
    expect(out).toContain('node-1, zone a');
    expect(cli.requests()).toEqual([{ method: 'GET', target: '/config/placement', body: undefined }]);
  });

  test('set sends the file', async () => {
    replyByPath({ '/config/placement': { rules } });
    const { code } = await shardctl(
      { 'rules.json': JSON.stringify({ rules }) },
      'placement',
      'set',
      'rules.json',
      '--force',
    );
    expect(code).toBe(0);
    expect(cli.requests()).toEqual([{ method: 'PUT', target: '/config/placement', body: { rules, force: true } }]);
  });

  test.each([
    ['no file', {}],
    ['no JSON', { 'rules.json': '{' }],
    ['no object', { 'rules.json': '[]' }],
  ])('set: %s, nothing is sent', async (_what, files) => {
    const { code, err } = await shardctl(files, 'placement', 'set', 'rules.json');
    expect(code).toBe(2);
    expect(err).toContain('rules.json');
    expect(cli.requests()).toEqual([]);
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
    replyByPath({ '/cluster/nodes/node-1': node, '/cluster/nodes/node-1/placement': answer });
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
    expect(cli.requests().at(-1)).toEqual({
      method: 'PUT',
      target: '/cluster/nodes/node-1/placement',
      body: { labels: { disk: 'ssd', rack: 'r1' }, capacity_weight: 2 },
    });
  });

  test('the weight alone asks for no labels', async () => {
    replyByPath({ '/cluster/nodes/node-1/placement': answer });
    expect((await shardctl({}, 'nodes', 'label', 'node-1', '--weight', '2')).code).toBe(0);
    expect(cli.requests().map(({ body }) => body)).toEqual([{ capacity_weight: 2 }]);
  });

  test('what is no label is refused before anything is sent', async () => {
    replyByPath({ '/cluster/nodes/node-1': node });
    expect((await shardctl({}, 'nodes', 'label', 'node-1', 'ssd')).code).toBe(2);
    expect(cli.requests().map(({ method }) => method)).toEqual(['GET']);
  });
});
