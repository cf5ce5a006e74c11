import { withGlobalTimers } from '../../simulation/global-timers.ts';
import { VirtualTime } from '../../simulation/virtual-time.ts';
import { mortalWorld, NODES, toldToEnd } from '../../support/mortal-world.ts';
import { registered } from '../../support/use-case-world.ts';
import type { StoreCall } from '../../../shared/store/faults.ts';
import { fateFor, kindsFor } from './faults.ts';
import type { StoreFaultKind } from './faults.ts';
import { callersIn } from './sites.ts';
import type { Story } from './stories.ts';

/** One run of a story in which one call of the store goes wrong; or none, to find the calls. */

export interface Target {
  /** Number of the call among all that mortal processes make. */
  readonly call: number;
  readonly fault: StoreFaultKind;
}

export interface SeenCall {
  readonly number: number;
  readonly what: string;
  readonly kinds: readonly StoreFaultKind[];
  /** Callers in the code, innermost first. */
  readonly callers: readonly string[];
}

export interface BoundaryRun {
  readonly target: Target | null;
  /** Store calls in their order; of a run without target. */
  readonly seen: readonly SeenCall[];
  /** False: the run made fewer calls. */
  readonly met: boolean;
  readonly problems: readonly string[];
}

/** Of an outage, where a process lives on: a detector's loop. */
const OUTAGE_MS = 5_000;
/** Bound of virtual time of one run. The longest waits an hour until a command expires. */
const RUN_MS_MAX = 7_200_000;

export async function runBoundary(story: Story, target: Target | null): Promise<BoundaryRun> {
  const time = new VirtualTime();
  return withGlobalTimers(time, async () => {
    const seen: SeenCall[] = [];
    let met = false;
    let outage: { readonly process: string; readonly untilMs: number } | null = null;
    const note = (number: number, process: string, what: string, store: StoreCall, stack: string | null): void => {
      const name = `${process.replace(/-\d+$/, '')} ${what}`;
      seen.push({ number, what: name, kinds: kindsFor(store), callers: callersIn(stack ?? '') });
    };
    const world: ReturnType<typeof mortalWorld> = mortalWorld(time, {
      traced: target === null,
      ...(story.around === undefined ? {} : { aroundStep: story.around(() => world) }),
      judge: ({ number, store, process, what, stack }) => {
        if (store === null) return null;
        if (target === null) note(number, process, what, store, stack);
        if (target === null) return null;
        const lasts = outage !== null && outage.process === process && time.nowMs() < outage.untilMs;
        if (!lasts && (met || number !== target.call)) return null;
        met = true;
        if (target.fault === 'outage') outage ??= { process, untilMs: time.nowMs() + OUTAGE_MS };
        return fateFor(target.fault, store, world, () => story.moveOn(world));
      },
    });
    const problems: string[] = [];
    const tell = async (): Promise<void> => {
      await registered(world.base, ...NODES);
      world.startNodes();
      await story.prepare(world);
      world.begin();
      world.startReconciler();
      problems.push(...(await story.act(world, target?.fault ?? null)));
      await world.quiet();
      await world.deliverLateMail();
      problems.push(...(await story.judge(world)));
    };
    problems.push(...(await toldToEnd(world, tell, RUN_MS_MAX)));
    return { target, seen, met, problems };
  });
}

/**
 * The calls of a run that differ: by the process that makes them, the method, and the callers from the store up. Of calls that agree in
 * all of it the first stands for the rest.
 */
export function distinctCalls(seen: readonly SeenCall[]): readonly SeenCall[] {
  const first = new Map<string, SeenCall>();
  for (const call of seen) {
    const name = [call.what.split(' ').slice(0, 2).join(' '), ...call.callers].join('|');
    if (!first.has(name)) first.set(name, call);
  }
  return [...first.values()];
}
