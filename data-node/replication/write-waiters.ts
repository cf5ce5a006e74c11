import type { HybridTimestamp } from '../engine/hlc.ts';
import type { Timers } from '../ports.ts';

/** How a write that is in the log ended for its client. UNKNOWN: it may or may not survive. */
export type WaitOutcome =
  /** `checkedMs`: when the leader found itself entitled to acknowledge, on its monotonic clock (R5). */
  { readonly kind: 'ACKNOWLEDGED'; readonly checkedMs: number } | { readonly kind: 'UNKNOWN' };

interface Waiter {
  readonly seq: number;
  readonly resolve: (outcome: WaitOutcome) => void;
}

/** Clients whose writes are in the leader's log and not yet acknowledged. */
export class WriteWaiters {
  private readonly timers: Timers;
  private waiting = new Set<Waiter>();

  constructor(timers: Timers) {
    this.timers = timers;
  }

  get size(): number {
    return this.waiting.size;
  }

  wait(seq: number, timeoutMs: number): Promise<WaitOutcome> {
    return new Promise((resolve) => {
      const timer = this.timers.after(timeoutMs, () => {
        waiter.resolve({ kind: 'UNKNOWN' });
      });
      const waiter: Waiter = {
        seq,
        resolve: (outcome) => {
          timer.cancel();
          this.waiting.delete(waiter);
          resolve(outcome);
        },
      };
      this.waiting.add(waiter);
    });
  }

  /** Acknowledges what is committed. The caller checked the lease after it evaluated the ack set (R5). */
  acknowledge(commitSeq: number, checkedMs: number): void {
    for (const waiter of [...this.waiting])
      if (waiter.seq <= commitSeq) waiter.resolve({ kind: 'ACKNOWLEDGED', checkedMs });
  }

  endAll(): void {
    for (const waiter of [...this.waiting]) waiter.resolve({ kind: 'UNKNOWN' });
  }
}

/** What a client's write is, once validated. */
export interface ClientWrite {
  readonly writeId: string;
  readonly fingerprint: string;
  readonly changes: readonly { readonly key: string; readonly value: string | null }[];
}

export type WriteOutcome =
  | { readonly kind: 'ACKNOWLEDGED'; readonly at: HybridTimestamp; readonly checkedMs: number }
  | {
      readonly kind: 'REFUSED';
      readonly code:
        'NOT_LEADER' | 'WRITE_ID_REUSED' | 'NOT_ENOUGH_REPLICAS' | 'KEY_OUT_OF_RANGE' | 'STORAGE' | 'NO_LEASE';
      readonly message: string;
    }
  | { readonly kind: 'UNKNOWN'; readonly message: string };
