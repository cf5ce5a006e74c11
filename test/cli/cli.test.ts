import { shardctlAgainstServer } from '../support/shardctl.ts';
import type { Reply } from '../support/shardctl.ts';

const cli = shardctlAgainstServer();

const node = (id: number) => ({
  node_id: `node-${id}`,
  host: '127.0.0.1',
  port: 7000,
  zone: 'a',
  status: 'HEALTHY',
  shards: 3,
  cordoned: false,
  node_epoch: 4,
  last_heartbeat: '2026-01-01T00:00:00.000Z',
  lease_profile: 'fast',
  version: '0.1.0',
});
const problem = (status: number, code: string): Reply => ({
  status,
  body: { type: 'about:blank', title: code, status, code, detail: `because ${code}` },
});
const operation = (status: string) => ({
  operation_id: 'op-1',
  type: 'create-table',
  status,
  outcome: null,
  progress: { done: 1, total: 2, unit: 'shards' },
  eta_seconds: null,
  waiting_on: null,
  plan: null,
  control: 'RUN',
  run: 1,
  parent_id: null,
  cancellable: true,
  steps: [],
  created_by: 'admin',
  created_at: '2026-01-01T00:00:00.000Z',
  updated_at: '2026-01-01T00:00:00.000Z',
  execution_arn: null,
  error: status === 'FAILED' ? { code: 'NOT_ENOUGH_NODES', message: 'too few nodes' } : null,
});

describe('lists', () => {
  test('a table for people, JSON for scripts; the token goes along', async () => {
    cli.reply = () => ({ status: 200, body: { nodes: [node(101)], next_cursor: null } });
    const people = await cli.run(['nodes', 'list']);
    expect(people).toMatchObject({ code: 0, err: '' });
    expect(people.out).toContain('node-101');
    const scripts = await cli.run(['nodes', 'list', '--json']);
    expect(JSON.parse(scripts.out)).toMatchObject({ nodes: [{ node_id: 'node-101' }], more: false });
    expect(cli.received.map((request) => request.authorization)).toEqual(['Bearer secret', 'Bearer secret']);
  });

  test('pages are fetched only as far as --limit goes', async () => {
    cli.reply = ({ query }) => {
      const from = Number(query.get('cursor') ?? 0);
      const count = Math.min(Number(query.get('limit')), 2);
      return {
        status: 200,
        body: { nodes: Array.from({ length: count }, (_, i) => node(from + i)), next_cursor: String(from + count) },
      };
    };
    const result = await cli.run(['nodes', 'list', '--limit', '5', '--json']);
    expect(JSON.parse(result.out)).toMatchObject({ more: true });
    expect((JSON.parse(result.out) as { nodes: unknown[] }).nodes).toHaveLength(5);
    expect(cli.received.map(({ query }) => [query.get('cursor'), query.get('limit')])).toEqual([
      [null, '5'],
      ['2', '3'],
      ['4', '1'],
    ]);
  });
});

