import { cancelOperation, pauseOperation } from '../../../shared/usecases/operations.ts';
import type { AroundStep, MortalWorld, StepAnswer, StepTask } from '../../support/mortal-world.ts';
import type { Judge } from '../../support/outside-calls.ts';
import type { Fault } from './faults.ts';
import type { Machine, TaskState } from './machines.ts';

/** Milliseconds between two runs of a `repeated` step: a call to the store takes 2. */
const BESIDE_MS = 3;
const SILENCE_MS = 20_000;

/** As Step Functions names a failed invocation. */
class StepFailed extends Error {
  override readonly name = 'Lambda.AWSLambdaException';
}

export interface Visit {
  readonly state: string;
  /** Effects of the invocation on the outside. */
  readonly effects: number;
}

interface Pending {
  readonly fault: Fault;
  fired: boolean;
  /** Invocations of the state that are still to fail. */
  left: number;
}

/**
 * Stands before every step of one operation and lets the faults of a case happen, each at the first invocation of its state that no other
 * fault has taken.
 */
export class Injector {
  readonly visits: Visit[] = [];
  /** States of the machine that were passed, Choices and Waits included. */
  readonly reached = new Set<string>();
  /** The operation: the first one of the machine's type that runs a step after `begin`. */
  subject: string | null = null;
  /** Answers to cancels: status of HTTP. */
  readonly cancels: { readonly status: number }[] = [];
  private readonly machine: Machine;
  private readonly pending: Pending[];
  private readonly world: () => MortalWorld;
  private begun = false;
  private last: TaskState | null = null;
  /** What happens when a state other than this one was through. */
  private readonly whenBeyond: { readonly state: string; readonly go: () => void }[] = [];
  private readonly whenEnded: (() => Promise<void>)[] = [];
  /** Requests and late invocations under way. */
  private busy = 0;
  private requests = 0;

  constructor(machine: Machine, faults: readonly Fault[], world: () => MortalWorld) {
    this.machine = machine;
    this.pending = faults.map((fault) => ({ fault, fired: false, left: 0 }));
    this.world = world;
  }

  begin(): void {
    this.begun = true;
  }
  get allFired(): boolean {
    return this.pending.every(({ fired }) => fired);
  }
  has(kind: Fault['kind']): boolean {
    return this.pending.some(({ fault, fired }) => fired && fault.kind === kind);
  }
  /** Nothing is on its way any more. */
  get isIdle(): boolean {
    return this.busy === 0;
  }

  /** The operation has ended: what was held back comes now. */
  async ended(): Promise<void> {
    for (const { go } of this.whenBeyond.splice(0)) go();
    for (const late of this.whenEnded.splice(0)) await late().catch(() => undefined); // nobody hears it
  }

  readonly around: AroundStep = async (task, run) => {
    const state = this.stateOf(task);
    if (state === null) return run();
    this.note(state);
    const pending = this.pending.find(({ fault, fired, left }) => fault.state === state.name && (!fired || left > 0));
    if (pending === undefined) return this.counted(state, run);
    const isFirst = !pending.fired;
    pending.fired = true;
    return this.strike(state, pending, isFirst, run);
  };

  private async strike(
    state: TaskState,
    pending: Pending,
    isFirst: boolean,
    run: (judge?: Judge) => Promise<StepAnswer>,
  ): Promise<StepAnswer> {
    const { fault } = pending;
    switch (fault.kind) {
      case 'fails-before':
        throw new StepFailed(`${state.name} failed before it began`);
      case 'fails-after':
        await this.counted(state, run);
        throw new StepFailed(`the answer of ${state.name} is lost`);
      case 'fails-for-long':
      case 'redriven':
        pending.left = isFirst ? state.attempts - 1 : pending.left - 1;
        throw new StepFailed(`${state.name} fails`);
      case 'repeated':
        this.track(this.sleep(BESIDE_MS).then(() => run()));
        return this.counted(state, run);
      case 'repeated-after': {
        const answer = await this.counted(state, run);
        await run().catch(() => undefined);
        return answer;
      }
      case 'late':
        this.whenBeyond.push({ state: state.name, go: () => this.track(run()) });
        return this.counted(state, run);
      case 'late-after-end':
        this.whenEnded.push(() => run().then(() => undefined));
        return this.counted(state, run);
      case 'crashed':
        return this.counted(state, () => run(crashAt(fault.effect ?? 0)));
      case 'frozen':
        return run(this.freezeAt(fault.effect ?? 1, (thaw) => this.whenBeyond.push({ state: state.name, go: thaw })));
      case 'frozen-past-end':
        return this.frozenPastEnd(fault.effect ?? 1, run);
      case 'execution-lost':
        await this.counted(state, run).catch(() => undefined);
        void this.world().machines.stop();
        // Nobody is there to hear the answer.
        return new Promise(() => undefined);
      case 'nodes-silent':
        this.world().silenceNodes(SILENCE_MS);
        return this.counted(state, run);
      case 'paused':
        await this.control('pauseOperation', pauseOperation);
        return this.counted(state, run);
      case 'cancelled':
        this.cancels.push(await this.control('cancelOperation', cancelOperation));
        return this.counted(state, run);
      case 'cancelled-beside':
        this.track(this.control('cancelOperation', cancelOperation).then((answer) => this.cancels.push(answer)));
        return this.counted(state, run);
    }
  }

