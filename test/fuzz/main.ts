import { parseArgs } from 'node:util';
import { runCampaign } from './campaign.ts';
import { commit } from '../../bench/commit.ts';

/** `npm run fuzz -- --requests N [--seed S] [--json]`: exit status 1 if anything is found; a failure prints the request. */
const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});

const requests = Number(values.requests);
if (!Number.isInteger(requests) || requests < 1) throw new Error('--requests must be a whole number of at least 1');
const say = (line: string): void => void process.stderr.write(`${line}\n`);
/** Failures that are printed in full. */
const SHOWN_MAX = 40;
let shown = 0;

const startedMs = performance.now();
const report = await runCampaign({
  requests,
  seed: values.seed,
  onFailure: ({ at, kind, status, what, request }) => {
    if (shown++ < SHOWN_MAX) {
      say(`${kind} at request ${at}, status ${status}: ${what}\n  ${request}`);
      say(`  replay: npm run fuzz -- --seed ${values.seed} --requests ${at}`);
    }
  },
  onProgress: (done) => {
    if (done % 10_000 === 0) say(`${done} requests in ${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
  },
});
const wallSeconds = (performance.now() - startedMs) / 1000;
for (const line of report.behind) say(`behind the requests: ${line}`);
if (report.uncovered.length > 0) say(`without a 200: ${report.uncovered.join(', ')}`);
if (values.verbose) {
  for (const [name, answers] of Object.entries(report.byCall).sort())
    say(`${name.padEnd(24)} ${JSON.stringify(answers)}`);
  for (const [name, count] of Object.entries(report.operations)) say(`${String(count).padStart(6)}  ${name}`);
}

const summary = {
  name: 'fuzz',
  commit: commit(),
  pass: report.pass,
  requests: report.requests,
  seed: values.seed,
  by_status: report.byStatus,
  five_xx: report.fiveXx,
  outside_contract: report.outsideContract,
  changed_when_refused: report.changedWhenRefused,
  let_in: report.letIn,
  failures_behind: report.behind.length,
  replays: report.replays,
  calls_covered: report.covered.length,
  calls_total: report.covered.length + report.uncovered.length,
  virtual_seconds: report.virtualSeconds,
  wall_seconds: Math.round(wallSeconds * 10) / 10,
};
process.stdout.write(`${JSON.stringify(summary, null, values.json ? undefined : 2)}\n`);
process.exitCode = report.pass ? 0 : 1;
