import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createLocalRootSigner } from '../shared/adapters/local-root-signer.ts';
import { createHttpNodeClient } from '../shared/adapters/node-http.ts';
import { SqliteStore } from '../shared/store/sqlite-store.ts';
import { jsonLogger, systemClock, systemRandom, systemTimers } from '../shared/runtime/system.ts';
import { createControlPlane } from './control-plane.ts';
import type { ControlPlane } from './control-plane.ts';
import { openDataDirectory } from './data-directory.ts';
import type { DataDirectory } from './data-directory.ts';
import { startFrontDoor } from './front-door-server.ts';
import { keepJoinTokens } from './join-tokens.ts';
import { localEvents } from './local-events.ts';
import { createLocalFeeds } from './local-feeds.ts';
import { planNodes, startNodeProcesses } from './node-processes.ts';
import type { NodeProcesses } from './node-processes.ts';
import type { RunnerOptions } from './options.ts';
import { startSchedules } from './schedules.ts';

/** Everything that `npm start` runs, as one thing that can be stopped. */
export interface Runner {
  readonly url: string;
  readonly adminToken: string;
  readonly adminTokenIsNew: boolean;
  readonly directory: DataDirectory;
  readonly controlPlane: ControlPlane;
  readonly nodes: NodeProcesses;
  readonly resumedOperations: number;
  stop(): Promise<void>;
}

/** A year: the token in the file is replaced when it no longer works. */
const ADMIN_TOKEN_MS = 365 * 86_400_000;
const DEFAULT_REPLICATION_FACTOR = 3;

/** Starts the control plane, its schedules and the data nodes. Throws `StartError` for what the user can mend. */
export async function startRunner(options: RunnerOptions, say: (line: string) => void): Promise<Runner> {
  const directory = openDataDirectory(options.dataDir);
  const undo: (() => Promise<void> | void)[] = [() => directory.release()];
  const stop = async (): Promise<void> => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
  };
  try {
    const logFile = createWriteStream(join(directory.path, 'control-plane.log'), { flags: 'a', mode: 0o600 });
    undo.push(() => new Promise((resolve) => logFile.end(resolve)));
    const log = jsonLogger((line) => logFile.write(`${line}\n`));
    const nodeClient = createHttpNodeClient();
    undo.push(() => nodeClient.close());
    const feeds = createLocalFeeds();
    const events = localEvents(log);
    const store = new SqliteStore({
      path: directory.metaFile,
      random: systemRandom,
      timers: systemTimers,
      onCommit: (writes) => {
        events(writes);
        feeds.onCommit(writes);
      },
    });
    undo.push(() => store.close());
    undo.push(() => feeds.settled());
    const controlPlane = createControlPlane({
      store,
      nodes: nodeClient,
      root: createLocalRootSigner(directory.rootKeys()),
      clock: systemClock,
      timers: systemTimers,
      random: systemRandom,
      log,
      settings: {
        leaseProfile: options.lease,
        pushToNodes: true,
        defaultReplicationFactor: DEFAULT_REPLICATION_FACTOR,
      },
    });
    undo.push(() => controlPlane.operations.stop());
    await feeds.start(controlPlane.deps);
    const admin = await adminTokenOf(controlPlane, directory);
    const server = await startFrontDoor(controlPlane, options.port, log);
    undo.push(() => server.close());
    const schedules = startSchedules(controlPlane, systemTimers, log);
    undo.push(() => schedules.stop());
    const resumedOperations = await controlPlane.resumeOperations();
    const joinTokens = await keepJoinTokens(controlPlane, admin.token, directory, systemTimers, log);
    undo.push(() => joinTokens.stop());
    const nodes = await startNodeProcesses({
      plans: planNodes(options.nodes, options.zones, options.relays),
      controlPlaneUrl: server.url,
      nodeDir: (nodeId) => directory.nodeDir(nodeId),
      joinToken: () => joinTokens.issue(),
      deadNodes: options.deadNodes,
      timers: systemTimers,
      log,
      say,
    });
    undo.push(() => nodes.stop());
    return {
      url: server.url,
      adminToken: admin.token,
      adminTokenIsNew: admin.isNew,
      directory,
      controlPlane,
      nodes,
      resumedOperations,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The token of an earlier start if it still works, else a new one. */
async function adminTokenOf(
  controlPlane: ControlPlane,
  directory: DataDirectory,
): Promise<{ token: string; isNew: boolean }> {
  const kept = directory.readAdminToken();
  if (kept !== null && (await controlPlane.deps.tokens.verify(kept)).ok) return { token: kept, isNew: false };
  const token = await controlPlane.issueAdminToken('admin', ADMIN_TOKEN_MS);
  directory.writeSecret(directory.adminTokenFile, `${token}\n`);
  return { token, isNew: true };
}
