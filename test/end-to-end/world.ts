import assert from 'node:assert/strict';
import type * as z from 'zod';
import { connect } from '../../client/index.ts';
import type { ShardkeeperClient } from '../../client/index.ts';
import { clusterCalls, nodeCalls } from '../../shared/contracts/api/nodes.ts';
import { operationCalls } from '../../shared/contracts/api/operations.ts';
import { shardCalls } from '../../shared/contracts/api/shards.ts';
import { systemCalls } from '../../shared/contracts/api/system.ts';
import type { Deployment } from './deployment.ts';
import type { Answer } from './http.ts';
import { eventually } from './waiting.ts';

export type NodeView = z.infer<typeof nodeCalls.listNodes.response>['nodes'][number];
export type ShardView = z.infer<typeof shardCalls.listShards.response>['shards'][number];
export type OperationView = z.infer<typeof operationCalls.getOperation.response>;

/** The table that most cases work with. */
export const TABLE = 'cities';

/** Bounds of waiting, not of speed: an emulator starts a worker for each function, and its rules fire once a minute. */
const OPERATION_MS_MAX = 180_000;
const SETTLED_MS_MAX = 180_000;
/** For one row, a failover included. */
const ROW_MS_MAX = 180_000;

/** A node of this run without a replica of the shard. */
export function elsewhere({ deployment }: World, shard: ShardView): string {
  const found = deployment.nodes.find(({ nodeId }) => !shard.replicas.includes(nodeId));
  assert.ok(found !== undefined, `a node holds no replica of ${shard.shard_id}`);
  return found.nodeId;
}

/** A follower's node. */
export function otherwise(shard: ShardView): string {
  const found = shard.replicas.find((nodeId) => nodeId !== shard.leader);
  assert.ok(found !== undefined, `${shard.shard_id} has a follower`);
  return found;
}

/** What cases share: the deployment, calls whose answers are held against the contract, and the rows that must be there. */
export class World<D extends Deployment = Deployment> {
  readonly deployment: D;
  /** Rows of `TABLE` that were acknowledged and not deleted, by key. */
  readonly rows: Map<string, unknown>;
  /** Tells the reader of the run's output. */
  readonly note: (line: string) => void;

  constructor(deployment: D, note: (line: string) => void, rows = new Map<string, unknown>()) {
    this.deployment = deployment;
    this.note = note;
    this.rows = rows;
  }

  /** A call as administrator that must succeed, its answer as the contract has it. */
  async ok<S extends z.ZodType>(schema: S, method: string, path: string, body?: unknown): Promise<z.infer<S>> {
    const answer = await this.deployment.call(method, path, {
      token: this.deployment.adminToken,
      ...(body === undefined ? {} : { body }),
    });
    assert.equal(answer.status, 200, `${method} ${path}: ${JSON.stringify(answer.body)}`);
    return schema.parse(answer.body);
  }

  async nodes(): Promise<readonly NodeView[]> {
    return (await this.ok(nodeCalls.listNodes.response, 'GET', '/cluster/nodes?limit=1000')).nodes;
  }

  node(nodeId: string): Promise<z.infer<typeof nodeCalls.getNode.response>> {
    return this.ok(nodeCalls.getNode.response, 'GET', `/cluster/nodes/${nodeId}`);
  }

  async shards(table: string = TABLE): Promise<readonly ShardView[]> {
    return (await this.ok(shardCalls.listShards.response, 'GET', `/shards?table=${table}&limit=1000`)).shards;
  }

  /** The shard of `TABLE` that holds the key. */
  async shardOf(key: string): Promise<ShardView> {
    const shard = (await this.shards()).findLast(({ data_range_start: start }) => start <= key);
    assert(shard !== undefined, `some shard holds ${key}`);
    return shard;
  }

  /** Ids of the shards with a replica on the node. */
  async heldBy(nodeId: string): Promise<readonly string[]> {
    const { shards } = await this.ok(shardCalls.listShards.response, 'GET', `/shards?node=${nodeId}&limit=1000`);
    return shards.map(({ shard_id }) => shard_id);
  }

