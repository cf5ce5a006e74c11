import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GetExecutionHistoryCommand, SFNClient } from '@aws-sdk/client-sfn';
import { nodeArguments } from '../../local/node-processes.ts';
import type { NodePlan } from '../../local/node-processes.ts';
import { clusterEndpointsSchema } from '../../shared/contracts/api/system.ts';
import { adminTokenOf } from './admin-token.ts';
import { NODE_PLACES } from './deployment.ts';
import type { CloudDeployment, HotEntry } from './deployment.ts';
import { EventsQueue } from './events-queue.ts';
import { send } from './http.ts';
import { endProcess, nodeLogs } from './processes.ts';
import { eventually } from './waiting.ts';

/** What `cdk deploy` put behind an AWS-compatible endpoint, and data nodes on this machine that join it. */

const NODES_READY_MS_MAX = 120_000;
const HISTORY_EVENTS_MAX = 1_000;

export interface CloudOptions {
  /** Where the AWS-compatible endpoint answers. */
  readonly endpoint: string;
  /** File that `cdk deploy --outputs-file` wrote. */
  readonly outputsFile: string;
  /** Start of the stacks' names. */
  readonly stack: string;
}

export async function openCloud({ endpoint, outputsFile, stack }: CloudOptions): Promise<CloudDeployment> {
  const outputs = JSON.parse(readFileSync(outputsFile, 'utf8')) as Record<string, Record<string, string>>;
  const output = (part: 'api' | 'operations', name: string): string => {
    const value = outputs[`${stack}-${part}`]?.[name];
    assert(value !== undefined, `the stack ${stack}-${part} has an output ${name}`);
    return value;
  };
  const url = `${endpoint}/restapis/${output('api', 'ApiId')}/v1/_user_request_`;
  const queue = new EventsQueue(endpoint, output('operations', 'EventsQueueUrl'));
  const states = new SFNClient({});
  const adminToken = await adminTokenOf((name) => output('api', name));
  const urls = await hotAddresses(url, adminToken);
  const nodes = new DataNodes(url, adminToken);
  const deployment: CloudDeployment = {
    target: 'cloud',
    url,
    adminToken,
    nodes: NODE_PLACES,
    serveLogs: nodes.serveLogs,
    // An emulator has no gateway responses, by which AWS makes every denial a 401 (asserted on the template).
    deniedStatuses: [401, 403],
    call: (method, path, options) => send(method, url + path, options),
    hot: (entry, method, path, options) => send(method, urls[entry] + path, options),
    pidOf: (nodeId) => nodes.pidOf(nodeId),
    restarted: (nodeId) => nodes.start(placeOf(nodeId)),
    event: (type, payload, withinMs) => queue.event(type, payload, withinMs),
    executionHistory: async (executionArn) => {
      const history = await states.send(
        new GetExecutionHistoryCommand({ executionArn, maxResults: HISTORY_EVENTS_MAX }),
      );
      return (history.events ?? []).map(({ type, stateEnteredEventDetails: entered }) => ({
        type: type ?? '',
        state: entered?.name ?? null,
      }));
    },
    logOf: (nodeId) => nodes.logOf(nodeId),
    evidence: () => nodes.logs(),
    stop: async () => {
      states.destroy();
      await nodes.stop();
    },
  };
  try {
    for (const place of NODE_PLACES) await nodes.start(place);
    await eventually('all data nodes are healthy', NODES_READY_MS_MAX, async () => {
      const listed = (await deployment.call('GET', '/cluster/nodes', { token: adminToken })).body['nodes'];
      const healthy = ((listed ?? []) as { status: string }[]).filter(({ status }) => status === 'HEALTHY');
      return healthy.length === NODE_PLACES.length ? true : undefined;
    });
    return deployment;
  } catch (error) {
    process.stderr.write(`${deployment.evidence()}\n`);
    await deployment.stop();
    throw error;
  }
}

function placeOf(nodeId: string): NodePlan {
  const place = NODE_PLACES.find((candidate) => candidate.nodeId === nodeId);
  assert(place !== undefined, `${nodeId} is one of this run's nodes`);
  return place;
}

/** The Function URLs, found as every client and node finds them. */
async function hotAddresses(url: string, token: string): Promise<Readonly<Record<HotEntry, string>>> {
  const answer = await send('GET', `${url}/cluster/endpoints`, { token });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const { heartbeats, routes } = clusterEndpointsSchema.parse(answer.body);
  assert(heartbeats !== null && routes !== null, 'the deployment tells its Function URLs');
  return { heartbeat: heartbeats.replace(/\/$/, ''), routes: routes.replace(/\/$/, '') };
}

/** Data nodes as processes of this machine, by the command line that the README gives. */
class DataNodes {
  readonly serveLogs: string;
  private readonly folder: string;
  private readonly url: string;
  private readonly adminToken: string;
  private readonly running = new Map<string, ChildProcess>();

  constructor(url: string, adminToken: string) {
    this.url = url;
    this.adminToken = adminToken;
    this.folder = mkdtempSync(join(tmpdir(), 'shardkeeper-end-to-end-'));
    this.serveLogs = join(this.folder, 'serve-logs');
    mkdirSync(this.serveLogs);
  }

  async start(place: NodePlan): Promise<void> {
    const dir = join(this.folder, 'nodes', place.nodeId);
    mkdirSync(dir, { recursive: true });
    const issued = await send('POST', `${this.url}/cluster/join-tokens`, { token: this.adminToken, body: {} });
    assert.equal(issued.status, 200, JSON.stringify(issued.body));
    const log = openSync(join(dir, 'log'), 'a');
    const child = spawn(
      process.execPath,
      [
        ...nodeArguments(place, dir, this.url),
        // The pipe on standard input ends with this process, whatever ends it.
        '--exit-with-parent',
        ...['--serve-log', join(this.serveLogs, `${place.nodeId}.jsonl`)],
      ],
      {
        env: { ...process.env, SHARDKEEPER_JOIN_TOKEN: String(issued.body['join_token']) },
        stdio: ['pipe', log, log],
      },
    );
    closeSync(log);
    this.running.set(place.nodeId, child);
  }

  pidOf(nodeId: string): number {
    const pid = this.running.get(nodeId)?.pid;
    assert(pid !== undefined, `${nodeId} runs`);
    return pid;
  }

  logOf(nodeId: string): string {
    return readFileSync(join(this.folder, 'nodes', nodeId, 'log'), 'utf8');
  }

  logs(): string {
    return nodeLogs(join(this.folder, 'nodes'));
  }

  async stop(): Promise<void> {
    await Promise.all(
      [...this.running.values()].map((child) =>
        endProcess(child, { signal: () => child.kill('SIGTERM'), kill: () => child.kill('SIGKILL') }),
      ),
    );
    rmSync(this.folder, { recursive: true, force: true });
  }
}
