import type { StoreCall } from '../../shared/store/faults.ts';

/** What a function does to the outside, call by call, and what may go wrong with each. */

/** A call of a process to the store, to Step Functions or to a node, before it takes effect. */
export interface OutsideCall {
  /** Name of the process, e.g. `operation-step-12`. */
  readonly process: string;
  readonly what: string;
  /** A READ changes nothing outside. */
  readonly kind: 'READ' | 'EFFECT';
  /** Counted from 1 over all mortal processes, once crashes begin; 0 before. */
  readonly number: number;
  /** Effects of this invocation so far, this one included. */
  readonly effects: number;
  /** Null: not a call of the store. */
  readonly store: StoreCall | null;
  /** Where in the code it comes from; null unless calls are traced. */
  readonly stack: string | null;
}

/** What becomes of a call. Parts combine. */
export interface CallFate {
  /** The process does nothing more: no catch, no finally, no answer. BEFORE: the call has no effect either. */
  readonly dies?: 'BEFORE' | 'AFTER';
  /** The whole process stands still until this settles; then the call takes effect, however old its reason is. */
  readonly frozenUntil?: Promise<void>;
  /** Done in the world before the call takes effect. */
  readonly first?: () => Promise<void>;
  /** The caller gets this error. BEFORE: the call has no effect; AFTER: it has. */
  readonly throws?: { readonly side: 'BEFORE' | 'AFTER'; readonly error: Error };
  /** Done in the world after the effect, before the answer. */
  readonly then?: () => Promise<void>;
}

/** Null: nothing goes wrong. */
export type Judge = (call: OutsideCall) => CallFate | null;

export interface CrashPoint {
  /** Counted from 1 over all mortal processes of a run. */
  readonly call: number;
  readonly side: 'BEFORE' | 'AFTER';
}

/** At which call a process dies. */
export class DeathPlan {
  readonly point: CrashPoint | null;
  died: string | null = null;
  constructor(point: CrashPoint | null) {
    this.point = point;
  }
  readonly judge: Judge = ({ number, process, what }) => {
    if (this.died !== null || this.point === null || number !== this.point.call) return null;
    this.died = `${process} ${what}`;
    return { dies: this.point.side };
  };
}
