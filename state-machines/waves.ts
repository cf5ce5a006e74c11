import { hasEnded, ROLL_BACK } from '../shared/domain/operation.ts';
import type { ShardId } from '../shared/domain/ids.ts';
import type { Json, OperationRecord } from '../shared/domain/records.ts';
import type { WaveBudget } from '../shared/domain/waves/budget.ts';
import type { WavePart } from '../shared/domain/waves/parts.ts';
import type { RebalanceSettings } from '../shared/domain/waves/settings.ts';
import { reasonsInWords, waveState, waveStateJson, withReason } from '../shared/domain/waves/state.ts';
import type { WaveState } from '../shared/domain/waves/state.ts';
import type { Change, Deps, RecordWrite, Stored } from '../shared/ports.ts';
import { DONE, endRolledBack, failWith, loadOperation, saveOperation } from './step.ts';
import type { OperationMachine, OperationPatch, StepError, StepFunction, StepResult } from './step.ts';
import { busyShards, nextPartNumber, notePart, openPartsFrom, writeParts } from './waves-parts.ts';
import { cancelParts, closePlanned, pauseParts, resumeParts, settle } from './waves-running.ts';
import { startParts } from './waves-start.ts';

/**
 * Operations over many shards: rebalance, drain-node, repair-shards, change-replication-factor. A goal plans parts; the executor starts
 * them within the budget, each a membership change of its own or a leader transfer, looks at them, and ends when nothing is left. A part that can't
 * be carried out is told of and left out; a part that hangs counts against the budget and holds up no other.
 */

/** What one look at the goal gives. */
export interface WavePass {
  readonly parts: readonly WavePart[];
  /** Where planning goes on; kept in the record. */
  readonly goal: Json;
  /** Nothing is left to plan: what is asked is reached as soon as the open parts are through. */
  readonly complete: boolean;
  /** Parts that are still to come after these, as far as they are known. */
  readonly left: number;
  /** What it waits for while there is nothing to start, in words. */
  readonly waitingOn: string | null;
}

export interface WaveGoal {
  /** ONCE: one plan, whose parts are tried once. UNTIL_REACHED: planned again until nothing is left, parts that can't start are tried again. */
  readonly mode: 'ONCE' | 'UNTIL_REACHED';
  readonly unit: string;
  /** Time without a single part done after which UNTIL_REACHED gives up what is left; null: never, an operator may cancel it. */
  idleMs(operation: OperationRecord): number | null;
  /** Time after its first look after which what it has not reached is undone, and what it fails with; left out: it goes on for ever. */
  deadline?(operation: OperationRecord): { readonly afterMs: number; readonly error: StepError } | null;
  /** True if starts are spread over time by `moves_per_hour`. */
  readonly paced: boolean;
  readonly budget: (settings: RebalanceSettings) => WaveBudget;
  /** At most `PARTS_PER_PASS` parts, of shards outside `busy`. Repeatable: it also makes sure of what the operation set when it started. */
  plan(deps: Deps, operation: OperationRecord, state: WaveState, busy: ReadonlySet<ShardId>): Promise<WavePass>;
  /** The last effect, before the operation ends: NOT_YET: again after a while, AGAIN: something is left, plan again. */
  finish?(deps: Deps, operation: Stored<'operation'>, state: WaveState): Promise<FinishResult>;
  /** What a cancel puts back besides the parts: PARTS: by parts, `plan` gives them while `undoing`. */
  undo?(deps: Deps, operation: OperationRecord): Promise<'DONE' | 'PARTS'>;
  /** True from the effect on that nothing takes back: from there an operation whose steps keep failing only goes on, and ends APPLIED. */
  isPast?(deps: Deps, operation: OperationRecord): Promise<boolean>;
}

export type FinishResult =
  | { readonly kind: 'END'; readonly also?: Partial<Change> }
  | { readonly kind: 'NOT_YET'; readonly waitingOn: string }
  | { readonly kind: 'AGAIN' };

/** Parts of one plan: 100 transactions. A longer plan is gone about in several. */
export const PARTS_PER_PASS = 10_000;
/** Pause between two looks while parts run; one second while leaderships are on their way. */
const POLL_SECONDS = 2;
const TRANSFER_POLL_SECONDS = 1;
const IDLE_POLL_SECONDS = 10;
/** A goal is planned again no sooner than this, unless something was done since: what was refused a moment ago is refused again. */
const REPLAN_MS = 15_000;
/** Parts of a rebalance that hang so long are left to themselves: each is an operation of its own, with bounds of its own. */
const LEFT_RUNNING_MS = 3_600_000;

