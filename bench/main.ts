import { parseArgs } from 'node:util';
import { runColdstart } from './coldstart.ts';
import { runFailover } from './failover.ts';
import { runMove } from './move.ts';
import { runPlan } from './plan.ts';
import { runSplit } from './split.ts';
import { runRebalanceLive } from './rebalance-live.ts';
import { runRouteCache } from './route-cache.ts';
import { commit } from './commit.ts';

/**
 * `npm run bench -- NAME [options] [--json]`. With `--json` the last line of standard output is one JSON object: name, commit,
 * pass and the figures. Exit status 1 only when a run is invalid.
 */
const USAGE = `Usage: npm run bench -- NAME [options] [--json]

  failover        kills and freezes leaders' nodes under load
  coldstart       sizes of the Lambda functions' bundles, and how long they take to load
  route-cache     look-ups in the client's route cache
  split           splits a large shard again and again under load
  move            moves shards and their leaders, and one of 512 MB, under load
  rebalance-live  rebalances a cluster that grew, under load
  plan            plans a rebalance of 10,000 nodes and 1,000,000 shards

  --json          the figures as one JSON object in the last line

Options of failover:
  --profile NAME  lease profile (default: fast)
  --kills N       kills that count (default: 20)
  --control N     stops in the control run without self-fencing, which must show double leaders (default: 3; 0: none)

Options of split and move:
  --megabytes N   size of the large shard (default: 512)

Options of failover, split, move and rebalance-live:
  --keep          keep the data directory, for a look at the nodes' logs`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      profile: { type: 'string', default: 'fast' },
      kills: { type: 'string', default: '20' },
      control: { type: 'string', default: '3' },
      megabytes: { type: 'string', default: '512' },
      json: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const [name] = positionals;
  const { profile } = values;
  const say = (line: string): void => void (values.json ? process.stderr : process.stdout).write(`${line}\n`);
  const failover = (): Promise<object> | null => {
    if (profile !== 'fast' && profile !== 'standard') return null;
    const { kills, control, keep } = values;
    return runFailover({ profile, kills: count(kills), controlStops: count(control), keep }, say);
  };
  const benchmarks: Readonly<Record<string, () => Promise<object> | null>> = {
    failover,
    coldstart: () => runColdstart(say),
    'route-cache': () => runRouteCache(say),
    split: () => runSplit({ megabytes: count(values.megabytes), keep: values.keep }, say),
    move: () => runMove({ megabytes: count(values.megabytes), keep: values.keep }, say),
    'rebalance-live': () => runRebalanceLive({ keep: values.keep }, say),
    plan: () => runPlan(say),
  };
  const run = values.help || name === undefined || !Object.hasOwn(benchmarks, name) ? undefined : benchmarks[name];
  const figures = (await run?.()) ?? null;
  if (figures === null) {
    process.stdout.write(`${USAGE}\n`);
    process.exitCode = values.help ? 0 : 1;
    return;
  }
  const report = { name, commit: commit(), ...figures };
  process.stdout.write(`${values.json ? JSON.stringify(report) : JSON.stringify(report, null, 2)}\n`);
}

function count(text: string): number {
  if (!/^[0-9]{1,4}$/.test(text)) throw new Error(`"${text}" is no whole number from 0 to 9999`);
  return Number(text);
}

main().catch((error: unknown) => {
  process.stderr.write(
    `the run is invalid: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exitCode = 1;
});
