import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { nodeArguments } from '../../local/node-processes.ts';
import { nodeCalls, clusterCalls } from '../../shared/contracts/api/nodes.ts';
import { operationCalls } from '../../shared/contracts/api/operations.ts';
import { shardCalls } from '../../shared/contracts/api/shards.ts';
import type { LeaseProfileName } from '../../shared/domain/lease.ts';

/** A whole cluster of real processes, started as a user starts it, over a temporary data directory. */
export interface ClusterOptions {
  readonly nodes: number;
  readonly zones: number;
  readonly profile: LeaseProfileName;
  /** 'off': the control run, in which nodes believe in their lease until they are told of the fence. */
  readonly selfFencing: 'on' | 'off';
  readonly keep: boolean;
}

const START_MS_MAX = 90_000;
const STOP_MS_MAX = 30_000;
const NODE_STOP_MS_MAX = 8_000;
const CALL_MS_MAX = 10_000;
const POLL_MS = 250;

const shardListSchema = shardCalls.listShards.response;
const nodeListSchema = nodeCalls.listNodes.response;
const operationViewSchema = operationCalls.getOperation.response;
const healthSchema = clusterCalls.clusterHealth.response;
export type ShardView = z.infer<typeof shardListSchema>['shards'][number];
export type NodeView = z.infer<typeof nodeListSchema>['nodes'][number];
export type OperationView = z.infer<typeof operationViewSchema>;
export type HealthView = z.infer<typeof healthSchema>;

export class ClusterProcess {
  readonly url: string;
  readonly adminToken: string;
  /** Folder of the nodes' serve logs. */
  readonly serveLogs: string;
  private readonly folder: string;
  private readonly child: ChildProcess;
  private readonly keep: boolean;
  private readonly added: ChildProcess[] = [];

  private constructor(parts: { url: string; folder: string; serveLogs: string; child: ChildProcess; keep: boolean }) {
    this.url = parts.url;
    this.folder = parts.folder;
    this.serveLogs = parts.serveLogs;
    this.child = parts.child;
    this.keep = parts.keep;
    this.adminToken = readFileSync(join(parts.folder, 'admin-token'), 'utf8').trim();
  }

