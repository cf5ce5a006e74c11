import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NODE_PLACES } from './deployment.ts';
import type { LocalDeployment } from './deployment.ts';
import { send } from './http.ts';
import { endProcess, hasEnded, isAlive, nodeLogs, pidIn, tailOf } from './processes.ts';
import { eventually } from './waiting.ts';

/** The runner as a user starts it: `npm start -- ...` in a shell of its own, ended by Ctrl-C. */

const START_MS_MAX = 90_000;
/** The runner starts a dead node again after 10 s; later if it died young. */
const NODE_RESTART_MS_MAX = 60_000;
const PROJECT = fileURLToPath(new URL('../..', import.meta.url));

interface Run {
  readonly child: ChildProcess;
  readonly url: string;
  /** All that it printed. */
  readonly output: () => string;
}

export async function startLocal(): Promise<LocalDeployment> {
  const folder = mkdtempSync(join(tmpdir(), 'shardkeeper-end-to-end-'));
  const dataDir = join(folder, 'data');
  const serveLogs = join(folder, 'serve-logs');
  mkdirSync(serveLogs);
  const nodeDir = (nodeId: string): string => join(dataDir, 'nodes', nodeId);
  const pidOf = (nodeId: string): number => {
    const pid = pidIn(nodeDir(nodeId));
    if (pid === null) throw new Error(`${nodeId} has no process yet`);
    return pid;
  };
  let run = await start(dataDir, serveLogs).catch((error: unknown) => {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  });
  const adminToken = readFileSync(join(dataDir, 'admin-token'), 'utf8').trim();
  return {
    target: 'local',
    get url() {
      return run.url;
    },
    adminToken,
    nodes: NODE_PLACES,
    serveLogs,
    deniedStatuses: [401],
    call: (method, path, options) => send(method, run.url + path, options),
    pidOf,
    restarted: async (nodeId, killedPid) => {
      await eventually(`${nodeId} runs again`, NODE_RESTART_MS_MAX, async () => {
        const pid = pidIn(nodeDir(nodeId));
        return pid !== null && pid !== killedPid && isAlive(pid) ? pid : undefined;
      });
    },
    restartAll: async () => {
      const before = NODE_PLACES.map(({ nodeId }) => pidOf(nodeId));
      await pressCtrlC(run);
      run = await start(dataDir, serveLogs);
      return before;
    },
    evidence: () =>
      [
        `-- npm start\n${run.output().replaceAll(adminToken, '<admin token>')}`,
        `-- control-plane.log\n${tailOf(join(dataDir, 'control-plane.log'))}`,
        nodeLogs(join(dataDir, 'nodes')),
      ].join('\n'),
    stop: async () => {
      await pressCtrlC(run);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function start(dataDir: string, serveLogs: string): Promise<Run> {
  const zones = new Set(NODE_PLACES.map(({ zone }) => zone)).size;
  const options = ['--data-dir', dataDir, '--port', '0', '--lease', 'fast'];
  const child = spawn(
    'npm',
    ['start', '--', ...options, '--nodes', String(NODE_PLACES.length), '--zones', String(zones)],
    {
      cwd: PROJECT,
      env: { ...process.env, SHARDKEEPER_SERVE_LOGS: serveLogs },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A process group, as a terminal makes one: Ctrl-C reaches npm, the runner and its nodes alike.
      detached: true,
    },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  }
  // The last resort when this process ends in the middle.
  const killGroup = (): void => signalGroup(child, 'SIGKILL');
  process.on('exit', killGroup);
  child.once('exit', () => process.off('exit', killGroup));
  const run = { child, url: '', output: () => output };
  try {
    const url = await eventually('npm start says that its nodes are ready', START_MS_MAX, async () => {
      if (hasEnded(child)) return null;
      return output.includes('Ready: ') ? /http:\/\/127\.0\.0\.1:\d+/.exec(output)?.[0] : undefined;
    });
    if (url === null) throw new Error('npm start ended');
    return { ...run, url };
  } catch (error) {
    await pressCtrlC(run);
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${output}`, { cause: error });
  }
}

const pressCtrlC = ({ child }: Run): Promise<void> =>
  endProcess(child, {
    signal: () => signalGroup(child, 'SIGINT'),
    kill: () => signalGroup(child, 'SIGKILL'),
  });

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
