import assert from 'node:assert/strict';
import { nodeCareCalls } from '../../../shared/contracts/api/node-care.ts';
import { rebalanceCalls } from '../../../shared/contracts/api/rebalance.ts';
import { replicationCalls } from '../../../shared/contracts/api/replication.ts';
import { shardCalls } from '../../../shared/contracts/api/shards.ts';
import { tableCalls } from '../../../shared/contracts/api/tables.ts';
import type { Case } from '../case.ts';
import { shardctl } from '../shardctl.ts';
import { elsewhere, TABLE } from '../world.ts';
import type { World } from '../world.ts';

/** The two nodes of zone a: everything on one of them fits on the other. */
const PAIR = ['node-101', 'node-104'] as const;
/** It is decommissioned in the end. */
const LEAVING = 'node-104';
/** A table that follows the cluster's replication factor. */
const FOLLOWER = 'towns';
const ROWS = ['aarhus', 'bergen', 'odense', 'uppsala'];

/** Of the pair the one that holds more, since the case that drains it. */
let drained: string | null = null;

const wasDrained = (): string => {
  assert.ok(drained !== null, 'a node was drained before');
  return drained;
};

const cordon = (world: World, nodeId: string, verb: 'cordon' | 'uncordon') =>
  world.ok(nodeCareCalls.cordonNode.response, 'POST', `/cluster/nodes/${nodeId}/${verb}`);

async function replicasOf(world: World, table: string): Promise<readonly number[]> {
  return (await world.shards(table)).map(({ replica_details: replicas }) => replicas.length);
}

export const quietTick: readonly Case[] = [
  {
    name: 'the limits of rebalancing are told and changed: nothing moves by itself in what follows',
    run: async (world) => {
      const before = await world.ok(rebalanceCalls.getRebalanceConfig.response, 'GET', '/config/rebalance');
      const changes = { tick: 'off', moves_per_hour: 10_000 } as const;
      const after = await world.ok(rebalanceCalls.setRebalanceConfig.response, 'PUT', '/config/rebalance', changes);
      assert.deepEqual(after, { ...before, ...changes });
      const refused = await world.refused('PUT', '/config/rebalance', { moves_per_hour: 0 });
      assert.deepEqual([refused.status, refused.body['field']], [400, 'moves_per_hour']);
      assert.deepEqual(await world.ok(rebalanceCalls.getRebalanceConfig.response, 'GET', '/config/rebalance'), after);
    },
  },
];

