import { withGlobalTimers } from '../simulation/global-timers.ts';
import { VirtualTime } from '../simulation/virtual-time.ts';
import { mortalWorld, NODES, toldToEnd } from './mortal-world.ts';
import type { AroundStep, MortalWorld } from './mortal-world.ts';
import { DeathPlan } from './outside-calls.ts';
import type { CrashPoint } from './outside-calls.ts';
import { registered } from './use-case-world.ts';

/**
 * Every crash point of a scenario. Functions run as on Lambda: each invocation in a process of its own, with dependencies and
 * caches of its own, over one store, under virtual time. What a process does to the outside (store calls, pushes to nodes, calls
 * of Step Functions) is counted; at one of these calls the process dies, before the call has its effect or after it and before
 * its answer. A dead process does nothing more: no catch, no finally, no answer. Then the world goes on as in production: Step
 * Functions runs the step again, the caller sends its request again under the same key, the reconcile tick fires.
 *
 * `everyCrashPoint` runs the scenario once for each call and side, until it is through without having died.
 */
export interface Scenario {
  /** Leads the world to the state in which crashes begin. Nobody dies here. */
  readonly prepare?: (world: MortalWorld) => Promise<void>;
  /** What is done under crashes. Returns when its goal is reached; the run fails if that takes longer than RUN_MS_MAX. */
  readonly run: (world: MortalWorld) => Promise<void>;
}

/** Bound of virtual time for one run: the claim of an idempotency key (40 s), the retries of a step, some reconcile ticks. */
const RUN_MS_MAX = 300_000;
/** Bound of crash points of one scenario: more means that a run never ends. */
const CALLS_MAX = 2_000;

export interface CrashRun {
  readonly point: CrashPoint | null;
  /** The call at which a process died; null if the scenario ended before. */
  readonly died: string | null;
  readonly calls: number;
  /** What went wrong; empty if nothing did. */
  readonly problems: readonly string[];
}

/** Runs the scenario for every crash point; `check` judges the world after each run. */
export async function everyCrashPoint(
  scenario: Scenario,
  check: (world: MortalWorld) => Promise<readonly string[]>,
): Promise<readonly CrashRun[]> {
  const undisturbed = await crashRun(scenario, null, check);
  // Where the scenario itself fails, its crash points say nothing more.
  if (undisturbed.problems.length > 0) return [undisturbed];
  const runs: CrashRun[] = [undisturbed];
  for (const side of ['BEFORE', 'AFTER'] as const) {
    for (let call = 1; ; call++) {
      if (call > CALLS_MAX) throw new Error(`more than ${CALLS_MAX} calls to die at`);
      const run = await crashRun(scenario, { call, side }, check);
      if (run.calls < call) break;
      runs.push(run);
    }
  }
  return runs;
}

/** One run that dies at `point` (null: nowhere). `stepsAgainAfterMs`: every step of an operation is invoked twice, the second time so much later. */
export async function crashRun(
  scenario: Scenario,
  point: CrashPoint | null,
  check: (world: MortalWorld) => Promise<readonly string[]>,
  options: { readonly stepsAgainAfterMs?: number } = {},
): Promise<CrashRun> {
  const time = new VirtualTime();
  return withGlobalTimers(time, async () => {
    const plan = new DeathPlan(point);
    const { stepsAgainAfterMs } = options;
    const twice: AroundStep = (_task, run) => {
      // Whatever the second run answers, nobody hears it.
      time.after(stepsAgainAfterMs ?? 0, () => void run().catch(() => undefined));
      return run();
    };
    const world = mortalWorld(time, {
      judge: plan.judge,
      ...(stepsAgainAfterMs === undefined ? {} : { aroundStep: twice }),
    });
    const problems: string[] = [];
    const story = async (): Promise<void> => {
      await registered(world.base, ...NODES);
      world.startNodes();
      await scenario.prepare?.(world);
      world.begin();
      world.startReconciler();
      await scenario.run(world);
      await world.quiet();
      await world.deliverLateMail();
      problems.push(...(await check(world)));
    };
    problems.push(...(await toldToEnd(world, story, RUN_MS_MAX)));
    return { point, died: plan.died, calls: world.calls(), problems };
  });
}
