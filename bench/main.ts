import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { runFailover } from './failover.ts';

/**
 * `npm run bench -- NAME [options] [--json]`. With `--json` the last line of standard output is one JSON object: name, commit,
 * pass and the figures. Exit status 1 only when a run is invalid.
 */
const USAGE = `Usage: npm run bench -- failover [--profile fast|standard] [--kills N] [--control N] [--json]

  --profile NAME  lease profile (default: fast)
  --kills N       kills that count (default: 20)
  --control N     stops in the control run without self-fencing, which must show double leaders (default: 3; 0: none)
  --json          the figures as one JSON object in the last line
  --keep          keep the data directory, for a look at the nodes' logs`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      profile: { type: 'string', default: 'fast' },
      kills: { type: 'string', default: '20' },
      control: { type: 'string', default: '3' },
      json: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const [name] = positionals;
  const { profile } = values;
  if (values.help || name !== 'failover' || (profile !== 'fast' && profile !== 'standard')) {
    process.stdout.write(`${USAGE}\n`);
    process.exitCode = values.help ? 0 : 1;
    return;
  }
  const say = (line: string): void => void (values.json ? process.stderr : process.stdout).write(`${line}\n`);
  const figures = await runFailover(
    { profile, kills: count(values.kills), controlStops: count(values.control), keep: values.keep },
    say,
  );
  const report = { name, commit: commit(), ...figures };
  process.stdout.write(`${values.json ? JSON.stringify(report) : JSON.stringify(report, null, 2)}\n`);
}

function count(text: string): number {
  if (!/^[0-9]{1,4}$/.test(text)) throw new Error(`"${text}" is no whole number from 0 to 9999`);
  return Number(text);
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

main().catch((error: unknown) => {
  process.stderr.write(
    `the run is invalid: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exitCode = 1;
});
