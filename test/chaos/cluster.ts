import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../../bench/load/cluster-process.ts';
import { nodeArguments, planNodes } from '../../local/node-processes.ts';
import type { NodePlan } from '../../local/node-processes.ts';
import { Api } from './api.ts';
import { copyContents, emptyFolder, isFull, mountSmallDisk, unmountSmallDisk } from './disks.ts';
import { CLIENTS, CONTROL_PLANE, Network } from './network.ts';
import { ServerProcess } from './server-process.ts';
import type { Ended } from './server-process.ts';

/** A cluster of real processes that a run may damage: the local runner as control plane, and data nodes started as an operator starts them. */

export const NODES = 5;
const ZONES = 3;
export const LEASE = 'fast';
/** So many of the nodes have a small disk of their own, if such a one can be mounted. */
const SMALL_DISKS = 2;
const START_MS_MAX = 90_000;
/** Exit codes of a data node (data-node/main.ts --help). */
export const NODE_EXIT = { DIRECTORY: 3, CONTROL_PLANE: 5 } as const;

const RUNNER = fileURLToPath(new URL('../../local/main.ts', import.meta.url));

export interface ClusterOptions {
  /** So many of the nodes collect the heartbeats of the others. */
  readonly relays: number;
  /** False: nodes serve on without a lease. */
  readonly selfFencing: boolean;
  readonly say: (line: string) => void;
  /** Is given what kills everything at once, before anything is started. */
  readonly begun: (killNow: () => void) => void;
}

export interface ChaosNode {
  readonly nodeId: string;
  readonly process: ServerProcess;
  readonly dataDir: string;
  /** Copy of the directory from the start of the run. */
  readonly oldDir: string;
  readonly hasSmallDisk: boolean;
}

export class ChaosCluster {
  readonly folder: string;
  readonly network: Network;
  readonly api: Api;
  readonly controlPlane: ServerProcess;
  readonly nodes: readonly ChaosNode[];
  /** Where clients call, through the network of the run. */
  readonly clientUrl: string;
  readonly adminToken: string;
  readonly serveLogs: string;
  /** Why no disk can be filled; null if one can. */
  readonly noSmallDisk: string | null;
  /** Ends of processes that nobody had asked for, in words. */
  readonly deaths: string[];
  private readonly setup: Setup;

  private constructor(setup: Setup, parts: { controlPlane: ServerProcess; clientUrl: string; adminToken: string }) {
    this.setup = setup;
    this.folder = setup.folder;
    this.network = setup.network;
    this.nodes = setup.nodes;
    this.serveLogs = setup.serveLogs;
    this.noSmallDisk = setup.noSmallDisk;
    this.deaths = setup.deaths;
    this.controlPlane = parts.controlPlane;
    this.clientUrl = parts.clientUrl;
    this.adminToken = parts.adminToken;
    this.api = new Api(setup.controlPlaneUrl, parts.adminToken);
  }

  /** Starts everything and waits until all nodes are healthy. */
  static async start({ relays, selfFencing, say, begun }: ClusterOptions): Promise<ChaosCluster> {
    const plans = planNodes(NODES, ZONES, relays);
    const setup = new Setup({ controlPlanePort: await freePort(), plans, selfFencing, say });
    begun(() => setup.killNow());
    try {
      const controlPlane = setup.startControlPlane();
      const tokenFile = join(setup.dataDir, 'admin-token');
      await until(START_MS_MAX, 'the control plane answers', async () => {
        const answer = await fetch(`${setup.controlPlaneUrl}/healthz`);
        return answer.ok && readFileSync(tokenFile, 'utf8').length > 0;
      });
      const adminToken = readFileSync(tokenFile, 'utf8').trim();
      const clientPort = await setup.network.open(CONTROL_PLANE, setup.controlPlanePort, CLIENTS);
      const api = new Api(setup.controlPlaneUrl, adminToken);
      for (const plan of plans) await setup.startNode(plan, await api.joinToken());
      const clientUrl = `http://127.0.0.1:${clientPort}`;
      const cluster = new ChaosCluster(setup, { controlPlane, clientUrl, adminToken });
      await until(START_MS_MAX, 'all nodes are healthy', async () => {
        const nodes = await cluster.api.nodes();
        return nodes.length === NODES && nodes.every(({ status }) => status === 'HEALTHY');
      });
      return cluster;
    } catch (error) {
      await setup.end('REMOVE');
      throw error;
    }
  }

  /** Sets the present directory of every node aside, as the one of yesterday. */
  copyDirectories(): void {
    for (const node of this.nodes) this.copyOf(node, node.oldDir);
  }

  /** A copy of the node's directory at one moment, as a snapshot of its disk has it. */
  copyOf(node: ChaosNode, to: string): void {
    node.process.freeze();
    try {
      copyContents(node.dataDir, to);
    } finally {
      node.process.thaw();
    }
  }

  /** A second process with the node's id over `dataDir`; it is not started yet. */
  duplicateOf(node: ChaosNode, dataDir: string): ServerProcess {
    rmSync(join(dataDir, 'port'), { force: true });
    return this.setup.duplicate(node, dataDir);
  }

  /** What an operator does whose node is refused because another directory has registered since: an empty one, and a join token. */
  async startEmpty(node: ChaosNode): Promise<void> {
    const joinToken = await this.api.joinToken();
    emptyFolder(node.dataDir);
    this.setup.joinTokens.set(node.nodeId, joinToken);
    node.process.start();
  }

