import { crashRun } from '../support/crash-points.ts';
import type { CrashPoint } from '../support/outside-calls.ts';
import { checkHistory } from '../support/world-checks.ts';
import { waves } from './scenarios.ts';

/**
 * As crash-points.test.ts, for operations over many shards. Their runs have hundreds of calls, most of them reads of the same kind, so that
 * some of the crash points stand for all: evenly spread, before the effect of a call and after it.
 */

const POINTS_PER_SIDE = 14;
const SCENARIO_MS_MAX = 240_000;

test.each(Object.entries(waves))(
  '%s: killed at calls all along its way, before and after their effect: repeated, it comes to the same end',
  async (_name, scenario) => {
    const run = (point: CrashPoint | null) =>
      crashRun(scenario, point, async (world) => [
        ...checkHistory(world.base.committed, world.receipts),
        ...(await scenario.outcome(world)),
      ]);
    const undisturbed = await run(null);
    expect(undisturbed.problems).toEqual([]);
    const stride = Math.max(1, Math.floor(undisturbed.calls / POINTS_PER_SIDE));
    const problems: string[] = [];
    let died = 0;
    for (const side of ['BEFORE', 'AFTER'] as const) {
      // The two sides look at different calls.
      for (let call = side === 'BEFORE' ? 1 : 1 + (stride >> 1); call <= undisturbed.calls; call += stride) {
        const outcome = await run({ call, side });
        died += outcome.died === null ? 0 : 1;
        problems.push(...outcome.problems.map((problem) => `${side} call ${call} (${outcome.died}): ${problem}`));
      }
    }
    expect(problems).toEqual([]);
    expect(died).toBeGreaterThan(POINTS_PER_SIDE);
  },
  SCENARIO_MS_MAX,
);
