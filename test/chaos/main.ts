import { parseArgs } from 'node:util';
import { runChaos } from './run.ts';
import { commit } from '../../bench/commit.ts';

/** `npm run chaos -- --minutes M [--seed S] [--without-self-fencing] [--keep] [--json]`. Exit status 1 if something was violated, 2 if the run is invalid. */
const USAGE = `Usage: npm run chaos -- [options]

  --minutes M  minutes under faults (default: 3)
  --seed S     chooses faults, targets and what clients do (default: 1)
  --without-self-fencing
               a control run: nodes serve on without a lease, which must show as double leaders or broken histories
  --keep       keep the folder with logs and histories; it is kept anyway if something was violated
  --json       the report as one JSON object in the last line`;

/** What ends a run by signal has this long to clean up. */
const CLEAN_UP_MS_MAX = 30_000;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '3' },
      seed: { type: 'string', default: '1' },
      'without-self-fencing': { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void process.stdout.write(`${USAGE}\n`);
  const minutes = Number(values.minutes);
  const seed = Number(values.seed);
  if (!(minutes > 0 && minutes <= 1_440)) throw new Error('--minutes must be a number above 0, at most 1440');
  if (!Number.isSafeInteger(seed)) throw new Error('--seed must be a whole number');
  const say = (line: string): void => void (values.json ? process.stderr : process.stdout).write(`${line}\n`);
  const stopping = new AbortController();
  let killNow = (): void => undefined;
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      say(`${signal}: ending what was started`);
      stopping.abort(new Error(`ended by ${signal}`));
      setTimeout(() => process.exit(2), CLEAN_UP_MS_MAX).unref();
    });
  // The last resort when this process ends in the middle: no process and no mount outlives it.
  process.on('exit', () => killNow());
  const options = { minutes, seed, selfFencing: !values['without-self-fencing'], keep: values.keep };
  const report = await runChaos(options, say, stopping.signal, (kill) => {
    killNow = kill;
  });
  const named = { name: 'chaos', commit: commit(), ...report };
  process.stdout.write(`${values.json ? JSON.stringify(named) : JSON.stringify(named, null, 2)}\n`);
  process.exitCode = report.pass ? 0 : 1;
}

main().catch((error: unknown) => {
  process.stderr.write(
    `the run is invalid: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exitCode = 2;
});
