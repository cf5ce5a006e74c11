import { LATENCY_MS, refused, route, scripted, written } from './support.ts';
import type { NodeAnswer } from './support.ts';

describe('a write is repeated until it is acknowledged', () => {
  test.each<{ what: string; first: NodeAnswer; pathTo: string[] }>([
    {
      what: 'STALE_EPOCH with the present route',
      first: refused('STALE_EPOCH', { route: route({ node: 'n2', epoch: 2, generation: 2 }) }),
      pathTo: ['n1', 'n2'],
    },
    {
      what: 'NOT_LEADER with a hint',
      first: refused('NOT_LEADER', { route: route({ node: 'n2', epoch: 2, generation: 2 }) }),
      pathTo: ['n1', 'n2'],
    },
    { what: 'NOT_LEADER without a hint', first: refused('NOT_LEADER'), pathTo: ['n1', 'n1'] },
    { what: 'NO_LEASE', first: refused('NO_LEASE'), pathTo: ['n1', 'n1'] },
    { what: 'THROTTLED', first: refused('THROTTLED'), pathTo: ['n1', 'n1'] },
    { what: 'NOT_ENOUGH_REPLICAS', first: refused('NOT_ENOUGH_REPLICAS'), pathTo: ['n1', 'n1'] },
    { what: 'UNKNOWN_OUTCOME', first: refused('UNKNOWN_OUTCOME'), pathTo: ['n1', 'n1'] },
    { what: 'KEY_OUT_OF_RANGE', first: refused('KEY_OUT_OF_RANGE'), pathTo: ['n1', 'n1'] },
    { what: 'SHARD_UNKNOWN', first: refused('SHARD_UNKNOWN'), pathTo: ['n1', 'n1'] },
    { what: 'UNAUTHENTICATED', first: refused('UNAUTHENTICATED'), pathTo: ['n1', 'n1'] },
    { what: 'a refused connection', first: 'CONNECTION_REFUSED', pathTo: ['n1', 'n1'] },
    { what: 'a reset connection', first: 'CONNECTION_RESET', pathTo: ['n1', 'n1'] },
    {
      what: 'an answer in no known form',
      first: { kind: 'ANSWER', status: 500, body: '<html>' },
      pathTo: ['n1', 'n1'],
    },
  ])('after $what, with the same write id', async ({ first, pathTo }) => {
    const world = scripted({ routes: [route()], node: (_, count) => (count === 1 ? first : written) });
    expect(await world.settle(world.client.put('t', 'k', 1))).toMatchObject({ value: { timestamp: '1.0' } });
    expect(world.sent.map(({ node }) => node)).toEqual(pathTo);
    expect(new Set(world.sent.map(({ body }) => body['write_id'])).size).toBe(1);
  });

  test('a refusal that carries a newer route costs no pause, and its epoch is carried on (R6)', async () => {
    const next = route({ node: 'n2', epoch: 5, generation: 9 });
    const world = scripted({
      routes: [route()],
      node: ({ node }) => (node === 'n1' ? refused('STALE_EPOCH', { route: next }) : written),
    });
    await world.settle(world.client.put('t', 'k', 1));
    expect(world.sent[1]!.atMs - world.sent[0]!.atMs).toBe(LATENCY_MS);
    expect(world.sent[1]!.body).toMatchObject({ epoch: 5, shard_id: 'shard-1' });
  });

  test('an older route of a node that lags is not believed', async () => {
    const stale = route({ node: 'n9', epoch: 1, generation: 1 });
    const world = scripted({
      routes: [route({ epoch: 3, generation: 7 })],
      node: (_, count) => (count === 1 ? refused('STALE_EPOCH', { route: stale }) : written),
    });
    await world.settle(world.client.put('t', 'k', 1));
    expect(world.sent.map(({ node }) => node)).toEqual(['n1', 'n1']);
  });

  test('a leader that hangs is left as soon as the control plane names another one', async () => {
    const routes = [route()];
    const world = scripted({ routes, node: ({ node }) => (node === 'n1' ? 'HANGS' : written) });
    world.time.after(1_000, () => {
      routes[0] = route({ node: 'n2', epoch: 2, generation: 2 });
    });
    await world.settle(world.client.put('t', 'k', 1));
    expect(world.sent.at(-1)).toMatchObject({ node: 'n2', body: { epoch: 2 } });
    // Within one look at the route (300 ms, jittered up to 375) after the change.
    expect(world.sent.at(-1)!.atMs).toBeLessThan(1_400);
  });

  test('many requests that wait for one leader ask for its route together', async () => {
    const world = scripted({
      routes: [route()],
      node: ({ atMs }) => (atMs < 2_000 ? 'CONNECTION_REFUSED' : written),
    });
    const writes = Promise.all(Array.from({ length: 200 }, (_, i) => world.client.put('t', `k${i}`, i)));
    expect(await world.settle(writes)).toHaveProperty('value');
    const asked = world.controlPlaneCalls.filter(({ path }) => path.startsWith('/routes')).length;
    // 200 writers knock for 2 s; one shard's route is asked for every 25 ms at most.
    expect(world.sent.length).toBeGreaterThan(1_000);
    expect(asked).toBeLessThanOrEqual(2_500 / 25);
  });
});

describe('what a failed write tells', () => {
  test.each<{ what: string; node: NodeAnswer; code: string; outcome: string }>([
    { what: 'nothing was ever sent', node: 'CONNECTION_REFUSED', code: 'DEADLINE', outcome: 'NOT_APPLIED' },
    { what: 'only refusals', node: refused('NO_LEASE'), code: 'DEADLINE', outcome: 'NOT_APPLIED' },
    { what: 'attempts without an answer', node: 'HANGS', code: 'DEADLINE', outcome: 'UNKNOWN' },
    { what: 'connections that broke', node: 'CONNECTION_RESET', code: 'DEADLINE', outcome: 'UNKNOWN' },
    { what: 'UNKNOWN_OUTCOME', node: refused('UNKNOWN_OUTCOME'), code: 'DEADLINE', outcome: 'UNKNOWN' },
    { what: 'FORBIDDEN', node: refused('FORBIDDEN'), code: 'FORBIDDEN', outcome: 'NOT_APPLIED' },
    { what: 'INVALID_REQUEST', node: refused('INVALID_REQUEST'), code: 'INVALID_REQUEST', outcome: 'NOT_APPLIED' },
    { what: 'WRITE_ID_REUSED', node: refused('WRITE_ID_REUSED'), code: 'WRITE_ID_REUSED', outcome: 'NOT_APPLIED' },
  ])('$what: $code, $outcome', async ({ node, code, outcome }) => {
    const world = scripted({ routes: [route()], node: () => node });
    expect(await world.settle(world.client.put('t', 'k', 1))).toMatchObject({ error: { code, outcome } });
    if (code === 'DEADLINE') {
      expect(world.time.nowMs()).toBeGreaterThanOrEqual(5_000);
      expect(world.time.nowMs()).toBeLessThan(5_050);
    } else expect(world.sent).toHaveLength(1);
  });

  test('a final refusal after an attempt of unknown outcome stays UNKNOWN', async () => {
    const world = scripted({
      routes: [route()],
      node: (_, count) => (count === 1 ? 'CONNECTION_RESET' : refused('FORBIDDEN')),
    });
    expect(await world.settle(world.client.put('t', 'k', 1))).toMatchObject({
      error: { code: 'FORBIDDEN', outcome: 'UNKNOWN' },
    });
  });

  test('an unknown table fails at once; a control plane that is away fails at the deadline', async () => {
    const problem = { type: 'about:blank', title: 'x', status: 404, code: 'TABLE_NOT_FOUND', detail: 'no table' };
    const missing = scripted({
      routes: [],
      node: () => written,
      controlPlane: () => ({ kind: 'ANSWERED', status: 404, body: problem, retryAfterSeconds: null }),
    });
    expect(await missing.settle(missing.client.get('t', 'k'))).toMatchObject({ error: { code: 'TABLE_NOT_FOUND' } });
    expect(missing.time.nowMs()).toBeLessThan(100);
    const away = scripted({
      routes: [],
      node: () => written,
      controlPlane: () => ({ kind: 'UNREACHABLE', processed: 'NOT_SENT', message: 'away' }),
    });
    expect(await away.settle(away.client.put('t', 'k', 1))).toMatchObject({
      error: { code: 'DEADLINE', outcome: 'NOT_APPLIED' },
    });
    expect(away.sent).toHaveLength(0);
  });
});

