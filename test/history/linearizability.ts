import { describeOperation } from './operations.ts';
import type { RegisterOperation } from './operations.ts';
import { NOTHING, timelineOf } from './timeline.ts';
import type { Step, Timeline } from './timeline.ts';

/**
 * Linearizability of one key's history (M. Herlihy and J. Wing, "Linearizability", ACM TOPLAS 12, 1990): whether one order of the
 * operations, in which each takes effect at some moment between its call and its return, explains what every client saw.
 *
 * The search goes back to J. Wing and C. Gong, "Testing and verifying concurrent objects", Journal of Parallel and Distributed Computing
 * 17 (1993), with memoised configurations and just-in-time linearization as in G. Lowe, "Testing for linearizability", Concurrency and
 * Computation: Practice and Experience 29 (2017), which Knossos follows too: going through calls and returns in time, it keeps the set
 * of configurations (the register's value, and which of the pending operations have taken effect), and extends them only when an
 * operation returns that must have taken effect by then. No configuration left: not linearizable.
 *
 * Deciding this is NP-complete in general. Puts of unique values make it fast (P. B. Gibbons and E. Korach, "Testing shared memories",
 * SIAM Journal on Computing 26, 1997), here by these reductions, none of which changes the answer:
 *  - A pending read takes effect as soon as the register holds its value: that costs nothing.
 *  - A put's value that will be read again must not be overwritten: no other put brings it back.
 *  - A value that will not be read again is forgotten: such configurations are one.
 *  - Where the present value may go, every pending write whose reads were all called takes effect unseen.
 *  - Of the pending deletes the one that returns first goes first; one of unknown outcome goes last, as it need not happen at all.
 */

/** The register's value will not be read again, whatever it is. */
const FORGOTTEN = -1;

/** Pending operations that an explanation names. */
const NAMED_MAX = 8;

/** An operation that was called and has not returned. */
interface Pending {
  readonly step: Step;
  /** Its place in `Configuration.done`. */
  readonly bit: bigint;
}

interface Configuration {
  /** `FORGOTTEN`, `NOTHING`, or the number of a value that will be read again. */
  readonly value: number;
  /** Pending operations that have taken effect, a bit for each. */
  readonly done: bigint;
  /** Deletes of unknown outcome that have taken effect. */
  readonly looseUsed: number;
}

/** Explanations of why the history of `key` is not linearizable; empty if it is. Throws if two puts have one value. */
export function checkRegister(key: string, history: readonly RegisterOperation[]): readonly string[] {
  const prepared = timelineOf(history);
  if ('impossible' in prepared)
    return prepared.impossible.map((operation) =>
      operation.kind === 'read'
        ? `${key}: ${describeOperation(operation)}, which nobody wrote`
        : `${key}: ${describeOperation(operation)}, but it was read before that began`,
    );
  const failed = new Search(prepared.timeline).run();
  return failed === null ? [] : [`${key}: ${failed}`];
}

class Search {
  private readonly timeline: Timeline;
  private configurations: readonly Configuration[];
  /** Pending operations by slot; slots are used again, so that bits stay few. */
  private readonly slots: (Pending | null)[] = [];
  private readonly pendingOf = new Map<Step, Pending>();
  /** Definite deletes that are pending, the one that returns first in front. */
  private readonly deletes: Pending[] = [];
  /** Deletes of unknown outcome that were sent. */
  private looseSent = 0;
  /** Reads that were not called yet, by value. */
  private readonly readsLeft: number[];
  /** Bits of the pending reads, by value. */
  private readonly readBits: bigint[];

  constructor(timeline: Timeline) {
    this.timeline = timeline;
    this.readsLeft = [...timeline.reads];
    this.readBits = timeline.reads.map(() => 0n);
    this.configurations = [this.settled({ value: NOTHING, done: 0n, looseUsed: 0 })];
  }

  /** Null if there is an order, else why there is none. */
  run(): string | null {
    for (const event of this.timeline.events)
      switch (event.kind) {
        case 'CALL':
          this.call(event.step);
          break;
        case 'LOOSE_DELETE':
          this.looseSent++;
          break;
        case 'RETURN': {
          const before = this.configurations;
          this.configurations = this.afterReturn(this.pending(event.step));
          if (this.configurations.length === 0) return this.explain(event.step, before);
        }
      }
    return null;
  }

  private call(step: Step): void {
    const free = this.slots.indexOf(null);
    const slot = free === -1 ? this.slots.length : free;
    const pending: Pending = { step, bit: 1n << BigInt(slot) };
    this.slots[slot] = pending;
    this.pendingOf.set(step, pending);
    const { value } = step;
    if (step.kind === 'read') {
      this.readsLeft[value] = this.readsLeft[value]! - 1;
      this.readBits[value] = this.readBits[value]! | pending.bit;
    } else if (value === NOTHING) {
      const later = this.deletes.findIndex((other) => other.step.endMs > step.endMs);
      this.deletes.splice(later === -1 ? this.deletes.length : later, 0, pending);
    }
    this.configurations = distinct(
      this.configurations.map((configuration) =>
        this.settled(
          step.kind === 'read' && configuration.value === value
            ? { ...configuration, done: configuration.done | pending.bit }
            : configuration,
        ),
      ),
    );
  }

