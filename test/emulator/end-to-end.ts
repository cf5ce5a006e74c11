import assert from 'node:assert/strict';
import test from 'node:test';
import { GetExecutionHistoryCommand, SFNClient } from '@aws-sdk/client-sfn';
import { eventually, openDeployment } from './deployment.ts';
import type { BusEvent } from './deployment.ts';
import { WireNode } from './node.ts';

/**
 * A deployment on an AWS-compatible endpoint, from outside: API Gateway, authorizer, Lambda, DynamoDB, its stream, EventBridge,
 * SQS, Step Functions and the scheduled loop. Run by .ci/emulator with the outputs of the deployment.
 * What an emulator can't show (IAM, throttling, backups, encryption) the template tests assert.
 */
const endpoint = process.env['AWS_ENDPOINT_URL'];
const [outputsFile, stack = 'shardkeeper-dev'] = process.argv.slice(2);
assert(
  endpoint !== undefined && outputsFile !== undefined,
  'usage: AWS_ENDPOINT_URL=... node test/emulator/end-to-end.ts OUTPUTS [STACK]',
);
const deployment = await openDeployment(endpoint, outputsFile, stack);
const { admin, call, hot } = deployment;

/** Bounds of waiting, not of speed: an emulator starts a worker for each function, and its rule fires once a minute. */
const EVENT_MS_MAX = 60_000;
const OPERATION_MS_MAX = 120_000;
const DETECTOR_MS_MAX = 150_000;

const events: BusEvent[] = [];
const eventOf = (type: string, withinMs = EVENT_MS_MAX): Promise<BusEvent> =>
  eventually(`event ${type} in the queue`, withinMs, async () => {
    events.push(...(await deployment.takeEvents()));
    return events.find((event) => event['detail-type'] === type);
  });

await test('public calls answer, unknown paths are 404', async () => {
  assert.equal((await call('GET', '/healthz')).status, 200);
  assert.equal((await call('GET', '/nothing')).status, 404);
});

await test('without a good token nothing is told', async () => {
  // An emulator without gateway responses answers a denial with 403.
  assert.ok([401, 403].includes((await call('GET', '/cluster/nodes')).status));
  assert.ok([401, 403].includes((await call('GET', '/cluster/nodes', { token: 'not.a.token' })).status));
});

await test('a good token reads the configuration; bad input names its field', async () => {
  const config = await call('GET', '/config/replication', { token: admin });
  assert.deepEqual(config.body, { replication_factor: 3, strategy: 'rack-aware' });
  const refused = await call('POST', '/cluster/join-tokens', { token: admin, body: { lifetime_seconds: 'x' } });
  assert.equal(refused.status, 400);
  assert.equal(refused.body['field'], 'lifetime_seconds');
});

let node: WireNode;
await test('a node registers, and renews its lease by the Function URL', async () => {
  node = await WireNode.register(deployment, 'node-1', 'a');
  await node.beat();
  const { nodes } = (await call('GET', '/cluster/nodes', { token: admin })).body as {
    nodes: { node_id: string; status: string }[];
  };
  assert.deepEqual(
    nodes.map(({ node_id, status }) => ({ node_id, status })),
    [{ node_id: 'node-1', status: 'HEALTHY' }],
  );
});

await test('the Function URL checks tokens itself, and serves its own entry only', async () => {
  const path = '/cluster/nodes/node-1/heartbeat';
  for (const token of [undefined, 'not.a.token']) {
    const refused = await hot('heartbeat', 'POST', path, { ...(token === undefined ? {} : { token }), body: {} });
    assert.equal(refused.status, 401);
    assert.match(refused.contentType, /application\/problem\+json/);
    assert.equal(refused.body['code'], 'UNAUTHENTICATED');
  }
  assert.equal((await hot('heartbeat', 'POST', path, { token: admin, body: {} })).status, 403);
  assert.equal((await hot('heartbeat', 'GET', '/cluster/nodes', { token: admin })).status, 404);
  assert.equal((await hot('routes', 'GET', '/routes/none?key=k', { token: admin })).status, 404);
});

await test('a node may not do what administrators do', async () => {
  assert.equal((await call('POST', '/tables', { token: node.token, body: { table: 't' } })).status, 403);
});

await test('the registration arrives in the queue: stream, publisher, bus, rule', async () => {
  const event = await eventOf('NODE_REGISTERED');
  assert.equal(event.source, 'shardkeeper');
  assert.equal(event.detail.event_type, 'NODE_REGISTERED');
  assert.equal(event.detail.payload['node_id'], 'node-1');
});

await test('a table is created by its state machine; the node acknowledges and the waiting tasks go on', async () => {
  const started = await call('POST', '/tables', {
    token: admin,
    body: { table: 'cities', key_type: 'string', pre_split: ['m'], replication_factor: 1 },
  });
  assert.equal(started.status, 200, JSON.stringify(started.body));
  const done: string[] = [];
  const operation = await eventually('create-table ends', OPERATION_MS_MAX, async () => {
    done.push(...(await node.beat()));
    const { body } = await call('GET', `/operations/${String(started.body['operation_id'])}`, { token: admin });
    return body['status'] === 'PENDING' || body['status'] === 'RUNNING' ? undefined : body;
  });
  assert.equal(operation['status'], 'SUCCEEDED', JSON.stringify(operation));
  assert.ok(done.includes('create_replica'));
  const executionArn = operation['execution_arn'] as string;
  const history = await new SFNClient({}).send(new GetExecutionHistoryCommand({ executionArn, maxResults: 1000 }));
  const kinds = history.events?.map(({ type }) => type) ?? [];
  assert.equal(kinds[0], 'ExecutionStarted');
  assert.equal(kinds.at(-1), 'ExecutionSucceeded');
});

await test('routes come by the Function URL and by the gateway alike', async () => {
  const path = '/routes/cities?key=berlin';
  const fast = await hot('routes', 'GET', path, { token: admin });
  assert.equal(fast.status, 200, JSON.stringify(fast.body));
  assert.equal((fast.body['leader'] as { node_id: string }).node_id, 'node-1');
  assert.deepEqual((await call('GET', path, { token: admin })).body, fast.body);
});

await test('the scheduled loop fences a node that went silent, and says so on the bus', async () => {
  const fenced = await eventOf('NODE_FENCED', DETECTOR_MS_MAX);
  assert.equal(fenced.detail.payload['node_id'], 'node-1');
  const { body } = await call('GET', '/cluster/nodes/node-1', { token: admin });
  assert.equal(body['status'], 'UNHEALTHY');
});