export const waves: readonly Case[] = [
  {
    name: 'a cordoned node takes no replicas, by a move neither',
    run: async (world) => {
      const shard = (await world.shards())[0];
      assert.ok(shard !== undefined);
      const target = elsewhere(world, shard);
      assert.equal((await cordon(world, target, 'cordon')).cordoned, true);
      assert.equal((await world.node(target)).cordoned, true);
      const refused = await world.refused('POST', `/shards/${shard.shard_id}/move`, { target_node_id: target });
      assert.deepEqual([refused.status, refused.body['code']], [409, 'NODE_CORDONED']);
      assert.equal((await cordon(world, target, 'uncordon')).cordoned, false);
    },
  },
  {
    name: 'a node is drained: what it held is elsewhere, and rows are all there',
    run: async (world) => {
      await world.settled();
      const counts = await Promise.all(PAIR.map(async (nodeId) => (await world.heldBy(nodeId)).length));
      const node = (counts[0] ?? 0) > (counts[1] ?? 0) ? PAIR[0] : PAIR[1];
      const path = `/cluster/nodes/${node}/drain`;
      const held = await world.heldBy(node);
      assert.ok(held.length > 0);
      const dry = await world.ok(nodeCareCalls.drainNode.response, 'POST', path, { dry_run: true });
      assert.deepEqual([dry.operation_id, dry.check.fits, dry.check.replicas], [null, true, held.length]);
      assert.deepEqual(await world.heldBy(node), held);

      const started = await world.ok(nodeCareCalls.drainNode.response, 'POST', path);
      assert.ok(started.operation_id !== null);
      const operation = await world.succeeded(started.operation_id);
      assert.deepEqual([operation.type, operation.outcome], ['drain-node', 'APPLIED']);
      const children = await world.operations(`parent_id=${operation.operation_id}&limit=1000`);
      assert.ok(children.length >= held.length && children.every(({ status }) => status === 'SUCCEEDED'));
      assert.deepEqual(await world.heldBy(node), []);
      const { cordoned, shards, status } = await world.node(node);
      assert.deepEqual([cordoned, shards, status], [true, 0, 'HEALTHY']);
      drained = node;
      await world.settled();
      await world.verifyRows();
    },
  },
  {
    name: 'a rebalance fills the empty node again, as its dry run said (call 5)',
    run: async (world) => {
      const node = wasDrained();
      await cordon(world, node, 'uncordon');
      const path = '/shards/rebalance';
      const dry = await world.ok(rebalanceCalls.rebalanceShards.response, 'POST', path, { dry_run: true });
      assert.equal(dry.operation_id, null);
      assert.ok(dry.plan !== null && dry.plan.moves.some(({ to }) => to === node), JSON.stringify(dry));
      assert.equal(dry.plan.summary.moves, dry.plan.moves.length);
      assert.deepEqual(await world.heldBy(node), []);

      const started = await world.ok(rebalanceCalls.rebalanceShards.response, 'POST', path, { plan: dry.plan });
      assert.deepEqual(
        [started.status, started.rebalanced_shards, started.message],
        ['initiated', dry.rebalanced_shards, 'Rebalancing in progress'],
      );
      assert.ok(started.operation_id !== null);
      const operation = await world.succeeded(started.operation_id);
      assert.deepEqual([operation.type, operation.outcome], ['rebalance', 'APPLIED']);
      assert.ok((await world.heldBy(node)).length > 0);
      const zones = new Map(world.deployment.nodes.map(({ nodeId, zone }) => [nodeId, zone]));
      for (const { replicas } of await world.shards())
        assert.equal(new Set(replicas.map((nodeId) => zones.get(nodeId))).size, 3, replicas.join(' '));
      const stale = await world.refused('POST', path, { plan: dry.plan });
      assert.deepEqual([stale.status, stale.body['code']], [409, 'PLAN_STALE']);
      await world.settled();
      await world.verifyRows();
    },
  },
  {
    name: 'shardctl shows what a rebalance would do',
    run: async (world) => {
      const run = await shardctl(world, 'rebalance', '--dry-run');
      assert.equal(run.exitCode, 0, run.stderr);
      const json = await shardctl(world, '--json', 'rebalance', '--dry-run');
      rebalanceCalls.rebalanceShards.response.parse(JSON.parse(json.stdout));
    },
  },
  {
    name: 'the replication factor falls and rises, for tables that follow the cluster’s (call 8)',
    run: async (world) => {
      const created = await world.ok(tableCalls.createTable.response, 'POST', '/tables', { table: FOLLOWER });
      await world.succeeded(created.operation_id);
      await world.withClient(async (client) => {
        for (const town of ROWS) await client.put(FOLLOWER, town, { town });
      });
      const own = await replicasOf(world, TABLE);
      for (const factor of [1, 3]) {
        const changed = await world.ok(replicationCalls.setReplicationConfig.response, 'PUT', '/config/replication', {
          replication_factor: factor,
        });
        assert.equal(changed.status, 'success');
        assert.equal(changed.message, `Replication factor updated to ${factor}`);
        assert.ok(changed.operation_id !== null);
        const operation = await world.succeeded(changed.operation_id);
        assert.deepEqual([operation.type, operation.outcome], ['change-replication-factor', 'APPLIED']);
        assert.deepEqual(await replicasOf(world, FOLLOWER), [factor]);
        const { call, adminToken } = world.deployment;
        const told = await call('GET', '/config/replication', { token: adminToken });
        assert.deepEqual([told.body['replication_factor'], told.body['strategy']], [factor, 'rack-aware']);
      }
      assert.deepEqual(await replicasOf(world, TABLE), own);
      await world.withClient(async (client) => {
        for (const town of ROWS) assert.deepEqual((await client.get(FOLLOWER, town))?.value, { town });
      });
      const shard = (await world.shards(FOLLOWER))[0];
      assert.ok(shard !== undefined);
      const full = await world.ok(shardCalls.getShard.response, 'GET', `/shards/${shard.shard_id}`);
      assert.equal(full.min_in_sync, 2);
      const gone = await world.ok(tableCalls.deleteTable.response, 'DELETE', `/tables/${FOLLOWER}`);
      await world.succeeded(gone.operation_id);
    },
  },
  {
    name: 'a replication factor above the number of nodes is refused, and stays as it was (call 8)',
    run: async (world) => {
      const refused = await world.refused('PUT', '/config/replication', { replication_factor: 9 });
      assert.deepEqual([refused.status, refused.body['code']], [409, 'NOT_ENOUGH_NODES']);
      const { call, adminToken } = world.deployment;
      const told = await call('GET', '/config/replication', { token: adminToken });
      assert.equal(told.body['replication_factor'], 3);
    },
  },
  {
    name: 'a node that nobody knows is neither decommissioned nor drained nor cordoned',
    run: async (world) => {
      for (const [method, path] of [
        ['DELETE', '/cluster/nodes/nobody'],
        ['POST', '/cluster/nodes/nobody/drain'],
        ['POST', '/cluster/nodes/nobody/cordon'],
      ] as const) {
        const refused = await world.refused(method, path);
        assert.deepEqual([refused.status, refused.body['code']], [404, 'NODE_NOT_FOUND'], path);
      }
    },
  },
];

export const decommission: readonly Case[] = [
  {
    name: 'a node is decommissioned: everything leaves it, then it leaves the list (call 3)',
    run: async (world) => {
      await world.settled();
      const path = `/cluster/nodes/${LEAVING}`;
      const started = await world.ok(nodeCareCalls.decommissionNode.response, 'DELETE', path);
      assert.deepEqual([started.status, started.message], ['success', `Node ${LEAVING} marked for decommission`]);
      assert.ok(started.operation_id !== null);
      const operation = await world.succeeded(started.operation_id);
      assert.deepEqual([operation.type, operation.outcome], ['drain-node', 'APPLIED']);
      assert.ok(!(await world.nodes()).some(({ node_id }) => node_id === LEAVING));
      for (const { replicas } of await world.shards()) assert.ok(!replicas.includes(LEAVING));
      const again = await world.refused('DELETE', path);
      assert.ok([404, 409].includes(again.status), JSON.stringify(again.body));
      await world.settled();
      await world.verifyRows();
    },
  },
];