  /** What can be the case when `pending` has returned: it has taken effect, and its slot is free. */
  private afterReturn(pending: Pending): readonly Configuration[] {
    const { step, bit } = pending;
    const reached = this.configurations.flatMap((configuration) =>
      (configuration.done & bit) === 0n ? this.extensions(configuration, pending) : [configuration],
    );
    this.pendingOf.delete(step);
    this.slots[this.slots.indexOf(pending)] = null;
    if (step.kind === 'read') this.readBits[step.value] = this.readBits[step.value]! & ~bit;
    else if (step.value === NOTHING) this.deletes.splice(this.deletes.indexOf(pending), 1);
    return distinct(reached.map(({ value, done, looseUsed }) => ({ value, done: done & ~bit, looseUsed })));
  }

  /** All that `configuration` can become so that `goal` has just taken effect; deletes may come before it. */
  private extensions(configuration: Configuration, goal: Pending): Configuration[] {
    const found: Configuration[] = [];
    let from: Configuration | null = configuration;
    while (from !== null && mayGo(from.value)) {
      const reached = this.achieve(from, goal);
      if (reached !== null) found.push(reached);
      if (goal.step.value === NOTHING) break;
      from = this.deleted(from);
    }
    return found;
  }

  /** `goal` takes effect; if it is a read, by the write that it saw. Null if that write can't come now. */
  private achieve(from: Configuration, goal: Pending): Configuration | null {
    const { kind, value } = goal.step;
    if (kind === 'write') return this.written(from, goal.bit, value);
    if (value === NOTHING) return this.deleted(from);
    const put = this.slots.find((other) => other?.step.kind === 'write' && other.step.value === value) ?? null;
    return put === null || (from.done & put.bit) !== 0n ? null : this.written(from, put.bit, value);
  }

  /** A pending delete takes effect; null if there is none. */
  private deleted(from: Configuration): Configuration | null {
    const next = this.deletes.find(({ bit }) => (from.done & bit) === 0n);
    if (next !== undefined) return this.written(from, next.bit, NOTHING);
    const unanswered = this.readBits[NOTHING]! & ~from.done;
    const useful = from.value !== NOTHING && (this.readsLeft[NOTHING]! > 0 || unanswered !== 0n);
    if (!useful || from.looseUsed === this.looseSent) return null;
    return this.written({ ...from, looseUsed: from.looseUsed + 1 }, 0n, NOTHING);
  }

  private written(from: Configuration, bit: bigint, value: number): Configuration {
    const done = from.done | this.unseen() | bit | this.readBits[value]!;
    return this.settled({ value, done, looseUsed: from.looseUsed });
  }

  private settled({ value, done, looseUsed }: Configuration): Configuration {
    if (value !== FORGOTTEN && this.readsLeft[value]! > 0) return { value, done, looseUsed };
    return { value: FORGOTTEN, done: done | this.unseen(), looseUsed };
  }

  /** Bits of the pending writes that nobody will read from now on, and of the reads that wait for them. */
  private unseen(): bigint {
    let bits = 0n;
    for (const pending of this.slots)
      if (pending?.step.kind === 'write' && this.readsLeft[pending.step.value] === 0)
        bits |= pending.bit | this.readBits[pending.step.value]!;
    return bits;
  }

  private pending(step: Step): Pending {
    const pending = this.pendingOf.get(step);
    if (pending === undefined) throw new Error('an operation returns that was not called');
    return pending;
  }

  private explain(step: Step, before: readonly Configuration[]): string {
    const values = new Set(before.map(({ value }) => value));
    const held = [...values].map((value) =>
      value === FORGOTTEN ? 'what is not read any more' : `${this.nameOf(value)}, which is read again later`,
    );
    const others = [...this.pendingOf.keys(), step]
      .filter((other) => other !== step)
      .slice(0, NAMED_MAX)
      .map(({ operation }) => describeOperation(operation));
    return (
      `${describeOperation(step.operation)}: no order of the operations explains it; before its end the register held ${held.join(', or ')}` +
      (others.length === 0 ? '' : `; at the same time ${others.join('; ')}`)
    );
  }

  private nameOf(value: number): string {
    if (value === NOTHING) return 'nothing';
    const event = this.timeline.events.find((other) => other.kind === 'CALL' && other.step.value === value);
    return event?.kind === 'CALL' ? (event.step.operation.value ?? 'nothing') : 'nothing';
  }
}

/** True if another write may follow on this value. */
const mayGo = (value: number): boolean => value === FORGOTTEN || value === NOTHING;

/** One configuration for each value and set of effects: the one that used the fewest deletes of unknown outcome. */
function distinct(configurations: readonly Configuration[]): readonly Configuration[] {
  if (configurations.length < 2) return configurations;
  const best = new Map<string, Configuration>();
  for (const configuration of configurations) {
    const key = `${configuration.value}|${configuration.done}`;
    const known = best.get(key);
    if (known === undefined || configuration.looseUsed < known.looseUsed) best.set(key, configuration);
  }
  return [...best.values()];
}
