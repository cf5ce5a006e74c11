import { setImmediate as inNextTurn } from 'node:timers';
import type { Clock, Timer, Timers } from '../../shared/domain/environment.ts';

/**
 * Virtual time: one queue of events, ordered by true time, then by the order in which they were scheduled. Between two events
 * all microtasks are drained, so a run depends on the seed alone as long as nothing inside
 * it does real I/O. Every simulated process has clocks and timers of its own; it can be paused (what is due waits), resumed
 * and killed (nothing of it ever runs again).
 */
export interface ProcessClockError {
  /** Milliseconds that the process's clocks advance in one true millisecond; 1 = exact. */
  readonly clockRate?: number;
  /** Milliseconds that the process's wall clock is ahead of the true one. */
  readonly skewMs?: number;
}

export interface ScheduledEvent {
  cancel(): void;
}

/** A simulated process: the only way by which its code gets time, and by which the world reaches it. */
export interface SimulatedProcess {
  readonly name: string;
  readonly clock: Clock;
  readonly timers: Timers;
  state(): 'RUNNING' | 'PAUSED' | 'DEAD';
  /** From now on what is due waits; clocks go on. */
  pause(): void;
  /** What waited runs now, in the order in which it was due. */
  resume(): void;
  /** Nothing of the process ever runs again: timers, deliveries and continuations that wait for them. */
  kill(): void;
  /** Runs `work` inside the process: now if it runs, else when it is resumed, never when it is dead. */
  enter(work: () => void): void;
  /** Runs `deliver` inside the process `delayMs` of true time from now: a message that arrives, an answer of a disk. */
  deliver(delayMs: number, deliver: () => void): ScheduledEvent;
}

interface Event {
  readonly atMs: number;
  readonly sequence: number;
  readonly owner: Owner | null;
  readonly run: () => void;
  cancelled: boolean;
}

interface Owner {
  state: 'RUNNING' | 'PAUSED' | 'DEAD';
  held: Event[];
}

/** Where simulated wall clocks start, in ms since 1970: a fixed moment, so that texts in traces are stable. */
export const WALL_CLOCK_START_MS = 1_800_000_000_000;
/** Events at one instant: more means a loop that schedules itself without advancing time. */
const EVENTS_PER_INSTANT_MAX = 1_000_000;

export class VirtualTime {
  private readonly queue: Event[] = [];
  private sequence = 0;
  private currentMs = 0;
  private failure: Error | null = null;
  private atThisInstant = 0;
  /** Events run so far. */
  eventsRun = 0;

  /** True time in milliseconds since the start of the simulation. */
  nowMs(): number {
    return this.currentMs;
  }

  /** Schedules for the world itself (faults, checks), which neither pauses nor dies. */
  after(delayMs: number, run: () => void): ScheduledEvent {
    return this.schedule(null, delayMs, run);
  }

  /** Makes the run end with `error` at the next event: checkers call it, also from callbacks whose errors are caught. */
  fail(error: Error): void {
    this.failure ??= error;
  }

  processEnvironment(options: { name: string } & ProcessClockError): SimulatedProcess {
    const owner: Owner = { state: 'RUNNING', held: [] };
    const rate = options.clockRate ?? 1;
    const skewMs = options.skewMs ?? 0;
    const after = (delayMs: number, callback: () => void): Timer =>
      // A timer runs by the process's own clock, and never synchronously.
      this.schedule(owner, Math.max(0, delayMs) / rate, callback);
    return {
      name: options.name,
      clock: {
        wallMs: () => Math.floor(WALL_CLOCK_START_MS + skewMs + this.currentMs * rate),
        monotonicMs: () => this.currentMs * rate,
      },
      timers: {
        after,
        sleep: (delayMs, signal) =>
          new Promise((resolve) => {
            if (signal?.aborted === true) {
              resolve();
              return;
            }
            const timer = after(delayMs, () => {
              forget?.();
              resolve();
            });
            const forget =
              signal === undefined
                ? null
                : whenAborted(signal, () => {
                    timer.cancel();
                    resolve();
                  });
          }),
      },
      state: () => owner.state,
      pause: () => {
        if (owner.state === 'RUNNING') owner.state = 'PAUSED';
      },
      resume: () => {
        if (owner.state !== 'PAUSED') return;
        owner.state = 'RUNNING';
        const held = owner.held;
        owner.held = [];
        for (const event of held) if (!event.cancelled) this.push({ ...event, atMs: this.currentMs }, event);
      },
      kill: () => {
        owner.state = 'DEAD';
        owner.held = [];
      },
      enter: (work) => {
        if (owner.state === 'RUNNING') work();
        else this.schedule(owner, 0, work);
      },
      deliver: (delayMs, run) => this.schedule(owner, delayMs, run),
    };
  }

