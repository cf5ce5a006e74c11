import { shardctlAgainstServer } from '../support/shardctl.ts';

/** What shardctl sends and prints for rebalances, drains and replication factors. */

const cli = shardctlAgainstServer();

async function shardctl(answer: unknown, ...args: string[]) {
  cli.reply = () => ({ status: 200, body: answer });
  return cli.run(args);
}

const plan = {
  moves: [
    { shard_id: 'shard-1', generation: 4, from: 'node-101', to: 'node-106', reason: 'BALANCE', bytes: 5_000_000 },
  ],
  leader_moves: [{ shard_id: 'shard-2', generation: 2, from: 'node-101', to: 'node-102', reason: 'NODE_SLOW' }],
  rejected: [
    { goal: 'BALANCE', node_id: 'node-103', shard_id: 'shard-3', reasons: [{ reason: 'ZONE_RULE', count: 2 }] },
  ],
  summary: {
    shards: 3,
    nodes: 6,
    moves: 1,
    leader_moves: 1,
    bytes_to_move: 5_000_000,
    before: { replicas: { least: 0, most: 1.5 } },
    after: { replicas: { least: 0.9, most: 1.1 } },
    zone_violations_before: 0,
    zone_violations_after: 0,
    rejected_by_reason: [{ reason: 'ZONE_RULE', count: 1 }],
  },
};

test('rebalance --dry-run reads well: what moves and why, what stays and why, what it comes to', async () => {
  const answer = { status: 'initiated', rebalanced_shards: 2, message: 'the plan', operation_id: null, plan };
  const { code, out } = await shardctl(answer, 'rebalance', '--dry-run');
  expect(code).toBe(0);
  expect(cli.requests()).toEqual([
    { method: 'POST', target: '/shards/rebalance', body: { mode: 'all', dry_run: true } },
  ]);
  for (const text of [
    '1 replicas to move (5 MB)',
    'node-106',
    'BALANCE',
    '1 leaders to transfer',
    'NODE_SLOW',
    '2 ZONE_RULE',
    '0.00 to 1.50',
    '0.90 to 1.10',
  ])
    expect(out).toContain(text);
  const json = await shardctl(answer, '--json', 'rebalance', '--dry-run');
  expect(JSON.parse(json.out)).toEqual(answer);
});

test('rebalance starts an operation and names it', async () => {
  const answer = {
    status: 'initiated',
    rebalanced_shards: 2,
    message: 'Rebalancing in progress',
    operation_id: 'op-1',
    plan,
  };
  const { out } = await shardctl(answer, 'rebalance', '--mode', 'scatter', '--table', 'cities');
  expect(cli.received[0]?.body).toEqual({ mode: 'scatter', table: 'cities' });
  expect(out).toContain('op-1');
});

const check = {
  fits: false,
  replicas: 3,
  bytes: 10,
  waiting: 0,
  refused: 3,
  obstacles: [{ shard_id: 'shard-1', reasons: [{ reason: 'HOLDS_REPLICA', count: 4 }] }],
};

test.each([
  [['nodes', 'drain', 'node-1', '--dry-run'], 'POST', '/cluster/nodes/node-1/drain', { dry_run: true }],
  [['nodes', 'decommission', 'node-1', '--dry-run'], 'DELETE', '/cluster/nodes/node-1?dry_run=true', undefined],
])('%j tells whether it would fit, and why not', async (args, method, path, body) => {
  const answer = { status: 'success', message: 'Nothing was changed', node_id: 'node-1', operation_id: null, check };
  const { out } = await shardctl(answer, ...args);
  expect(cli.requests()).toEqual([{ method, target: path, body }]);
  expect(out).toContain('4 HOLDS_REPLICA');
});

test.each([
  [['nodes', 'cordon', 'node-1'], '/cluster/nodes/node-1/cordon', undefined],
  [['nodes', 'uncordon', 'node-1'], '/cluster/nodes/node-1/uncordon', undefined],
  [['nodes', 'maintenance', 'node-1', '--seconds', '60'], '/cluster/nodes/node-1/maintenance', { seconds: 60 }],
])('%j', async (args, path, body) => {
  const answer = {
    status: 'success',
    message: 'done',
    node_id: 'node-1',
    cordoned: true,
    operation_id: null,
    until: '2026-11-21T00:00:00.000Z',
  };
  const { code, out } = await shardctl(answer, ...args);
  expect(code).toBe(0);
  expect(cli.requests()).toEqual([{ method: 'POST', target: path, body }]);
  expect(out).toContain('done');
});

test.each([
  [['config', 'replication', 'set', '5'], '/config/replication', { replication_factor: 5 }],
  [
    ['tables', 'replication', 'cities', '4', '--dry-run'],
    '/tables/cities/replication',
    { replication_factor: 4, dry_run: true },
  ],
])('%j', async (args, path, body) => {
  const answer = { status: 'success', message: 'updated', replication_factor: 5, shards: 7, operation_id: 'op-2' };
  const { out } = await shardctl(answer, ...args);
  expect(cli.requests()).toEqual([{ method: 'PUT', target: path, body }]);
  expect(out).toContain('op-2');
});
