import assert from 'node:assert/strict';
import { shardCalls } from '../../../shared/contracts/api/shards.ts';
import { tableCalls } from '../../../shared/contracts/api/tables.ts';
import type { Case } from '../case.ts';
import { TABLE } from '../world.ts';

const REQUEST = { table: TABLE, key_type: 'string', pre_split: ['g', 'p'], replication_factor: 3 };
const EVENT_MS_MAX = 60_000;

export const tables: readonly Case[] = [
  {
    name: 'create-table runs to its end with the data nodes; its request repeated is the same operation',
    run: async (world) => {
      const { call, adminToken } = world.deployment;
      const post = (body: unknown) =>
        call('POST', '/tables', { token: adminToken, body, headers: { 'idempotency-key': 'end-to-end-create' } });
      const started = await post(REQUEST);
      assert.equal(started.status, 200, JSON.stringify(started.body));
      const { operation_id } = tableCalls.createTable.response.parse(started.body);
      assert.equal((await post(REQUEST)).body['operation_id'], operation_id);
      assert.equal((await post({ ...REQUEST, pre_split: [] })).status, 409);

      const operation = await world.succeeded(operation_id);
      assert.equal(operation.type, 'create-table');
      assert.equal(operation.outcome, 'APPLIED');
      assert.deepEqual([operation.progress.done, operation.progress.total], [3, 3]);
      assert.ok(operation.steps.length > 0);
      const table = await world.ok(tableCalls.getTable.response, 'GET', `/tables/${TABLE}`);
      assert.deepEqual([table.state, table.shards, table.replication_factor], ['ACTIVE', 3, 3]);
    },
  },
  {
    name: 'its execution has a history from start to success, and its end is told on the bus',
    only: 'cloud',
    run: async (world) => {
      const table = await world.ok(tableCalls.getTable.response, 'GET', `/tables/${TABLE}`);
      const operation = await world.succeeded(table.operation_id);
      assert.ok(operation.execution_arn !== null);
      const kinds = (await world.deployment.executionHistory(operation.execution_arn)).map(({ type }) => type);
      assert.equal(kinds[0], 'ExecutionStarted');
      assert.equal(kinds.at(-1), 'ExecutionSucceeded');
      assert.ok(kinds.filter((kind) => kind === 'TaskStateEntered').length >= 4, kinds.join(' '));
      const told = { operation_id: operation.operation_id, status: 'SUCCEEDED' };
      await world.deployment.event('OPERATION_ENDED', told, EVENT_MS_MAX);
    },
  },
  {
    name: 'its shards tile the key space, three replicas in three zones each (call 4)',
    run: async (world) => {
      await world.settled();
      const shards = await world.shards();
      assert.deepEqual(
        shards.map((shard) => [shard.data_range_start, shard.data_range_end]),
        [
          ['', 'g'],
          ['g', 'p'],
          ['p', null],
        ],
      );
      const zones = new Map(world.deployment.nodes.map(({ nodeId, zone }) => [nodeId, zone]));
      for (const shard of shards) {
        assert.equal(new Set(shard.replicas.map((nodeId) => zones.get(nodeId))).size, 3, shard.replicas.join(' '));
        assert.ok(shard.replicas.includes(shard.leader));
      }
    },
  },
  {
    name: 'shards are listed page by page, and by node (call 4)',
    run: async (world) => {
      const all = (await world.shards()).map(({ shard_id }) => shard_id);
      const paged: string[] = [];
      for (let cursor: string | null = ''; cursor !== null && paged.length <= all.length;) {
        const path: string = `/shards?table=${TABLE}&limit=1${cursor === '' ? '' : `&cursor=${cursor}`}`;
        const page = await world.ok(shardCalls.listShards.response, 'GET', path);
        paged.push(...page.shards.map(({ shard_id }) => shard_id));
        cursor = page.next_cursor;
      }
      assert.deepEqual(paged, all);
      for (const { nodeId } of world.deployment.nodes) {
        const held = await world.ok(shardCalls.listShards.response, 'GET', `/shards?node=${nodeId}&table=${TABLE}`);
        const expected = (await world.shards()).filter(({ replicas }) => replicas.includes(nodeId));
        assert.deepEqual(
          held.shards.map(({ shard_id }) => shard_id).sort(),
          expected.map(({ shard_id }) => shard_id).sort(),
        );
      }
    },
  },
  {
    name: 'routes come by the Function URL and by the gateway alike',
    only: 'cloud',
    run: async ({ deployment: { call, hot, adminToken } }) => {
      const path = `/routes/${TABLE}?key=lisbon`;
      const fast = await hot('routes', 'GET', path, { token: adminToken });
      assert.equal(fast.status, 200, JSON.stringify(fast.body));
      assert.deepEqual((await call('GET', path, { token: adminToken })).body, fast.body);
    },
  },
];