describe('exit codes', () => {
  test.each<{ what: string; args: string[]; reply: Reply; env?: Record<string, string>; code: number; error: string }>([
    {
      what: 'refused',
      args: ['nodes', 'get', 'x'],
      reply: problem(404, 'NODE_NOT_FOUND'),
      code: 1,
      error: 'NODE_NOT_FOUND',
    },
    {
      what: 'a bad token',
      args: ['health'],
      reply: problem(401, 'UNAUTHENTICATED'),
      code: 1,
      error: 'UNAUTHENTICATED',
    },
    {
      what: 'another kind of server',
      args: ['health'],
      reply: { status: 200, body: 'hello' },
      code: 1,
      error: 'BAD_ANSWER',
    },
    { what: 'an unknown command', args: ['frobnicate'], reply: 'HANG', code: 2, error: 'USAGE' },
    { what: 'a missing argument', args: ['nodes', 'get'], reply: 'HANG', code: 2, error: 'USAGE' },
    { what: 'a limit that is none', args: ['nodes', 'list', '--limit', '0'], reply: 'HANG', code: 2, error: 'USAGE' },
    { what: 'no token', args: ['health'], reply: 'HANG', env: { SHARDKEEPER_TOKEN: '' }, code: 2, error: 'NO_TOKEN' },
    { what: 'no address', args: ['health'], reply: 'HANG', env: { SHARDKEEPER_URL: 'x:y' }, code: 2, error: 'BAD_URL' },
    {
      what: 'a server that is away',
      args: ['health'],
      reply: 'HANG',
      env: { SHARDKEEPER_URL: 'http://127.0.0.1:1' },
      code: 3,
      error: 'UNREACHABLE',
    },
    {
      what: 'a server that does not answer',
      args: ['--timeout', '1', 'health'],
      reply: 'HANG',
      code: 3,
      error: 'UNREACHABLE',
    },
    {
      what: 'rows without a final answer',
      args: ['--timeout', '1', 'put', 't', 'k', '1'],
      reply: problem(503, 'STORE_UNAVAILABLE'),
      code: 4,
      error: 'DEADLINE',
    },
    {
      what: 'rows of an unknown table',
      args: ['get', 't', 'k'],
      reply: problem(404, 'TABLE_NOT_FOUND'),
      code: 1,
      error: 'TABLE_NOT_FOUND',
    },
  ])('$what: $code', async ({ args, reply: answer, env, code, error }) => {
    cli.reply = () => answer;
    const scripts = await cli.run([...args, '--json'], env === undefined ? {} : { env });
    expect(scripts).toMatchObject({ code, out: '' });
    expect(JSON.parse(scripts.err)).toMatchObject({ error: { code: error } });
    expect(scripts.err).not.toContain('secret');
  });

  test('help ends with 0 and lists the exit codes', async () => {
    const help = await cli.run(['--help']);
    expect(help.code).toBe(0);
    expect(help.out).toContain('Exit codes:');
  });

  test('the token comes from the file when the environment has none', async () => {
    cli.reply = () => ({ status: 200, body: { nodes: [], next_cursor: null } });
    const result = await cli.run(['nodes', 'list'], {
      env: { SHARDKEEPER_TOKEN: '' },
      files: { '.data/admin-token': 'from-file\n' },
    });
    expect(result).toMatchObject({ code: 0, out: 'none\n' });
    expect(cli.received[0]?.authorization).toBe('Bearer from-file');
  });
});