  /** Ends all processes; the folder stays for a look at it if `folder` is 'KEEP'. */
  stop(folder: 'KEEP' | 'REMOVE'): Promise<void> {
    return this.setup.end(folder);
  }
}

/** What exists while a run is being set up, and must be ended whatever happens. */
class Setup {
  readonly folder = mkdtempSync(join(tmpdir(), 'shardkeeper-chaos-'));
  readonly dataDir = join(this.folder, 'control-plane');
  readonly serveLogs = join(this.folder, 'serve-logs');
  readonly network = new Network();
  readonly nodes: ChaosNode[] = [];
  readonly deaths: string[] = [];
  readonly joinTokens = new Map<string, string>();
  readonly controlPlanePort: number;
  readonly controlPlaneUrl: string;
  noSmallDisk: string | null = null;
  private readonly plans: readonly NodePlan[];
  private readonly unsafe: readonly string[];
  private readonly say: (line: string) => void;
  private readonly processes: ServerProcess[] = [];
  private readonly mounts: string[] = [];
  private duplicates = 0;

  constructor(
    options: Pick<ClusterOptions, 'selfFencing' | 'say'> & {
      readonly controlPlanePort: number;
      readonly plans: readonly NodePlan[];
    },
  ) {
    this.controlPlanePort = options.controlPlanePort;
    this.plans = options.plans;
    this.unsafe = options.selfFencing ? [] : ['--without-self-fencing'];
    this.say = options.say;
    this.controlPlaneUrl = `http://127.0.0.1:${this.controlPlanePort}`;
    for (const folder of ['control-plane', 'serve-logs', 'logs', 'nodes', 'old']) mkdirSync(join(this.folder, folder));
  }

  startControlPlane(): ServerProcess {
    const args = [
      RUNNER,
      ...['--port', String(this.controlPlanePort), '--data-dir', this.dataDir],
      ...['--lease', LEASE, '--no-nodes'],
    ];
    const controlPlane = new ServerProcess({
      name: 'control-plane',
      command: () => ({ args, env: {} }),
      logFile: join(this.folder, 'logs', 'control-plane'),
      died: (how) => this.died('control-plane', how),
    });
    this.processes.push(controlPlane);
    controlPlane.start();
    return controlPlane;
  }

  async startNode(plan: NodePlan, joinToken: string): Promise<void> {
    const { nodeId } = plan;
    const dataDir = join(this.folder, 'nodes', nodeId);
    const hasSmallDisk = this.nodes.length < SMALL_DISKS && this.mount(dataDir);
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const port = await freePort();
    const advertisedPort = await this.network.open(nodeId, port, null);
    const controlPlanePort = await this.network.open(CONTROL_PLANE, this.controlPlanePort, nodeId);
    this.joinTokens.set(nodeId, joinToken);
    const args = [
      ...nodeArguments(plan, dataDir, `http://127.0.0.1:${controlPlanePort}`),
      ...['--port', String(port), '--advertise-port', String(advertisedPort), '--exit-with-parent'],
      ...['--serve-log', join(this.serveLogs, `${nodeId}.jsonl`), ...this.unsafe],
    ];
    const process = new ServerProcess({
      name: nodeId,
      command: () => ({ args, env: { SHARDKEEPER_JOIN_TOKEN: this.joinTokens.get(nodeId) } }),
      logFile: join(this.folder, 'logs', nodeId),
      died: async (how) => {
        if (how.code !== NODE_EXIT.DIRECTORY || !isFull(dataDir)) return this.died(nodeId, how);
        this.say(`  ${nodeId} can't start on its full disk`);
        return 'RESTART';
      },
    });
    this.processes.push(process);
    this.nodes.push({ nodeId, process, dataDir, oldDir: join(this.folder, 'old', nodeId), hasSmallDisk });
    process.start();
  }

  duplicate({ nodeId }: ChaosNode, dataDir: string): ServerProcess {
    const name = `${nodeId}-duplicate-${++this.duplicates}`;
    const plan = this.plans.find((candidate) => candidate.nodeId === nodeId);
    if (plan === undefined) throw new Error(`${nodeId} is no node of this run`);
    const args = [
      ...nodeArguments(plan, dataDir, this.controlPlaneUrl),
      ...['--exit-with-parent', '--serve-log', join(this.serveLogs, `${name}.jsonl`), ...this.unsafe],
    ];
    const process = new ServerProcess({
      name,
      // On a free port: the original's own one stays its own, even while it is dead.
      command: () => ({ args, env: {} }),
      logFile: join(this.folder, 'logs', name),
      died: async () => 'LEAVE',
    });
    this.processes.push(process);
    return process;
  }

  async end(folder: 'KEEP' | 'REMOVE'): Promise<void> {
    await Promise.all(this.processes.map((process) => process.stop()));
    this.network.close();
    for (const mount of this.mounts.splice(0)) unmountSmallDisk(mount);
    if (folder === 'REMOVE') rmSync(this.folder, { recursive: true, force: true });
  }

  killNow(): void {
    for (const process of this.processes) process.killNow();
    for (const mount of this.mounts.splice(0)) unmountSmallDisk(mount);
  }

  private mount(dataDir: string): boolean {
    const problem = mountSmallDisk(dataDir);
    if (problem === null) this.mounts.push(dataDir);
    else this.noSmallDisk = problem;
    return problem === null;
  }

  private async died(name: string, { code, signal }: Ended): Promise<'RESTART'> {
    const how = `${name} died by itself: ${signal ?? `exit status ${code ?? 'unknown'}`}`;
    this.deaths.push(how);
    this.say(how);
    return 'RESTART';
  }
}

/** A port that nobody listens on now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
