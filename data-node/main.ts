import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { systemEnvironment } from './system/environment.ts';
import { EXIT_CODES, StartRefused, runNode } from './system/node-process.ts';
import { USAGE, readOptions } from './system/options.ts';

/** A data node as a process of its own: `node data-node/main.ts --help`. */

const NODE_MAJOR_MIN = 24;

async function main(): Promise<number> {
  if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR_MIN) {
    return refuse(
      EXIT_CODES.USAGE,
      `a data node needs Node ${NODE_MAJOR_MIN} or newer; this is ${process.versions.node}`,
    );
  }
  const options = readOptions(process.argv.slice(2), process.env);
  if (!options.ok) return refuse(EXIT_CODES.USAGE, `${options.error}\n\n${USAGE}`);
  if (options.value === 'HELP') {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  // Code that did not run for some garbage collections is thrown away, and compiled anew while a shard is locked: what the rehearsal of forks
  // compiled would be gone a minute later. All of the node's code is a few megabytes.
  setFlagsFromString('--no-flush-bytecode');
  const { nodeId, host, exitWithParent } = options.value;
  const environment = systemEnvironment(nodeId);
  const stopping = stopSignal(exitWithParent);
  try {
    await runNode({
      options: options.value,
      environment,
      version: versionOf(),
      stopping,
      listening: (port) => {
        process.stdout.write(
          `${JSON.stringify({ event: 'listening', node_id: nodeId, host, port, pid: process.pid })}\n`,
        );
      },
    });
    return 0;
  } catch (error) {
    if (error instanceof StartRefused) return refuse(error.exitCode, error.message);
    environment.log.error('node_failed', {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    return EXIT_CODES.FAILED;
  }
}

/** Aborts at SIGTERM, SIGINT and, if wanted, when the parent is gone. */
function stopSignal(exitWithParent: boolean): AbortSignal {
  const stopper = new AbortController();
  const stop = (): void => {
    stopper.abort();
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  if (exitWithParent) {
    process.on('disconnect', stop);
    process.stdin.on('end', stop);
    process.stdin.on('close', stop);
    process.stdin.on('error', stop);
    process.stdin.resume();
  }
  return stopper.signal;
}

function versionOf(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : 'unknown';
}

function refuse(exitCode: number, message: string): number {
  process.stderr.write(`data node: ${message}\n`);
  return exitCode;
}

// Left by `exit`, since idle connections and timers of the host would hold the process.
process.exit(await main());