const STOPPED: StepError = {
  code: 'STEP_FAILED',
  message: 'What its parts completed stays; redrive the operation to go on.',
};

type Verdict =
  | { readonly kind: 'GO'; readonly phase: WaveState['phase']; readonly state: WaveState }
  | { readonly kind: 'WAIT'; readonly state: WaveState; readonly seconds: number; readonly waitingOn: string | null };

/**
 * The goal with its effects held to the operation as it was read, so that none of them comes late: a step that stood still, and goes on when others
 * have undone the operation or it was redriven since, changes nothing any more (I-10). Its commits fail, and so does it.
 */
function heldTo({ value, revision }: Stored<'operation'>, goal: WaveGoal): WaveGoal {
  const check: RecordWrite = {
    kind: 'check',
    entity: 'operation',
    id: { operationId: value.operationId },
    when: [{ kind: 'revision', is: revision }],
  };
  const held = (deps: Deps): Deps => ({
    ...deps,
    records: {
      ...deps.records,
      commit: (change) => deps.records.commit({ ...change, writes: [...change.writes, check] }),
    },
  });
  return {
    ...goal,
    plan: (deps, operation, state, busy) => goal.plan(held(deps), operation, state, busy),
    undo: (deps, operation) => goal.undo?.(held(deps), operation) ?? Promise.resolve('DONE'),
  };
}

/** The machine of a goal; all of them have the same steps. */
export function waveMachine(goal: WaveGoal): OperationMachine {
  const pass = (phase: WaveState['phase'], work: typeof planPass): StepFunction =>
    stepOf(phase, async (deps, operation, before) => {
      const state = { ...before, startedMs: before.startedMs ?? deps.clock.wallMs() };
      const late = deadlinePassed(goal, operation.value, state, deps.clock.wallMs());
      if (late !== null) {
        await saveOperation(deps, operation, { error: late }, { name: phase, detail: late.code });
        return { next: ROLL_BACK };
      }
      return keep(deps, goal, operation, await work(deps, heldTo(operation, goal), operation.value, state), phase);
    });
  return {
    steps: {
      plan: pass('plan', planPass),
      execute: pass('execute', executePass),
      finish: stepOf('finish', (deps, operation, state) => finish(deps, goal, operation, state)),
      'roll-back': stepOf(null, (deps, operation, state) => rollBack(deps, heldTo(operation, goal), operation, state)),
      fail: failWith(STOPPED),
    },
    answers: {
      plan: ['plan', 'execute', 'finish'],
      execute: ['execute', 'plan', 'finish'],
      finish: ['finish', 'plan', 'execute'],
      'roll-back': ['roll-back'],
    },
    resume: (operation) => waveState(operation.state).phase,
    pause: (deps, operation) => pauseParts(deps, operation, waveState(operation.state)),
  };
}

/** Why it is undone now; null as long as it has time. The last effect is waited for: whatever has come that far comes to its end. */
function deadlinePassed(goal: WaveGoal, operation: OperationRecord, state: WaveState, nowMs: number): StepError | null {
  const deadline = goal.deadline?.(operation) ?? null;
  if (deadline === null || !operation.cancellable || state.startedMs === null) return null;
  return nowMs - state.startedMs >= deadline.afterMs ? deadline.error : null;
}

type Work = (deps: Deps, operation: Stored<'operation'>, state: WaveState) => Promise<StepResult>;

/** A step that is repeated after its phase is over does nothing: the phase that is on goes on. */
const stepOf =
  (phase: WaveState['phase'] | null, work: Work): StepFunction =>
  async (deps, input) => {
    const operation = await loadOperation(deps, input.operationId);
    if (hasEnded(operation.value)) return DONE;
    const state = waveState(operation.value.state);
    if (phase !== null && state.phase !== phase) return { next: state.phase };
    return work(deps, operation, state);
  };

/** Saves what a pass found, if it is news: every save is an audited change. Names the next step. */
async function keep(
  deps: Deps,
  goal: WaveGoal,
  operation: Stored<'operation'>,
  verdict: Verdict,
  phase: WaveState['phase'],
  as: (next: WaveState['phase']) => string = (next) => next,
): Promise<StepResult> {
  const next = verdict.kind === 'GO' ? verdict.phase : phase;
  const state: WaveState = { ...verdict.state, phase: next, run: operation.value.run };
  const waitingOn = verdict.kind === 'GO' ? null : verdict.waitingOn;
  const json = waveStateJson(state);
  const isNews =
    JSON.stringify(json) !== JSON.stringify(operation.value.state) || operation.value.waitingOn !== waitingOn;
  if (isNews) {
    const detail = waitingOn ?? `${state.done} done, ${state.skipped + state.failed} left out`;
    await saveOperation(
      deps,
      operation,
      { state: json, waitingOn, ...progressOf(goal, operation.value, state) },
      { name: phase, detail },
    );
  }
  return verdict.kind === 'GO' ? { next: as(next) } : { next: as(next), wait_seconds: verdict.seconds };
}

