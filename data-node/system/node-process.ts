import { join } from 'node:path';
import { Agent } from '../agent/agent.ts';
import type { AgentEnd } from '../agent/agent.ts';
import { discoveringTransport } from '../agent/discovery.ts';
import { openDataDirectory } from '../agent/data-directory.ts';
import { openEngine } from '../engine/engine.ts';
import type { Engine } from '../engine/engine.ts';
import { asStorageError } from '../engine/storage-error.ts';
import type { Environment } from '../ports.ts';
import { rehearseForks } from '../replication/rehearsal.ts';
import { createShardHost } from '../replication/shard-host.ts';
import { handle } from '../server/dispatch.ts';
import type { NodeRequest, NodeResponse } from '../server/dispatch.ts';
import { listen } from '../server/http-server.ts';
import type { NodeServer } from '../server/http-server.ts';
import { systemDisk } from './disk.ts';
import { createHttpClient } from './http-client.ts';
import { openNodeFiles } from './node-files.ts';
import type { NodeFiles } from './node-files.ts';
import type { NodeOptions } from './options.ts';
import { openServeLog } from './serve-log.ts';

/** A data node as an operating-system process: opens the directory, listens, runs the agent until it ends. */

/** A mistake or fault that the operator can mend: shown without a stack. */
export class StartRefused extends Error {
  override readonly name = 'StartRefused';
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

export const EXIT_CODES = { FAILED: 1, USAGE: 2, DIRECTORY: 3, PORT: 4, CONTROL_PLANE: 5 } as const;

export interface NodeProcessContext {
  readonly options: NodeOptions;
  readonly environment: Environment;
  readonly version: string;
  /** Aborts when the process is asked to stop. */
  readonly stopping: AbortSignal;
  /** Called once, when the node listens. */
  readonly listening: (port: number) => void;
}

/** Runs until stopped. Throws `StartRefused`, or what the node failed with. */
export async function runNode(context: NodeProcessContext): Promise<void> {
  const files = openNodeFiles(context.options.dataDir);
  if (!files.ok) throw new StartRefused(EXIT_CODES.DIRECTORY, files.error.message);
  await rehearseForks(context.environment);
  // The server outlives a composition: after a quarantine the node goes on under the same address.
  let dispatch: ((request: NodeRequest) => Promise<NodeResponse>) | null = null;
  const server = await listenSomewhere(context.options, files.value, (request) =>
    dispatch === null ? Promise.resolve(STARTING) : dispatch(request),
  );
  try {
    context.listening(server.port);
    for (;;) {
      const end = await runComposition(context, files.value, server.port, (handler) => {
        dispatch = handler;
      });
      dispatch = null;
      if (end.kind === 'STOPPED') return;
      if (end.kind === 'REFUSED') {
        throw new StartRefused(
          EXIT_CODES.CONTROL_PLANE,
          `the control plane refuses this node: ${end.message} [${end.code}]`,
        );
      }
      const aside = files.value.quarantine(context.environment.clock.wallMs());
      context.environment.log.error('directory_rolled_back', { moved_to: aside });
    }
  } finally {
    await server.close();
    files.value.release();
  }
}

const STARTING: NodeResponse = {
  status: 503,
  body: { code: 'NO_LEASE', message: 'the node is starting', route: null, retry_after_ms: 200 },
};

/** One engine, one shard host, one agent; ends when the node stops or its directory must be put aside. */
async function runComposition(
  context: NodeProcessContext,
  files: NodeFiles,
  port: number,
  serve: (handler: (request: NodeRequest) => Promise<NodeResponse>) => void,
): Promise<AgentEnd> {
  const { options, environment, version } = context;
  const engine = openEngineIn(files.engineFolder);
  const serveLog = options.serveLog === null ? null : openServeLog(options.serveLog, options.nodeId);
  const http = createHttpClient();
  try {
    const directory = openDataDirectory({
      nodeId: options.nodeId,
      meta: engine,
      keys: files.keys,
      random: environment.random,
    });
    if (!directory.ok) throw new StartRefused(EXIT_CODES.DIRECTORY, directory.error.message);
    const agent: Agent = new Agent({
      environment,
      controlPlane: discoveringTransport({
        baseUrl: options.controlPlaneUrl,
        transportTo: http.controlPlane,
        clock: environment.clock,
        log: environment.log,
      }),
      directory: directory.value,
      address: {
        nodeId: options.nodeId,
        host: options.advertisedHost ?? options.host,
        port: options.advertisedPort ?? port,
        zone: options.zone,
        labels: options.labels,
        capacityWeight: options.capacityWeight,
        version,
      },
      joinToken: options.joinToken,
      relaying: {
        forOthers: options.relayForOthers,
        through:
          options.relayThrough === null
            ? null
            : { nodeId: options.relayThrough, peers: http.peers(() => agent.credential()) },
      },
    });
    const host = createShardHost({
      env: environment,
      engine,
      lease: agent.lease,
      controlPlane: agent.controlPlane,
      peers: http.peers(() => agent.credential()),
      disk: systemDisk(options.dataDir, options.diskCapacityBytes),
      unsafeWithoutSelfFencing: !options.selfFencing,
      ...(serveLog === null ? {} : { observer: { onServe: (event) => serveLog.note(event) } }),
    });
    agent.attach(host);
    serve((request) => handle({ agent, host, log: environment.log, nodeId: options.nodeId, version }, request));
    return await runAgent(agent, context.stopping);
  } finally {
    http.close();
    serveLog?.close();
    engine.close();
  }
}

async function runAgent(agent: Agent, stopping: AbortSignal): Promise<AgentEnd> {
  let stopped: Promise<void> = Promise.resolve();
  const stop = (): void => {
    stopped = agent.stop();
  };
  const ended = agent.run();
  if (stopping.aborted) stop();
  else stopping.addEventListener('abort', stop, { once: true });
  const end = await ended;
  stopping.removeEventListener('abort', stop);
  if (!stopping.aborted) stop(); // the shard host closes, whatever the end was
  await stopped;
  return end;
}

function openEngineIn(folder: string): Engine {
  try {
    return openEngine({ path: join(folder, 'node.sqlite') });
  } catch (error) {
    const failure = asStorageError(error);
    if (failure === null) throw error;
    throw new StartRefused(
      EXIT_CODES.DIRECTORY,
      `the data directory can't be served: ${failure.message} [${failure.code}]; ` +
        'move it away and start with an empty one, the replicas are copied anew from the other nodes',
    );
  }
}

/** The port asked for; of a node that takes any, the one used last if it is free, since others may know the node by it. */
async function listenSomewhere(
  options: NodeOptions,
  files: NodeFiles,
  handler: (request: NodeRequest) => Promise<NodeResponse>,
): Promise<NodeServer> {
  const wanted = options.port === 0 ? [files.lastPort(), 0] : [options.port];
  let refusal = 'no port';
  for (const port of wanted) {
    if (port === null) continue;
    const server = await listen(handler, { host: options.host, port });
    if (server.ok) {
      files.rememberPort(server.value.port);
      return server.value;
    }
    refusal = server.error.message;
  }
  files.release();
  throw new StartRefused(EXIT_CODES.PORT, `${refusal}; choose another with --port, or stop what uses it`);
}
