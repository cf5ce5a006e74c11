import { LIST_LIMIT_MAX } from '../shared/contracts/primitives.ts';
import { readOptions, StartError, USAGE } from './options.ts';
import type { RunnerOptions } from './options.ts';
import { startRunner } from './runner.ts';
import type { Runner } from './runner.ts';

/** `npm start`: the whole cluster on one machine (DESIGN section 9). */

/** Milliseconds between two looks at whether all nodes have joined, and how long that may take before it is said. */
const READY_POLL_MS = 250;
const READY_WAIT_MS = 60_000;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2), process.env);
  if (options === null) return say(USAGE);
  const runner = await startRunner(options, say);
  stopOnSignals(runner);
  banner(runner, options);
  if (options.nodes > 0) await announceReadiness(runner, options.nodes);
}

function stopOnSignals(runner: Runner): void {
  let stops = 0;
  const onSignal = (): void => {
    stops++;
    if (stops > 1) {
      runner.nodes.kill();
      process.exit(130);
    }
    say(
      '\nStopping: nodes give up their leases, operations under way resume at the next start. (Ctrl-C again to force.)',
    );
    runner.stop().then(
      () => process.exit(0),
      (error: unknown) => fail(error),
    );
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  // A last resort when this process dies of a bug: no node outlives its runner.
  process.on('exit', () => runner.nodes.kill());
}

function banner(runner: Runner, options: RunnerOptions): void {
  const { directory, url } = runner;
  say(`
  Shardkeeper   ${url}   (status page in the browser)

  data          ${directory.path}
  admin token   ${directory.adminTokenFile}${runner.adminTokenIsNew ? ' (new, shown this once):' : ''}`);
  if (runner.adminTokenIsNew) say(`\n${runner.adminToken}\n`);
  if (runner.resumedOperations > 0) say(`  resumed       ${runner.resumedOperations} unfinished operations`);
  const nodes =
    options.nodes === 0
      ? 'none (--no-nodes)'
      : `${options.nodes} data nodes in ${Math.min(options.zones, options.nodes)} zones, lease profile ${options.lease}`;
  say(`  nodes         ${nodes}

  In another terminal:
    export SHARDKEEPER_URL=${url} SHARDKEEPER_TOKEN="$(cat ${directory.adminTokenFile})"
    npx shardctl nodes list
    npx shardctl --help

  Ctrl-C stops everything; the next start goes on from here.
`);
}

/** Ready: as many nodes as planned are healthy and have renewed since this start. A restart finds leases of the run before. */
async function announceReadiness(runner: Runner, expected: number): Promise<void> {
  const startedMs = performance.now();
  const startedWallMs = Date.now();
  let saidLate = false;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
    const answer = await runner.controlPlane.handle({
      method: 'GET',
      path: '/cluster/nodes',
      query: `limit=${LIST_LIMIT_MAX}`,
      headers: [['Authorization', `Bearer ${runner.adminToken}`]],
    });
    if (answer.statusCode === 200) {
      const { nodes } = JSON.parse(answer.body) as { nodes: { status: string; last_heartbeat: string }[] };
      const healthy = nodes.filter(
        (node) => node.status === 'HEALTHY' && Date.parse(node.last_heartbeat) >= startedWallMs,
      ).length;
      if (healthy >= expected) {
        say(`Ready: ${healthy} healthy nodes after ${((performance.now() - startedMs) / 1000).toFixed(1)} s.`);
        return;
      }
    }
    if (!saidLate && performance.now() - startedMs > READY_WAIT_MS) {
      saidLate = true;
      say(
        `Some nodes have not joined yet; look at ${runner.directory.path}/nodes/*/log and ${runner.directory.path}/control-plane.log.`,
      );
    }
  }
}

function fail(error: unknown): never {
  if (error instanceof StartError) process.stderr.write(`${error.message}\n`);
  else process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(1);
}

main().catch(fail);
