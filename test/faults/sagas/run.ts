import { operationId } from '../../../shared/domain/ids.ts';
import type { OperationRecord } from '../../../shared/domain/records.ts';
import { redriveOperation, resumeOperation } from '../../../shared/usecases/operations.ts';
import { withGlobalTimers } from '../../simulation/global-timers.ts';
import { VirtualTime } from '../../simulation/virtual-time.ts';
import { mortalWorld, NODES, toldToEnd } from '../../support/mortal-world.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';
import { registered } from '../../support/use-case-world.ts';
import { checkNothingIsLeft } from '../../support/world-checks.ts';
import type { Saga } from '../scenario-kit.ts';
import { expectAnswer, openOperations, ticksOff } from '../scenario-kit.ts';
import type { Fault } from './faults.ts';
import { Injector } from './injector.ts';
import type { Visit } from './injector.ts';
import { judge, pictureOf } from './judge.ts';
import type { Machine } from './machines.ts';

/** One run of an operation under faults: undisturbed set-up, request, faults, end, and what is wrong with what came of it. */

export interface SagaRun {
  readonly faults: readonly Fault[];
  /** False: a fault never met its state, so the run says nothing about it. */
  readonly allFired: boolean;
  readonly visits: readonly Visit[];
  readonly reached: ReadonlySet<string>;
  /** How the operation ended, e.g. `FAILED ROLLED_BACK`. */
  readonly end: string;
  readonly problems: readonly string[];
  readonly virtualMs: number;
}

/**
 * Bound of virtual time of one run. The longest: a move that waits 300 s for its leadership, gives up, is undone for 120 s, and is redriven;
 * each state that fails for long takes 60 s of retries besides.
 */
const RUN_MS_MAX = 3_600_000;
/** Looks are frequent where things happen, and seldom where something is waited for. */
const LOOK_MS = 250;
const LOOKS_FREQUENT = 60;
const LOOK_SELDOM_MS = 2_000;
/** Time for the reconcile tick to take back what an ended operation left: its period, the age that it waits for, one lost tick. */
const TIDY_MS_MAX = 60_000;
/** A FAILED operation is redriven so often: the faults are over then, so that a further one would meet the same. */
const REDRIVES_MAX = 2;

export async function runSaga(machine: Machine, saga: Saga, faults: readonly Fault[]): Promise<SagaRun> {
  const time = new VirtualTime();
  return withGlobalTimers(time, async () => {
    const injector: Injector = new Injector(machine, faults, () => world);
    const world: ReturnType<typeof mortalWorld> = mortalWorld(time, { aroundStep: injector.around });
    const problems: string[] = [];
    let end = 'no end';
    const story = async (): Promise<void> => {
      await registered(world.base, ...NODES);
      world.startNodes();
      await ticksOff(world);
      await saga.prepare?.(world);
      const before = await pictureOf(world);
      world.begin();
      injector.begin();
      world.startReconciler();
      await saga.request(world);
      const last = await followToEnd(world, saga, injector);
      end = [last.status, last.outcome].filter((part) => part !== null).join(' ');
      await tidied(world);
      problems.push(...(await judge(world, saga, before, { end: last, faults, injector })));
    };
    problems.push(...(await toldToEnd(world, story, RUN_MS_MAX)));
    const { allFired, visits, reached } = injector;
    return { faults, allFired, visits, reached, end, problems, virtualMs: time.nowMs() };
  });
}

/** Waits for the end; resumes what was paused, redrives what failed where that is the point, or where it could not be undone. */
export async function followToEnd(world: MortalWorld, saga: Saga, injector: Injector): Promise<OperationRecord> {
  for (let redrives = 0; ; redrives++) {
    await settled(world, saga, injector);
    const last = await subjectOf(world, injector);
    if (last === null) throw new Error('the operation never ran a step');
    injector.noteEnd(last.status === 'FAILED' && last.outcome === null ? 'Failed' : 'Done');
    const redrive = last.status === 'FAILED' && (last.outcome === null || (redrives === 0 && injector.has('redriven')));
    if (!redrive || redrives >= REDRIVES_MAX) return last;
    const input = { params: { operation_id: last.operationId }, query: {}, body: undefined };
    const answer = await world.request('redriveOperation', `key-redrive-${redrives}`, input, redriveOperation);
    // A request that is sent again meets its own effect.
    expectAnswer(answer, 'NOT_FAILED');
  }
}

/** No operation is open, and nothing is on its way any more. */
async function settled(world: MortalWorld, saga: Saga, injector: Injector): Promise<void> {
  for (let looks = 0; ; looks++) {
    await saga.tend?.(world);
    const subject = await subjectOf(world, injector);
    if (subject?.status === 'PAUSED') {
      injector.noteEnd('Paused');
      const input = { params: { operation_id: subject.operationId }, query: {}, body: undefined };
      await world.request('resumeOperation', `key-resume-${looks}`, input, resumeOperation);
    }
    if ((await openOperations(world)) === 0) {
      await injector.ended();
      if (injector.isIdle && (await openOperations(world)) === 0) return;
    }
    await world.base.deps.timers.sleep(looks < LOOKS_FREQUENT ? LOOK_MS : LOOK_SELDOM_MS);
  }
}

async function subjectOf(world: MortalWorld, { subject }: Injector): Promise<OperationRecord | null> {
  if (subject === null) return null;
  return (await world.base.records.get('operation', { operationId: operationId(subject) }))?.value ?? null;
}

/** The reconcile tick had time to take back what is left; late commands have arrived. */
export async function tidied(world: MortalWorld): Promise<void> {
  await world.quiet();
  const deadlineMs = world.time.nowMs() + TIDY_MS_MAX;
  for (;;) {
    await world.deliverLateMail();
    if (checkNothingIsLeft(world.base.committed).length === 0 || world.time.nowMs() > deadlineMs) return;
    await world.base.deps.timers.sleep(LOOK_SELDOM_MS);
  }
}
