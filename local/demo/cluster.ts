import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ControlPlane } from '../../client/index.ts';
import type { ClientNetwork } from '../../client/index.ts';
import { nodeCalls } from '../../shared/contracts/api/nodes.ts';

/** The cluster that the demo runs against: the one that answers already, or one of its own in a temporary directory. */
export interface DemoCluster {
  readonly url: string;
  readonly token: string;
  /** Pid of a node's process on this machine; null if it can't be told. */
  pidOf(nodeId: string): number | null;
  stop(): Promise<void>;
}

const URL_DEFAULT = 'http://127.0.0.1:8080';
const START_MS_MAX = 90_000;
const STOP_MS_MAX = 15_000;
const POLL_MS = 250;
const CALL_MS = 5_000;
const NODES_WANTED = 3;

export async function findOrStartCluster(network: ClientNetwork, say: (line: string) => void): Promise<DemoCluster> {
  const wanted = process.env['SHARDKEEPER_URL'] ?? URL_DEFAULT;
  if (await answers(network, wanted)) {
    say(`Using the cluster at ${wanted}.`);
    const dataDir = process.env['SHARDKEEPER_DATA_DIR'] ?? '.data';
    const token = process.env['SHARDKEEPER_TOKEN'] ?? readText(join(dataDir, 'admin-token'));
    if (token === null) throw new Error(`no token: set SHARDKEEPER_TOKEN, or run where ${dataDir}/admin-token is`);
    return { url: wanted, token, pidOf: (nodeId) => pidIn(dataDir, nodeId), stop: () => Promise.resolve() };
  }
  if (process.env['SHARDKEEPER_URL'] !== undefined) throw new Error(`no control plane answers at ${wanted}`);
  return startCluster(network, say);
}

async function startCluster(network: ClientNetwork, say: (line: string) => void): Promise<DemoCluster> {
  const dataDir = mkdtempSync(join(tmpdir(), 'shardkeeper-demo-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  say(`No cluster answers; starting one at ${url} (data in ${dataDir}).`);
  const runner = spawn(
    process.execPath,
    [
      fileURLToPath(new URL('../main.ts', import.meta.url)),
      '--data-dir',
      dataDir,
      '--port',
      String(port),
      '--lease',
      'fast',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let complaint = '';
  runner.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString('utf8')).slice(-2_000);
  });
  const stop = async (): Promise<void> => {
    await stopProcess(runner);
    rmSync(dataDir, { recursive: true, force: true });
  };
  // Ctrl-C reaches the runner too; the demo waits for it and takes the directory away.
  process.once('SIGINT', () => void stop().then(() => process.exit(1)));
  try {
    const deadline = performance.now() + START_MS_MAX;
    while (!(await answers(network, url)) || readText(join(dataDir, 'admin-token')) === null) {
      if (runner.exitCode !== null) throw new Error(`the cluster did not start: ${complaint.trim()}`);
      if (performance.now() > deadline) throw new Error(`the cluster did not start within ${START_MS_MAX / 1000} s`);
      await sleep(POLL_MS);
    }
    const token = readText(join(dataDir, 'admin-token')) ?? '';
    return { url, token, pidOf: (nodeId) => pidIn(dataDir, nodeId), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Waits until enough nodes are healthy to hold three replicas of everything. */
export async function waitForNodes(controlPlane: ControlPlane): Promise<number> {
  const deadline = performance.now() + START_MS_MAX;
  for (;;) {
    const outcome = await controlPlane.call({ method: 'GET', path: '/cluster/nodes', timeoutMs: CALL_MS });
    if (outcome.kind === 'REFUSED') throw new Error(`listing nodes is refused: ${outcome.problem.detail}`);
    if (outcome.kind === 'OK') {
      const { nodes } = nodeCalls.listNodes.response.parse(outcome.body);
      const healthy = nodes.filter((node) => node.status === 'HEALTHY').length;
      if (healthy >= NODES_WANTED && healthy === nodes.length) return healthy;
    }
    if (performance.now() > deadline) throw new Error(`fewer than ${NODES_WANTED} nodes became healthy`);
    await sleep(POLL_MS);
  }
}

async function answers(network: ClientNetwork, url: string): Promise<boolean> {
  const outcome = await network.call({
    method: 'GET',
    url: `${url}/healthz`,
    bearer: null,
    body: null,
    timeoutMs: 2_000,
  });
  return outcome.kind === 'ANSWERED' && outcome.status === 200;
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
  });
  child.kill('SIGTERM');
  const killer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
  await exited;
  clearTimeout(killer);
}

/** The pid file that a node keeps in its data directory. */
function pidIn(dataDir: string, nodeId: string): number | null {
  const pid = Number(readText(join(dataDir, 'nodes', nodeId, 'pid')) ?? Number.NaN);
  return Number.isInteger(pid) && pid > 1 ? pid : null;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === 'string') reject(new Error('no free port'));
        else resolve(address.port);
      });
    });
  });
}