  /** Starts control plane and nodes and waits until all nodes are healthy. */
  static async start(options: ClusterOptions): Promise<ClusterProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'shardkeeper-bench-'));
    const serveLogs = join(folder, 'serve-logs');
    mkdirSync(serveLogs);
    const child = spawn(
      process.execPath,
      [
        fileURLToPath(new URL('../../local/main.ts', import.meta.url)),
        ...['--port', '0', '--data-dir', folder],
        ...['--nodes', String(options.nodes), '--zones', String(options.zones), '--lease', options.profile],
      ],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: {
          ...process.env,
          SHARDKEEPER_SERVE_LOGS: serveLogs,
          ...(options.selfFencing === 'off' ? { SHARDKEEPER_UNSAFE_WITHOUT_SELF_FENCING: '1' } : {}),
        },
      },
    );
    const url = await readUrl(child);
    const cluster = new ClusterProcess({ url, folder, serveLogs, child, keep: options.keep });
    try {
      await until(START_MS_MAX, 'all nodes healthy', async () => {
        const nodes = await cluster.nodes();
        return nodes.length === options.nodes && nodes.every((node) => node.status === 'HEALTHY');
      });
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** Starts one more node by hand, as an operator does it, and waits until it is healthy. It ends with the cluster. */
  async addNode(nodeId: string, zone: string): Promise<void> {
    const dataDir = join(this.folder, 'nodes', nodeId);
    mkdirSync(dataDir, { recursive: true });
    const log = openSync(this.logFile(nodeId), 'a');
    const plan = { nodeId, zone, relaying: 'none' as const };
    const serveLog = join(this.serveLogs, `${nodeId}.jsonl`);
    const args = [...nodeArguments(plan, dataDir, this.url), '--exit-with-parent', '--serve-log', serveLog];
    const tokenFile = join(this.folder, 'join-token');
    const child = spawn(process.execPath, [...args, '--join-token-file', tokenFile], { stdio: ['pipe', log, log] });
    closeSync(log);
    this.added.push(child);
    await until(START_MS_MAX, `${nodeId} healthy`, async () =>
      (await this.nodes()).some((node) => node.node_id === nodeId && node.status === 'HEALTHY'),
    );
  }

  /** Log of a node: JSON lines. */
  logFile(nodeId: string): string {
    return join(this.folder, 'nodes', nodeId, 'log');
  }

  /** Process id of a node, from its data directory. */
  pid(nodeId: string): number {
    return Number(readFileSync(join(this.folder, 'nodes', nodeId, 'pid'), 'utf8').trim());
  }

  async nodes(): Promise<readonly NodeView[]> {
    return nodeListSchema.parse(await this.call('GET', '/cluster/nodes?limit=1000')).nodes;
  }

  async shards(table: string): Promise<readonly ShardView[]> {
    return shardListSchema.parse(await this.call('GET', `/shards?table=${table}&limit=1000`)).shards;
  }

  async health(): Promise<HealthView> {
    return healthSchema.parse(await this.call('GET', '/cluster/health'));
  }

  async createTable(table: string, preSplit: readonly string[]): Promise<void> {
    await this.call('POST', '/tables', { table, pre_split: preSplit, replication_factor: 3 });
    await until(START_MS_MAX, `table ${table} active`, async () => {
      const state = z.looseObject({ state: z.string() }).parse(await this.call('GET', `/tables/${table}`));
      return state.state === 'ACTIVE';
    });
  }

  /** True when every replica is IN_SYNC under its node's present epoch, and no fence is open. */
  async fullyReplicated(table: string): Promise<boolean> {
    const [nodes, shards, health] = await Promise.all([this.nodes(), this.shards(table), this.health()]);
    const epochs = new Map(nodes.map((node) => [node.node_id, node.node_epoch]));
    return (
      nodes.every((node) => node.status === 'HEALTHY') &&
      health.open_fences.length === 0 &&
      shards.every((shard) =>
        shard.replica_details.every(
          (replica) => replica.sync_status === 'IN_SYNC' && epochs.get(replica.node_id) === replica.node_epoch,
        ),
      )
    );
  }

  async operation(operationId: string): Promise<OperationView> {
    return operationViewSchema.parse(await this.call('GET', `/operations/${operationId}`));
  }

  /** Waits until the operation is over. Throws unless it was applied. */
  async applied(operationId: string, limitMs: number): Promise<OperationView> {
    const going = ['PENDING', 'RUNNING', 'PAUSED'];
    await until(
      limitMs,
      `end of operation ${operationId}`,
      async () => !going.includes((await this.operation(operationId)).status),
    );
    const ended = await this.operation(operationId);
    if (ended.outcome === 'APPLIED') return ended;
    throw new Error(`${ended.type} ${operationId} ended ${ended.status}: ${JSON.stringify(ended.error)}`);
  }

  async dataToken(): Promise<string> {
    const body = { scope: 'data', tables: ['*'], access: 'read-write', lifetime_seconds: 86_400 };
    return z.looseObject({ token: z.string() }).parse(await this.call('POST', '/auth/token', body)).token;
  }

  async stop(): Promise<void> {
    for (const node of this.added) {
      const exited = new Promise<void>((resolve) => node.once('exit', () => resolve()));
      if (node.exitCode !== null || !node.kill('SIGTERM')) continue;
      await Promise.race([exited, sleep(NODE_STOP_MS_MAX, undefined, { ref: false })]);
      if (node.exitCode === null) node.kill('SIGKILL');
    }
    if (this.child.exitCode === null) {
      const exited = new Promise<void>((resolve) => this.child.once('exit', () => resolve()));
      this.child.kill('SIGTERM');
      await Promise.race([exited, sleep(STOP_MS_MAX, undefined, { ref: false })]);
      if (this.child.exitCode === null) this.child.kill('SIGKILL');
    }
    if (!this.keep) rmSync(this.folder, { recursive: true, force: true });
  }

  /** Asks the control plane as the administrator; throws with the answer's text unless it is 2xx. */
  async call(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
    const answer = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${this.adminToken}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(CALL_MS_MAX),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text) as unknown;
  }
}

/** Polls `condition` until it holds. A condition that throws (the control plane is busy) is asked again. */
export async function until(limitMs: number, what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  let problem = '';
  while (performance.now() < deadlineMs) {
    try {
      if (await condition()) return;
      problem = '';
    } catch (error) {
      problem = `: ${String(error)}`;
    }
    await sleep(POLL_MS);
  }
  throw new Error(`${what}: not within ${limitMs} ms${problem}`);
}

function readUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout?.setEncoding('utf8');
    child.stdout?.on('data', (chunk: string) => {
      text += chunk;
      const url = /http:\/\/127\.0\.0\.1:\d+/.exec(text)?.[0];
      // The banner stands after the token file was written.
      if (url !== undefined && text.includes('Ctrl-C')) resolve(url);
    });
    child.once('exit', (code) => reject(new Error(`the cluster ended at its start (${String(code)}): ${text}`)));
  });
}