  /** A call as administrator that must not succeed. */
  async refused(method: string, path: string, body?: unknown): Promise<Answer> {
    const { call, adminToken: token } = this.deployment;
    const answer = await call(method, path, { token, ...(body === undefined ? {} : { body }) });
    assert.ok(answer.status >= 400 && answer.status < 500, `${method} ${path}: ${answer.status}`);
    return answer;
  }

  operation(operationId: string): Promise<OperationView> {
    return this.ok(operationCalls.getOperation.response, 'GET', `/operations/${operationId}`);
  }

  /** The newest operations that fit the query. */
  async operations(query: string): Promise<readonly OperationView[]> {
    return (await this.ok(operationCalls.listOperations.response, 'GET', `/operations?${query}`)).operations;
  }

  control(operationId: string, verb: 'pause' | 'resume' | 'cancel' | 'redrive'): Promise<OperationView> {
    return this.ok(operationCalls.getOperation.response, 'POST', `/operations/${operationId}/${verb}`);
  }

  /** Waits until the operation runs no more; `meanwhile` is done at each look before that, at least once, and must not fail. */
  async ended(operationId: string, meanwhile?: () => Promise<void>): Promise<OperationView> {
    const failures: unknown[] = [];
    const operation = await eventually(`operation ${operationId} ends`, OPERATION_MS_MAX, async () => {
      await meanwhile?.().catch((error: unknown) => failures.push(error));
      const seen = await this.operation(operationId);
      const runs = seen.status === 'PENDING' || seen.status === 'RUNNING';
      return runs && failures.length === 0 ? undefined : seen;
    });
    if (failures.length > 0) throw failures[0];
    return operation;
  }

  /** Waits for the end as `ended` does, and wants it to be a success. */
  async succeeded(operationId: string, meanwhile?: () => Promise<void>): Promise<OperationView> {
    const operation = await this.ended(operationId, meanwhile);
    assert.equal(operation.status, 'SUCCEEDED', JSON.stringify(operation));
    return operation;
  }

  /** Waits until every replica of `TABLE` is IN_SYNC under its node's present epoch, and no fence is open. */
  settled(): Promise<true> {
    return eventually('every replica is IN_SYNC again', SETTLED_MS_MAX, async () => {
      const [nodes, shards, health] = await Promise.all([
        this.nodes(),
        this.shards(),
        this.ok(clusterCalls.clusterHealth.response, 'GET', '/cluster/health'),
      ]);
      const epochs = new Map(nodes.map((node) => [node.node_id, node.node_epoch]));
      const late = shards
        .flatMap((shard) => shard.replica_details)
        .filter((replica) => replica.sync_status !== 'IN_SYNC' || epochs.get(replica.node_id) !== replica.node_epoch);
      return late.length === 0 && health.open_fences.length === 0 ? true : undefined;
    });
  }

  /** A token for the rows of all tables, which data nodes check. */
  async dataToken(access: 'read' | 'read-write'): Promise<string> {
    const body = { scope: 'data', tables: ['*'], access };
    return (await this.ok(systemCalls.createToken.response, 'POST', '/auth/token', body)).token;
  }

  /** Work with the client library, as an application has it. */
  async withClient<T>(work: (client: ShardkeeperClient) => Promise<T>): Promise<T> {
    const { url, adminToken } = this.deployment;
    const { client, close } = connect({ url, token: adminToken, deadlineMs: ROW_MS_MAX });
    try {
      return await work(client);
    } finally {
      close();
    }
  }

  /** Reads the whole table: every acknowledged row must be there as it was written. Answers how many there are. */
  async verifyRows(): Promise<number> {
    return this.withClient(async (client) => {
      const found = new Map<string, unknown>();
      for await (const { key, value } of client.scan(TABLE)) found.set(key, value);
      for (const [key, value] of this.rows) assert.deepEqual(found.get(key), value, `acknowledged row ${key}`);
      return found.size;
    });
  }
}