describe('operations', () => {
  const created: Reply = {
    status: 200,
    body: { status: 'initiated', message: 'm', table: 't', operation_id: 'op-1' },
  };

  test.each([
    { end: 'SUCCEEDED', code: 0 },
    { end: 'FAILED', code: 1 },
    { end: 'CANCELLED', code: 6 },
  ])('tables create --wait follows the operation to $end', async ({ end, code }) => {
    let looks = 0;
    cli.reply = ({ path }) =>
      path === '/tables' ? created : { status: 200, body: operation(++looks < 2 ? 'RUNNING' : end) };
    const args = ['tables', 'create', 't', '--pre-split-file', 'keys', '--rf', '3', '--wait', '--json'];
    const result = await cli.run(args, { files: { keys: 'g\np\n' } });
    expect(result.code).toBe(code);
    expect(JSON.parse(result.out)).toMatchObject({ status: end });
    expect(cli.received[0]).toMatchObject({ body: { table: 't', pre_split: ['g', 'p'], replication_factor: 3 } });
    expect(cli.received[0]?.idempotencyKey).toMatch(/^shardctl-/);
    expect(looks).toBe(2);
  });

  test('a wait that takes too long ends with 4', async () => {
    cli.reply = () => ({ status: 200, body: operation('RUNNING') });
    const result = await cli.run(['ops', 'get', 'op-1', '--watch', '--wait-seconds', '1', '--json']);
    expect(result.code).toBe(4);
    expect(result.err).toContain('OPERATION_UNFINISHED');
  });

  test.each([
    { what: 'pause', end: 'PAUSED', code: 0 },
    { what: 'resume', end: 'SUCCEEDED', code: 0 },
    { what: 'cancel', end: 'CANCELLED', code: 0 },
    { what: 'cancel', end: 'FAILED', code: 1 },
    { what: 'redrive', end: 'SUCCEEDED', code: 0 },
    { what: 'redrive', end: 'FAILED', code: 1 },
  ])('$what --watch that comes to $end ends with $code', async ({ what, end, code }) => {
    cli.reply = ({ method }) => ({ status: 200, body: operation(method === 'POST' ? 'RUNNING' : end) });
    const result = await cli.run(['operations', what, 'op-1', '--watch']);
    expect(result.code).toBe(code);
    expect(cli.received[0]).toMatchObject({ method: 'POST', path: `/operations/op-1/${what}` });
    expect(cli.received[0]?.idempotencyKey).toMatch(/^shardctl-/);
  });

  test('a request that is refused ends with 1 and says why', async () => {
    cli.reply = () => problem(409, 'NOT_CANCELLABLE');
    const result = await cli.run(['operations', 'cancel', 'op-1']);
    expect(result).toMatchObject({ code: 1, out: '' });
    expect(result.err).toContain('[NOT_CANCELLABLE]');
  });

  test('progress is one line that changes on a terminal, a line for each change elsewhere', async () => {
    let looks = 0;
    const waiting = { ...operation('RUNNING'), waiting_on: 'replicas on node-101', eta_seconds: 12 };
    cli.reply = () => ({ status: 200, body: looks++ % 2 === 0 ? waiting : operation('SUCCEEDED') });
    const running = 'create-table RUNNING 1/2 shards, about 12 s left (waiting: replicas on node-101)';
    const done = 'create-table SUCCEEDED 1/2 shards';
    const lines = await cli.run(['operations', 'get', 'op-1', '--watch']);
    expect(lines.err).toBe(`${running}\n${done}\n`);
    const line = await cli.run(['operations', 'get', 'op-1', '--watch'], { terminal: true });
    expect(line.err).toBe(`\r\u001b[K${running}\r\u001b[K${done}\n`);
    expect(line.out).toBe(lines.out);
  });

  test('a pause takes a time, within bounds', async () => {
    cli.reply = () => ({ status: 200, body: operation('PAUSED') });
    expect((await cli.run(['operations', 'pause', 'op-1', '--for-seconds', '3600'])).code).toBe(0);
    expect(cli.received[0]).toMatchObject({ path: '/operations/op-1/pause', body: { seconds: 3600 } });
    expect((await cli.run(['operations', 'pause', 'op-1', '--for-seconds', '5'])).code).toBe(2);
  });

  test('list asks for those about a resource', async () => {
    cli.reply = () => ({ status: 200, body: { operations: [operation('RUNNING')], next_cursor: null } });
    expect((await cli.run(['operations', 'list', '--resource', 'node-101', '--type', 'drain-node'])).code).toBe(0);
    expect([...(cli.received[0]?.query ?? [])]).toEqual(
      expect.arrayContaining([
        ['resource', 'node-101'],
        ['type', 'drain-node'],
      ]),
    );
  });

  test('show names the step that failed, and why', async () => {
    const error = { code: 'STEP_FAILED', message: 'Step plan kept failing: no quorum. Redrive it.', step: 'plan' };
    cli.reply = () => ({ status: 200, body: { ...operation('FAILED'), error } });
    const result = await cli.run(['operations', 'show', 'op-1']);
    expect(result.out).toMatch(/failed_step\s+plan\n/);
    expect(result.out).toMatch(/error\s+STEP_FAILED: Step plan kept failing: no quorum. Redrive it.\n/);
  });

  test('parts, with what became of each', async () => {
    const part = { number: 0, value: { shard: 's' }, status: 'SKIPPED', child_id: null, reason: 'SHARD_BUSY' };
    cli.reply = () => ({
      status: 200,
      body: { parts: [{ ...part, updated_at: '2026-01-01T00:00:00.000Z' }], next_cursor: null },
    });
    const result = await cli.run(['operations', 'parts', 'op-1']);
    expect(cli.received[0]).toMatchObject({ method: 'GET', path: '/operations/op-1/parts' });
    expect(result.out).toContain('SHARD_BUSY');
  });
});

