import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { Presets, SingleBar } from 'cli-progress';
import { ControlPlane, connect, systemEnvironment } from '../client/index.ts';
import type { BatchRow, ShardkeeperClient } from '../client/index.ts';
import { cityRows, quantiles, spreadBatches } from './demo/city-rows.ts';
import type { CityRow } from './demo/city-rows.ts';
import { findOrStartCluster, waitForNodes } from './demo/cluster.ts';
import type { DemoCluster } from './demo/cluster.ts';
import { createTable, deleteTable, leaders, tableExists } from './demo/table.ts';

/**
 * `npm run demo`: loads 135,233 real cities, kills the process of a leader's node during the load, and reads every
 * acknowledged row back through the client. Exit status 0 only if all rows were acknowledged and found as written.
 */
const SHARDS = 24;
const BATCH_ROWS = 250;
const BATCHES_IN_FLIGHT = 8;
/** For one batch, failover included: a `standard` lease moves in 12 s, the rest is a busy machine. */
const WRITE_DEADLINE_MS = 60_000;
/** Attempts of a batch whose rows were not all acknowledged. Puts of the same values: repeating them is harmless. */
const ATTEMPTS_MAX = 3;
/** Share of the load after which the leader is killed. */
const KILL_AT = 0.4;
const FAILOVER_MS_MAX = 60_000;
const SCANS_IN_FLIGHT = 4;

const USAGE = `Usage: npm run demo [-- --keep] [--table NAME] [--no-kill]

  --keep        leave a table of that name alone and load into a new one
  --table NAME  the table (default: cities)
  --no-kill     kill no node (for a cluster on other machines)`;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      keep: { type: 'boolean', default: false },
      table: { type: 'string', default: 'cities' },
      'no-kill': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    say(USAGE);
    return true;
  }
  const rows = cityRows();
  const probe = connect({ url: 'http://127.0.0.1', token: '' });
  const cluster = await findOrStartCluster(probe.network, say);
  const { client, network, close } = connect({ ...cluster, deadlineMs: WRITE_DEADLINE_MS });
  try {
    const controlPlane = new ControlPlane({ ...cluster, network, environment: systemEnvironment });
    say(`${await waitForNodes(controlPlane)} nodes are healthy.`);
    const table = await freshTable(controlPlane, values.table, values.keep, rows);
    await client.prefetch(table);
    const kill = values['no-kill'] ? null : () => killLeader(cluster, controlPlane, table);
    const acknowledged = await load(client, table, rows, kill);
    say(`${acknowledged.size} of ${rows.length} rows acknowledged. Reading them back ...`);
    const verified = await verify(client, table, rows, acknowledged);
    say(`${verified} of ${rows.length} rows verified`);
    return verified === rows.length;
  } finally {
    close();
    probe.close();
    await cluster.stop();
  }
}

async function freshTable(
  controlPlane: ControlPlane,
  name: string,
  keep: boolean,
  rows: readonly CityRow[],
): Promise<string> {
  let table = name;
  if (await tableExists(controlPlane, table)) {
    if (keep) table = `${name}-${randomBytes(4).toString('hex')}`;
    else {
      say(`Dropping the table ${table} of an earlier run ...`);
      await deleteTable(controlPlane, table);
    }
  }
  say(`Creating the table ${table} with ${SHARDS} shards ...`);
  await createTable(controlPlane, table, quantiles(rows, SHARDS));
  return table;
}

/** Writes all rows and answers the keys that were acknowledged. `kill` runs once, during the load. */
async function load(
  client: ShardkeeperClient,
  table: string,
  rows: readonly CityRow[],
  kill: (() => Promise<void>) | null,
): Promise<ReadonlySet<string>> {
  const bar = newBar('loading ');
  bar.start(rows.length, 0);
  const acknowledged = new Set<string>();
  const problems: string[] = [];
  const queue = [...spreadBatches(rows, BATCH_ROWS, SHARDS)].reverse();
  const killing: Promise<unknown>[] = [];
  const worker = async (): Promise<void> => {
    for (let batch = queue.pop(); batch !== undefined; batch = queue.pop()) {
      problems.push(...(await writeAll(client, table, batch, acknowledged)));
      bar.update(acknowledged.size);
      if (kill !== null && killing.length === 0 && acknowledged.size >= rows.length * KILL_AT) {
        // Its failure is thrown when the load is over, not in the middle of it.
        killing.push(kill().catch((error: unknown) => error));
      }
    }
  };
  await Promise.all(Array.from({ length: BATCHES_IN_FLIGHT }, worker));
  const [killFailure] = await Promise.all(killing);
  bar.stop();
  if (killFailure instanceof Error) throw killFailure;
  for (const problem of problems.slice(0, 5)) say(`not acknowledged: ${problem}`);
  return acknowledged;
}