/** Parts that came to an end, of all that are known. */
function progressOf(goal: WaveGoal, operation: OperationRecord, state: WaveState): OperationPatch {
  if (operation.undoing) return {};
  const done = state.done + state.skipped + state.failed;
  const known = Math.max(state.next ?? 0, goal.mode === 'ONCE' ? 0 : operation.progress.total);
  return { progress: { done, total: Math.max(known, done), unit: goal.unit } };
}

async function planPass(deps: Deps, goal: WaveGoal, operation: OperationRecord, before: WaveState): Promise<Verdict> {
  const { operationId } = operation;
  let state = before;
  const nowMs = deps.clock.wallMs();
  const stored = await nextPartNumber(deps, operationId);
  if (stored > (state.next ?? 0)) {
    // A step died between writing parts and saving that it did: they are carried out. A redriven operation finds those of before, all ended.
    const open = await openPartsFrom(deps, operationId, state.next ?? 0);
    if (open.length > 0) return { kind: 'GO', phase: 'execute', state: { ...state, next: stored, plannedMs: nowMs } };
    state = { ...state, next: stored, cursor: stored };
  }
  const pass = await goal.plan(deps, operation, state, busyShards(state));
  await writeParts(deps, operationId, stored, pass.parts);
  const planned: WaveState = { ...state, next: stored + pass.parts.length, goal: pass.goal, plannedMs: nowMs };
  if (pass.parts.length > 0) return { kind: 'GO', phase: 'execute', state: planned };
  if (state.running.length > 0) return { kind: 'GO', phase: 'execute', state: planned };
  if (state.waiting.length > 0) {
    const idleSinceMs = Math.max(state.progressMs, operation.createdAtMs);
    const idleMs = goal.idleMs(operation);
    const givesUp = idleMs !== null && nowMs - idleSinceMs >= idleMs;
    if (!givesUp) return { kind: 'GO', phase: 'execute', state: planned };
    return { kind: 'GO', phase: 'finish', state: await giveUpWaiting(deps, operation, planned) };
  }
  if (pass.complete) return { kind: 'GO', phase: 'finish', state: planned };
  return { kind: 'WAIT', state: { ...state, goal: pass.goal }, seconds: IDLE_POLL_SECONDS, waitingOn: pass.waitingOn };
}

/** What could not start to the end is left out, with its reason. */
async function giveUpWaiting(deps: Deps, operation: OperationRecord, state: WaveState): Promise<WaveState> {
  let { reasons } = state;
  for (const { number, reason } of state.waiting) {
    await notePart(deps, operation.operationId, number, { status: 'SKIPPED', reason });
    reasons = withReason(reasons, reason);
  }
  return { ...state, waiting: [], skipped: state.skipped + state.waiting.length, reasons };
}

async function executePass(
  deps: Deps,
  goal: WaveGoal,
  operation: OperationRecord,
  before: WaveState,
): Promise<Verdict> {
  if (before.run !== 0 && before.run !== operation.run) await resumeParts(deps, operation, before);
  const settled = await settle(deps, goal, operation, before);
  const started = await startParts(deps, goal, operation, settled);
  const { state, waitingOn, seconds } = started;
  const nowMs = deps.clock.wallMs();
  const isQueued = state.cursor < (state.next ?? 0);
  const isQuiet = !isQueued && state.running.length === 0 && state.waiting.length === 0;
  if (goal.mode === 'ONCE') {
    if (isQuiet) return { kind: 'GO', phase: 'finish', state };
    const left =
      !isQueued && state.waiting.length === 0 && state.running.every((one) => nowMs - one.sinceMs > LEFT_RUNNING_MS);
    if (left) return { kind: 'GO', phase: 'finish', state: await leaveRunning(deps, operation, state) };
  } else if (!isQueued) {
    const mayPlan = nowMs - state.plannedMs >= REPLAN_MS || state.progressMs > state.plannedMs;
    if (mayPlan && (isQuiet || nowMs - state.plannedMs >= REPLAN_MS)) return { kind: 'GO', phase: 'plan', state };
  }
  const transfers = state.running.some(({ source }) => source === null);
  const poll = transfers ? TRANSFER_POLL_SECONDS : state.running.length > 0 ? POLL_SECONDS : IDLE_POLL_SECONDS;
  return { kind: 'WAIT', state, seconds: Math.max(1, Math.min(poll, seconds ?? poll)), waitingOn };
}