describe('rows', () => {
  /** Control plane and data node in one: the server's own port is the leader's. */
  const cluster = (data: (path: string, body: unknown) => Reply): void => {
    cli.reply = ({ path, body }) => {
      if (path === '/auth/token') {
        return { status: 200, body: { status: 'success', token: 'data', expires_at: '2030-01-01T00:00:00Z' } };
      }
      if (path.startsWith('/data/')) return data(path, body);
      const leader = { node_id: 'n1', host: '127.0.0.1', port: Number(new URL(cli.url()).port), node_epoch: 1 };
      const route = {
        table: 't',
        shard_id: 's',
        key_type: 'string',
        start_key: '',
        end_key: null,
        epoch: 1,
        generation: 1,
        leader,
        replicas: [],
      };
      return { status: 200, body: { routes: [route], next_cursor: null } };
    };
  };

  test('put takes JSON, or text that is none', async () => {
    cluster(() => ({ status: 200, body: { status: 'success', timestamp: '1.0', epoch: 1 } }));
    expect((await cli.run(['put', 't', 'k', '{"a":[1]}'])).code).toBe(0);
    expect((await cli.run(['put', 't', 'k', 'plain text', '--write-id', 'w-1'])).code).toBe(0);
    const puts = cli.received.filter(({ path }) => path === '/data/put');
    expect(puts.map(({ body }) => (body as { value: unknown }).value)).toEqual([{ a: [1] }, 'plain text']);
    expect(puts[1]?.body).toMatchObject({ write_id: 'w-1' });
  });

  test('get prints the value, and ends with 5 when there is none', async () => {
    let found = true;
    cluster(() => ({
      status: 200,
      body: { found, value: found ? { a: 1 } : null, timestamp: found ? '1.0' : null, epoch: 1 },
    }));
    expect(await cli.run(['get', 't', 'k'])).toMatchObject({ code: 0, out: '{"a":1}\n' });
    found = false;
    expect(await cli.run(['get', 't', 'k', '--json'])).toMatchObject({ code: 5, out: '' });
  });

  test('scan prints one object a line', async () => {
    const row = (key: string) => ({ key, value: 1, timestamp: '1.0' });
    cluster(() => ({
      status: 200,
      body: { rows: [row('a'), row('b')], next_key: null, shard_end_key: null, epoch: 1 },
    }));
    const result = await cli.run(['scan', 't', '--json']);
    expect(
      result.out
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { key: string }).key),
    ).toEqual(['a', 'b']);
  });
});

describe('shards move', () => {
  const plan = {
    shard_id: 'shard-1',
    generation: 7,
    source_node_id: 'node-101',
    source_replica_id: 'r-1',
    target_node_id: 'node-110',
    transfers_leader: true,
    bytes: null,
  };
  const answer = (operationId: string | null): Reply => ({
    status: 200,
    body: { status: 'success', message: 'a message', shard_id: 'shard-1', operation_id: operationId, plan },
  });

  test('asks for the move and shows its operation', async () => {
    cli.reply = () => answer('op-1');
    const { code, out } = await cli.run(['shards', 'move', 'shard-1', '--to', 'node-110', '--from', 'node-101']);
    expect(code).toBe(0);
    expect(cli.received).toMatchObject([
      {
        method: 'POST',
        path: '/shards/shard-1/move',
        body: { target_node_id: 'node-110', source_node_id: 'node-101' },
      },
    ]);
    expect(out).toContain('op-1');
    expect(out).toContain('the leadership is transferred first');
  });

  test('--dry-run shows the plan, and no operation', async () => {
    cli.reply = () => answer(null);
    const { code, out } = await cli.run(['shards', 'move', 'shard-1', '--to', 'node-110', '--dry-run']);
    expect(code).toBe(0);
    expect(cli.received[0]!.body).toEqual({ target_node_id: 'node-110', dry_run: true });
    expect(out).toContain('node-101');
    expect(out).not.toContain('operation');
  });

  test('a refusal is told with its reason', async () => {
    cli.reply = () => problem(409, 'SHARD_BUSY');
    const { code, err } = await cli.run(['shards', 'move', 'shard-1', '--to', 'node-110']);
    expect(code).not.toBe(0);
    expect(err).toContain('because SHARD_BUSY');
  });
});