/** Writes one batch, repeating what was not acknowledged. Answers the problems that remained. */
async function writeAll(
  client: ShardkeeperClient,
  table: string,
  batch: readonly BatchRow[],
  acknowledged: Set<string>,
): Promise<readonly string[]> {
  let left = batch;
  let problems: string[] = [];
  for (let attempt = 0; attempt < ATTEMPTS_MAX && left.length > 0; attempt++) {
    const result = await client.batch(table, left);
    for (const row of result.acknowledged) acknowledged.add(row.key);
    left = result.failures.flatMap((failure) => failure.rows);
    problems = result.failures.map(({ rows, error }) => `${rows.length} rows: ${error.message}`);
  }
  return problems;
}

/** Kills the process of the node that leads most shards, and waits until others lead them. */
async function killLeader(cluster: DemoCluster, controlPlane: ControlPlane, table: string): Promise<void> {
  const [victim] = [...(await leaders(controlPlane, table))].sort((left, right) => right[1] - left[1]);
  if (victim === undefined) throw new Error(`the table ${table} has no leaders`);
  const [nodeId, shards] = victim;
  const pid = cluster.pidOf(nodeId);
  if (pid === null) {
    throw new Error(
      `the process of ${nodeId} is not known here: set SHARDKEEPER_DATA_DIR to the runner's directory, or use --no-kill`,
    );
  }
  const killedAtMs = performance.now();
  process.kill(pid, 'SIGKILL');
  say(`\nKilled ${nodeId} (pid ${pid}), leader of ${shards} shards, with SIGKILL.`);
  while (performance.now() - killedAtMs < FAILOVER_MS_MAX) {
    const present = await leaders(controlPlane, table).catch(() => null);
    if (present !== null && !present.has(nodeId)) {
      say(`\nAll ${shards} shards have new leaders after ${((performance.now() - killedAtMs) / 1000).toFixed(1)} s.`);
      return;
    }
    await sleep(100);
  }
  throw new Error(`${nodeId} still leads shards ${FAILOVER_MS_MAX / 1000} s after it was killed`);
}

/** Reads the table back, shard by shard, and counts the rows that are there exactly as they were acknowledged. */
async function verify(
  client: ShardkeeperClient,
  table: string,
  rows: readonly CityRow[],
  acknowledged: ReadonlySet<string>,
): Promise<number> {
  const bar = newBar('checking');
  bar.start(rows.length, 0);
  const expected = new Map(rows.map(({ key, value }) => [key, value]));
  const starts = [undefined, ...quantiles(rows, SHARDS)];
  const ranges = starts.map((startKey, index) => ({ startKey, endKey: starts[index + 1] }));
  const found = new Set<string>();
  const worker = async (): Promise<void> => {
    for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
      const bounds = {
        ...(range.startKey === undefined ? {} : { startKey: range.startKey }),
        ...(range.endKey === undefined ? {} : { endKey: range.endKey }),
      };
      for await (const { key, value } of client.scan(table, bounds)) {
        if (acknowledged.has(key) && isDeepStrictEqual(value, expected.get(key))) found.add(key);
      }
      bar.update(found.size);
    }
  };
  await Promise.all(Array.from({ length: SCANS_IN_FLIGHT }, worker));
  bar.stop();
  const lost = [...acknowledged].filter((key) => !found.has(key));
  for (const key of lost.slice(0, 5)) say(`acknowledged, but not there as written: ${key}`);
  return found.size;
}

function newBar(label: string): SingleBar {
  return new SingleBar(
    {
      format: `${label} [{bar}] {percentage}% | {value}/{total} rows | {eta_formatted} left`,
      noTTYOutput: true,
      notTTYSchedule: 2_000,
    },
    Presets.shades_classic,
  );
}

process.exit(
  await main().then(
    (passed) => (passed ? 0 : 1),
    (error: unknown) => {
      process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
      return 1;
    },
  ),
);
