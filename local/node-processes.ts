import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger, Timers } from '../shared/ports.ts';

/** Data nodes as processes of their own, so that `kill -9` is a real test. */

/** A node that died is started again after this long: its shards have new leaders by then (lease `fast`), so a kill can be watched. */
export const RESTART_AFTER_MS = 10_000;
/** A node that lived shorter than this died at its start: the pause doubles, up to the maximum. */
const SHORT_LIFE_MS = 10_000;
const RESTART_AFTER_MS_MAX = 120_000;
/** A node that got SIGTERM gives up its lease and closes its engine within this time; then it is killed. */
const STOP_TIMEOUT_MS = 8_000;

/** Exit codes of a data node that a restart does not mend (data-node/main.ts --help). */
const EXIT_IN_WORDS: Readonly<Record<number, string>> = {
  2: 'wrong usage',
  3: 'its data directory was refused',
  5: 'the control plane refused it',
};

const MAIN = fileURLToPath(new URL('../data-node/main.ts', import.meta.url));
const FIRST_NODE_NUMBER = 101;

export interface NodePlan {
  readonly nodeId: string;
  readonly zone: string;
  /** What the node is in relaying heartbeats: nothing, a relay, or a node behind the one named. */
  readonly relaying: 'none' | 'relay' | { readonly through: string };
}

/**
 * `node-101`, `node-102` ... dealt out over zones `a`, `b` ... The first `relays` of them relay the heartbeats of the others, who are
 * dealt out over them.
 */
export function planNodes(nodes: number, zones: number, relays = 0): readonly NodePlan[] {
  const nodeId = (index: number): string => `node-${FIRST_NODE_NUMBER + index}`;
  return Array.from({ length: nodes }, (_, index) => ({
    nodeId: nodeId(index),
    zone: String.fromCharCode('a'.charCodeAt(0) + (index % zones)),
    relaying: relays === 0 ? 'none' : index < relays ? 'relay' : { through: nodeId(index % relays) },
  }));
}

function relayArguments({ relaying }: NodePlan): readonly string[] {
  if (relaying === 'none') return [];
  return relaying === 'relay' ? ['--relay'] : ['--relay-through', relaying.through];
}

export interface NodeProcessOptions {
  readonly plans: readonly NodePlan[];
  readonly controlPlaneUrl: string;
  readonly nodeDir: (nodeId: string) => string;
  readonly joinToken: () => Promise<string>;
  readonly deadNodes: 'restart' | 'leave';
  readonly timers: Timers;
  readonly log: Logger;
  /** Tells the person at the terminal. */
  readonly say: (line: string) => void;
}

export interface NodeProcesses {
  /** Process ids of nodes that run now, by node id. */
  pids(): ReadonlyMap<string, number>;
  /** SIGTERM to all, SIGKILL to those that take too long. */
  stop(): Promise<void>;
  /** SIGKILL to all, at once. */
  kill(): void;
}

interface NodeProcess {
  readonly plan: NodePlan;
  child: ChildProcess | null;
  exited: Promise<void>;
  pauseMs: number;
}

export async function startNodeProcesses(options: NodeProcessOptions): Promise<NodeProcesses> {
  const stopping = new AbortController();
  const running: NodeProcess[] = [];
  for (const plan of options.plans) {
    const node: NodeProcess = {
      plan,
      child: null,
      exited: Promise.resolve(),
      pauseMs: RESTART_AFTER_MS,
    };
    running.push(node);
    await launch(node, options, stopping.signal);
  }
  const signalAll = (signal: NodeJS.Signals): void => {
    for (const { child } of running) child?.kill(signal);
  };
  return {
    pids: () =>
      new Map(running.flatMap(({ plan, child }) => (child?.pid === undefined ? [] : [[plan.nodeId, child.pid]]))),
    stop: async () => {
      stopping.abort();
      signalAll('SIGTERM');
      const killer = options.timers.after(STOP_TIMEOUT_MS, () => signalAll('SIGKILL'));
      await Promise.all(running.map((node) => node.exited));
      killer.cancel();
    },
    kill: () => {
      stopping.abort();
      signalAll('SIGKILL');
    },
  };
}

