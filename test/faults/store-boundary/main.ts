import { parseArgs } from 'node:util';
import { STORE_FAULTS } from './faults.ts';
import type { StoreFaultKind } from './faults.ts';
import { distinctCalls, runBoundary } from './run.ts';
import type { BoundaryRun } from './run.ts';
import { callSites } from './sites.ts';
import { stories } from './stories.ts';
import type { Story } from './stories.ts';
import { commit } from '../../../bench/commit.ts';
import { openProgress } from '../../support/progress.ts';

/**
 * `npm run store-faults -- [--story NAME] [--call N --fault KIND] [--all] [--every N --from K] [--seconds S --into FILE] [--json]`: every call of the
 * store that operations and requests make, found by running them, with everything that can go wrong with it. `--all`: also calls from places that a
 * call before came from. After `--seconds` no fault is tried any more; `--into` keeps what was done at this commit, so that the same call goes on.
 * Exit status 1 if a run is violated, 3 if `--seconds` left some for another call.
 */
const { values } = parseArgs({
  options: {
    story: { type: 'string' },
    call: { type: 'string' },
    fault: { type: 'string' },
    all: { type: 'boolean', default: false },
    every: { type: 'string', default: '1' },
    from: { type: 'string', default: '0' },
    seconds: { type: 'string', default: 'Infinity' },
    into: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

const print = (line: string): void => void (values.json ? process.stderr : process.stdout).write(`${line}\n`);
const startedMs = performance.now();
const sites = callSites();
const exercised = new Set<string>();
const atCommit = commit();
const progress = openProgress(values.into);
const totals = { stories: 0, calls: 0, runs: 0, unmet: 0, left: 0, violations: 0 };
let index = 0;

/** What is kept of a run. */
type Outcome = Pick<BoundaryRun, 'target' | 'met' | 'problems'>;

function take(story: Story, { target, problems }: Outcome, what: string): void {
  if (problems.length === 0) return;
  totals.violations++;
  const where = target === null ? 'undisturbed' : `--call ${target.call} --fault ${target.fault} (${what})`;
  print(`VIOLATED --story '${story.name}' ${where}`);
  for (const problem of problems) print(`    ${problem.slice(0, 600)}`);
}

for (const story of stories().filter(({ name }) => values.story === undefined || name === values.story)) {
  totals.stories++;
  const undisturbed = await runBoundary(story, null);
  take(story, undisturbed, '');
  for (const { callers } of undisturbed.seen) for (const site of callers) if (sites.has(site)) exercised.add(site);
  const before = totals.violations;
  const calls = values.all ? undisturbed.seen : distinctCalls(undisturbed.seen);
  totals.calls += calls.length;
  for (const { number, kinds, what, callers } of calls)
    for (const fault of kinds) {
      if (values.call !== undefined && number !== Number(values.call)) continue;
      if (values.fault !== undefined && fault !== (values.fault as StoreFaultKind)) continue;
      if (index++ % Number(values.every) !== Number(values.from)) continue;
      const key = `${atCommit} ${story.name} ${number} ${fault}`;
      let run = progress.get<Outcome>(key);
      if (run === null) {
        if ((performance.now() - startedMs) / 1000 > Number(values.seconds)) {
          totals.left++;
          continue;
        }
        const { target, met, problems } = await runBoundary(story, { call: number, fault });
        run = { target, met, problems };
        progress.add(key, run);
      }
      totals.runs++;
      if (!run.met) totals.unmet++;
      take(story, run, `${what} from ${callers[0] ?? '?'}`);
    }
  print(
    `${story.name}: ${undisturbed.seen.length} calls, ${calls.length} distinct, ${totals.violations - before} violations`,
  );
}

const unexercised = [...sites].filter((site) => !exercised.has(site)).sort();
if (values.story === undefined) for (const site of unexercised) print(`not exercised: ${site}`);
const summary = {
  name: 'store-faults',
  commit: atCommit,
  pass: totals.violations === 0 && totals.left === 0,
  call_sites: sites.size,
  call_sites_exercised: exercised.size,
  faults: Object.keys(STORE_FAULTS).length,
  ...totals,
  seconds: Math.round((performance.now() - startedMs) / 100) / 10,
};
process.stdout.write(`${JSON.stringify(summary, null, values.json ? undefined : 2)}\n`);
process.exitCode = totals.violations > 0 ? 1 : totals.left > 0 ? 3 : 0;