describe('rows', () => {
  const routes = [
    route({ shard_id: 'a', end_key: 'm', node: 'n1' }),
    route({ shard_id: 'b', start_key: 'm', node: 'n2' }),
  ];

  test('a batch is grouped by shard, in messages of 500 rows at most; what failed is told', async () => {
    const world = scripted({ routes, node: ({ node }) => (node === 'n1' ? written : refused('FORBIDDEN')) });
    const rows = [
      ...Array.from({ length: 501 }, (_, i) => ({ op: 'put' as const, key: `a${i}`, value: i })),
      { op: 'delete' as const, key: 'z' },
    ];
    const result = await world.settle(world.client.batch('t', rows));
    expect(result).toMatchObject({
      value: { failures: [{ rows: [{ op: 'delete', key: 'z' }], error: { code: 'FORBIDDEN' } }] },
    });
    expect('value' in result && result.value.acknowledged).toHaveLength(501);
    const sizes = world.sent.map(({ node, body }) => [node, (body['rows'] as unknown[]).length]);
    expect(sizes.sort()).toEqual([
      ['n1', 1],
      ['n1', 500],
      ['n2', 1],
    ]);
  });

  describe('a split parts the rows of a batch', () => {
    const halves = [
      route({ shard_id: 'shard-1', end_key: 'm', node: 'n1', epoch: 1, generation: 2 }),
      route({ shard_id: 'shard-2', start_key: 'm', node: 'n2', epoch: 2, generation: 2 }),
    ];
    const rows = ['a', 'b', 'x', 'y'].map((key) => ({ op: 'put' as const, key, value: 1 }));
    /** The whole shard until the first message, then its halves; each node takes what lies in its own. */
    const splitting = (first: NodeAnswer) => {
      const routes = [route()];
      const world = scripted({
        routes,
        node: ({ node, body }, count) => {
          routes.splice(0, routes.length, ...halves);
          if (count === 1) return first;
          const holds = (key: string): boolean => (node === 'n1' ? key < 'm' : key >= 'm');
          return (body['rows'] as { key: string }[]).every(({ key }) => holds(key))
            ? written
            : refused('KEY_OUT_OF_RANGE', { route: halves[0]! });
        },
      });
      return { world, told: world.settle(world.client.batch('t', rows)) };
    };

    test('each part goes to its own shard, soon and under a write id of its own', async () => {
      const { world, told } = splitting(refused('KEY_OUT_OF_RANGE', { route: halves[0]! }));
      expect(await told).toEqual({ value: { acknowledged: rows, failures: [] } });
      expect(world.sent.map(({ node, body }) => [node, body['shard_id'], (body['rows'] as unknown[]).length])).toEqual([
        ['n1', 'shard-1', 4],
        ['n1', 'shard-1', 2],
        ['n2', 'shard-2', 2],
      ]);
      expect(new Set(world.sent.map(({ body }) => body['write_id'])).size).toBe(3);
      expect(world.time.nowMs()).toBeLessThan(100);
    });

    test('what may have been written before the split is not written again: it is told at once (R6)', async () => {
      const { world, told } = splitting('CONNECTION_RESET');
      expect(await told).toMatchObject({
        value: { acknowledged: [], failures: [{ rows, error: { code: 'SPLIT_MEANWHILE', outcome: 'UNKNOWN' } }] },
      });
      expect(world.sent).toHaveLength(1);
      expect(world.time.nowMs()).toBeLessThan(1_000);
    });

    test('rows that stay together are sent again as they were', async () => {
      const world = scripted({
        routes: [route({ end_key: 'z' })],
        node: (_, count) => (count === 1 ? 'CONNECTION_RESET' : written),
      });
      expect(await world.settle(world.client.batch('t', rows))).toMatchObject({ value: { failures: [] } });
      expect(new Set(world.sent.map(({ body }) => body['write_id'])).size).toBe(1);
    });
  });

  test('a scan goes from shard to shard', async () => {
    const page = (keys: string[], next: string | null, end: string | null): NodeAnswer => ({
      kind: 'ANSWER',
      status: 200,
      body: {
        rows: keys.map((key) => ({ key, value: 1, timestamp: '1.0' })),
        next_key: next,
        shard_end_key: end,
        epoch: 1,
      },
    });
    const world = scripted({
      routes,
      node: ({ node, body }) => {
        if (node === 'n2') return page(['m', 'n'], null, null);
        return body['start_key'] === null ? page(['a'], 'b', 'm') : page(['b'], null, 'm');
      },
    });
    const all = async (): Promise<string[]> => {
      const keys: string[] = [];
      for await (const row of world.client.scan('t')) keys.push(row.key);
      return keys;
    };
    expect(await world.settle(all())).toEqual({ value: ['a', 'b', 'm', 'n'] });
  });

  test('the data token is fetched once, and again before it expires', async () => {
    const world = scripted({ routes: [route()], node: () => written });
    const tokens = (): number => world.controlPlaneCalls.filter(({ path }) => path === '/auth/token').length;
    await world.settle(Promise.all([1, 2, 3].map((i) => world.client.put('t', `k${i}`, i))));
    expect(tokens()).toBe(1);
    await world.time.run(3_600_000 * 0.81);
    await world.settle(world.client.put('t', 'k', 1));
    expect(tokens()).toBe(2);
  });
});