/** The command line by which a node runs, also by hand (README). */
export const nodeArguments = (plan: NodePlan, dataDir: string, controlPlaneUrl: string): string[] => [
  MAIN,
  ...['--node-id', plan.nodeId, '--zone', plan.zone],
  ...['--data-dir', dataDir, '--control-plane', controlPlaneUrl],
  ...relayArguments(plan),
];

/** What a benchmark asks of the nodes by way of the environment: logs of every answer given as leader, the control run. */
function benchmarkArguments(nodeId: string, environment: NodeJS.ProcessEnv): string[] {
  const folder = environment['SHARDKEEPER_SERVE_LOGS'];
  return [
    ...(folder ? ['--serve-log', join(folder, `${nodeId}.jsonl`)] : []),
    ...(environment['SHARDKEEPER_UNSAFE_WITHOUT_SELF_FENCING'] === '1' ? ['--without-self-fencing'] : []),
  ];
}

async function launch(node: NodeProcess, options: NodeProcessOptions, stopping: AbortSignal): Promise<void> {
  const { plan } = node;
  const dir = options.nodeDir(plan.nodeId);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const joinToken = await options.joinToken();
  if (stopping.aborted) return;
  const startedMs = performance.now();
  const args = [
    ...nodeArguments(plan, dir, options.controlPlaneUrl),
    '--exit-with-parent',
    ...benchmarkArguments(plan.nodeId, process.env),
  ];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, SHARDKEEPER_JOIN_TOKEN: joinToken },
    // The pipe on standard input ends with this process, whatever ends it: no node outlives its runner.
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const logFile = createWriteStream(join(dir, 'log'), { flags: 'a', mode: 0o600 });
  logFile.on('error', (error) => options.log.warn('node-log-lost', { node: plan.nodeId, error }));
  child.stdout.pipe(logFile, { end: false });
  child.stderr.pipe(logFile, { end: false });
  node.child = child;
  node.exited = new Promise((resolve) => {
    const ended = (how: string): void => {
      if (node.child !== child) return;
      node.child = null;
      logFile.end();
      resolve();
      if (!stopping.aborted) mourn(node, how, performance.now() - startedMs, options, stopping);
    };
    child.once('error', (error) => ended(error.message));
    child.once('close', (code, signal) => ended(signal ?? EXIT_IN_WORDS[code ?? 0] ?? `exit status ${code ?? 0}`));
  });
}

/** A node died: says so, and starts it again after a pause if that is wanted. */
function mourn(
  node: NodeProcess,
  how: string,
  livedMs: number,
  options: NodeProcessOptions,
  stopping: AbortSignal,
): void {
  const { plan } = node;
  options.log.warn('node-process-died', { node: plan.nodeId, how, lived_ms: Math.round(livedMs) });
  if (options.deadNodes === 'leave') {
    options.say(`${plan.nodeId} died (${how}) and is left dead (--no-restart).`);
    return;
  }
  node.pauseMs = livedMs < SHORT_LIFE_MS ? Math.min(node.pauseMs * 2, RESTART_AFTER_MS_MAX) : RESTART_AFTER_MS;
  const seconds = Math.round(node.pauseMs / 1000);
  options.say(
    `${plan.nodeId} died (${how}); it is started again in ${seconds} s. Log: ${join(options.nodeDir(plan.nodeId), 'log')}`,
  );
  const restart = async (): Promise<void> => {
    await options.timers.sleep(node.pauseMs, stopping);
    if (stopping.aborted) return;
    try {
      await launch(node, options, stopping);
    } catch (error) {
      mourn(node, String(error), 0, options, stopping);
    }
  };
  void restart();
}