  /** Runs the step and notes how many effects it had; what waits for another state goes on after it. */
  private async counted(state: TaskState, run: (judge?: Judge) => Promise<StepAnswer>): Promise<StepAnswer> {
    let effects = 0;
    try {
      return await run((call) => {
        effects = call.effects;
        return null;
      });
    } finally {
      this.visits.push({ state: state.name, effects });
      this.beyond(state.name);
    }
  }

  private beyond(present: string): void {
    const due = this.whenBeyond.filter(({ state }) => state !== present);
    for (const one of due) {
      this.whenBeyond.splice(this.whenBeyond.indexOf(one), 1);
      one.go();
    }
  }

  /** Stands still before the effect of that number, until what `hold` was given is called. */
  private freezeAt(effect: number, hold: (thaw: () => void) => void): Judge {
    return ({ kind, effects }) => {
      if (kind !== 'EFFECT' || effects !== effect) return null;
      return { frozenUntil: new Promise<void>((resolve) => hold(resolve)) };
    };
  }

  /** Step Functions hears nothing of it and runs the step again; at the end it is waited for. */
  private frozenPastEnd(effect: number, run: (judge?: Judge) => Promise<StepAnswer>): Promise<StepAnswer> {
    let thaw: (() => void) | null = null;
    const answer = run(this.freezeAt(effect, (go) => (thaw = go)));
    this.whenEnded.push(async () => {
      thaw?.();
      if (thaw !== null) await answer;
    });
    return answer;
  }

  private async control(
    name: string,
    useCase: typeof cancelOperation | typeof pauseOperation,
  ): Promise<{ status: number }> {
    const input = { params: { operation_id: this.subject ?? '' }, query: {}, body: undefined };
    return this.world().request(name, `key-${name}-${++this.requests}`, input, useCase);
  }

  private track(work: Promise<unknown>): void {
    this.busy++;
    work
      .catch(() => undefined) // nobody hears it
      .finally(() => this.busy--);
  }

  private sleep(delayMs: number): Promise<void> {
    return this.world().base.deps.timers.sleep(delayMs);
  }

  /** The state of the subject that a task belongs to; null: it is not the subject's. */
  private stateOf(task: StepTask): TaskState | null {
    if (!this.begun || !task.execution_arn.includes(`:shardkeeper-${this.machine.type}:`)) return null;
    this.subject ??= task.operation_id;
    if (task.operation_id !== this.subject) return null;
    const state = this.machine.tasks.find(({ step }) => step === task.step);
    if (state === undefined) throw new Error(`no state of ${this.machine.type} invokes ${task.step}`);
    return state;
  }

  private note(state: TaskState): void {
    const way = this.last?.leadsTo.find(({ to }) => to === state.name);
    for (const name of way?.over ?? []) this.reached.add(name);
    this.reached.add(state.name);
    this.last = state;
  }

  /** The machine came to its end at the state of that name (Done, Failed, Paused). */
  noteEnd(name: string): void {
    const way = this.last?.leadsTo.find(({ to }) => to === name);
    if (way === undefined) return;
    for (const passed of [...way.over, name]) this.reached.add(passed);
  }
}

const crashAt =
  (effect: number): Judge =>
  ({ kind, effects }) => {
    if (kind !== 'EFFECT') return null;
    if (effect === 0) return effects === 1 ? { dies: 'BEFORE' } : null;
    return effects === effect ? { dies: 'AFTER' } : null;
  };