/** Parts that hang go on by themselves. */
async function leaveRunning(deps: Deps, operation: OperationRecord, state: WaveState): Promise<WaveState> {
  let { reasons } = state;
  for (const { number } of state.running) {
    await notePart(deps, operation.operationId, number, { status: 'SKIPPED', reason: 'LEFT_RUNNING' });
    reasons = withReason(reasons, 'LEFT_RUNNING');
  }
  return { ...state, running: [], skipped: state.skipped + state.running.length, reasons };
}

async function finish(
  deps: Deps,
  goal: WaveGoal,
  operation: Stored<'operation'>,
  state: WaveState,
): Promise<StepResult> {
  const result: FinishResult = (await goal.finish?.(deps, operation, state)) ?? { kind: 'END' };
  // finish() may have saved the operation itself: what can't be undone is noted before it is done.
  const current = await loadOperation(deps, operation.value.operationId);
  if (result.kind === 'AGAIN') return keep(deps, goal, current, { kind: 'GO', phase: 'plan', state }, 'finish');
  if (result.kind === 'NOT_YET')
    return keep(
      deps,
      goal,
      current,
      { kind: 'WAIT', state, seconds: POLL_SECONDS, waitingOn: result.waitingOn },
      'finish',
    );
  const leftOut = state.skipped + state.failed;
  const reasons = leftOut === 0 ? '' : `, ${leftOut} left out: ${reasonsInWords(state.reasons)}`;
  const { progress } = progressOf(goal, operation.value, state);
  const done = progress?.done ?? 0;
  await saveOperation(
    deps,
    current,
    {
      status: 'SUCCEEDED',
      outcome: 'APPLIED',
      waitingOn: null,
      progress: { done, total: done, unit: goal.unit },
    },
    { name: 'finish', detail: `${state.done} done${reasons}` },
    result.also ?? {},
  );
  return DONE;
}

/** Ends the parts that run, puts back what the operation set, and ends. What parts completed stays: each was an operation of its own. */
async function rollBack(
  deps: Deps,
  goal: WaveGoal,
  operation: Stored<'operation'>,
  state: WaveState,
): Promise<StepResult> {
  const back = (): string => 'roll-back';
  if (state.undo !== 'goal') {
    const left = await cancelParts(deps, operation.value, await closePlanned(deps, operation.value, state));
    if (left.running.length > 0) {
      const waitingOn = `${left.running.length} parts to end`;
      const waits: Verdict = {
        kind: 'WAIT',
        state: { ...left, undo: 'parts' },
        seconds: POLL_SECONDS,
        waitingOn,
      };
      return keep(deps, goal, operation, waits, state.phase, back);
    }
    const isPast = (await goal.isPast?.(deps, operation.value)) ?? false;
    const undone = isPast ? 'PARTS' : ((await goal.undo?.(deps, operation.value)) ?? 'DONE');
    if (undone === 'DONE') return endUndone(deps, goal, operation, left);
    const anew: WaveState = { ...left, undo: 'goal', waiting: [], cursor: left.next ?? 0, goal: null };
    return keep(deps, goal, operation, { kind: 'GO', phase: 'plan', state: anew }, state.phase, back);
  }
  if (state.phase === 'finish') return endUndone(deps, goal, operation, state);
  const pass = state.phase === 'plan' ? planPass : executePass;
  return keep(deps, goal, operation, await pass(deps, goal, operation.value, state), state.phase, back);
}

async function endUndone(
  deps: Deps,
  goal: WaveGoal,
  operation: Stored<'operation'>,
  state: WaveState,
): Promise<StepResult> {
  if ((await goal.isPast?.(deps, operation.value)) === true) {
    await saveOperation(
      deps,
      operation,
      { state: waveStateJson(state), status: 'SUCCEEDED', outcome: 'APPLIED', error: null, waitingOn: null },
      { name: 'roll-back', detail: `nothing to undo, all is done: ${operation.value.error?.code ?? STOPPED.code}` },
    );
    return DONE;
  }
  const saved = await saveOperation(
    deps,
    operation,
    { state: waveStateJson(state) },
    { name: 'undo', detail: `${state.done} parts were done and stay` },
  );
  await endRolledBack(deps, saved, STOPPED);
  return DONE;
}