  /**
   * Runs events until true time `until` (ms), or until the predicate holds after an event, or until nothing is left.
   * Throws what an event threw, or what was handed to `fail`. Answers whether the time or predicate was reached.
   */
  async run(until: number | (() => boolean), limitMs = Infinity): Promise<boolean> {
    const done = typeof until === 'number' ? () => false : until;
    const endMs = typeof until === 'number' ? until : limitMs;
    for (;;) {
      const reached = await inOneTurn(() => this.runSome(done, endMs));
      if (reached !== null) return reached || typeof until === 'number';
    }
  }

  /** Runs events for one turn of the real event loop; null if there are more, else whether the predicate held. */
  private runSome(done: () => boolean, endMs: number): boolean | null {
    for (let events = 0; events < EVENTS_PER_TURN; events++) {
      if (this.failure !== null) throw this.failure;
      if (done()) return true;
      const event = this.queue[0];
      if (event === undefined || event.atMs > endMs) {
        if (endMs !== Infinity) this.currentMs = Math.max(this.currentMs, endMs);
        return false;
      }
      this.pop();
      if (event.cancelled || event.owner?.state === 'DEAD') continue;
      if (event.owner?.state === 'PAUSED') {
        event.owner.held.push(event);
        continue;
      }
      this.atThisInstant = event.atMs > this.currentMs ? 0 : this.atThisInstant + 1;
      if (this.atThisInstant > EVENTS_PER_INSTANT_MAX) throw new Error(`time stands still at ${this.currentMs} ms`);
      this.currentMs = Math.max(this.currentMs, event.atMs);
      this.eventsRun++;
      event.run();
      runMicrotasks?.();
    }
    return null;
  }

  private schedule(owner: Owner | null, delayMs: number, run: () => void): ScheduledEvent {
    const event: Event = {
      atMs: this.currentMs + Math.max(0, delayMs),
      sequence: this.sequence++,
      owner,
      run,
      cancelled: false,
    };
    this.push(event, event);
    return {
      cancel: () => {
        event.cancelled = true;
      },
    };
  }

  /** Binary heap by (time, sequence). `original` keeps cancellation shared when a held event is queued again. */
  private push(event: Event, original: Event): void {
    const entry =
      event === original
        ? event
        : {
            ...event,
            sequence: this.sequence++,
            run: () => {
              if (!original.cancelled) original.run();
            },
          };
    const heap = this.queue;
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(entry, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = entry;
  }

  private pop(): void {
    const heap = this.queue;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
  }
}

const waitingFor = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls back when the signal aborts, unless the returned function was called before. One listener for each signal: a node's loop sleeps under the same one for days. */
function whenAborted(signal: AbortSignal, callback: () => void): () => void {
  let waiting = waitingFor.get(signal);
  if (waiting === undefined) {
    const all = (waiting = new Set<() => void>());
    waitingFor.set(signal, all);
    signal.addEventListener('abort', () => [...all].forEach((wake) => wake()), { once: true });
  }
  const here = waiting;
  here.add(callback);
  return () => void here.delete(callback);
}

const before = (left: Event, right: Event): boolean =>
  left.atMs < right.atMs || (left.atMs === right.atMs && left.sequence < right.sequence);

/**
 * Runs every microtask and tick that is ready, however long their chains: what Node itself does when a callback of its event loop
 * returns (lib/internal/process/task_queues.js). A turn of the real loop does the same at some 2 us for each event; where Node does
 * not offer the call, it is taken.
 */
const runMicrotasks = (process as unknown as { readonly _tickCallback?: () => void })._tickCallback;
/** Events run in one turn of the real event loop, so that signals and the test runner's own timers get theirs. */
const EVENTS_PER_TURN = runMicrotasks === undefined ? 1 : 20_000;

/** Runs `work` as a callback of the real event loop, outside of every microtask: only there can microtasks be run by hand. */
const inOneTurn = <T>(work: () => T): Promise<T> =>
  new Promise((resolve, reject) => {
    inNextTurn(() => {
      try {
        resolve(work());
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });
