import type { Timers } from '../ports.ts';

/** What a round needs to know of a link: the newest round that its follower confirmed, and when that append was sent. */
export interface Confirmation {
  readonly required: boolean;
  readonly confirmedRound: number;
  /** Monotonic ms. */
  readonly confirmedSentMs: number;
}

interface Waiting {
  readonly round: number;
  readonly resolve: (confirmedAtMs: number | null) => void;
}

/**
 * Rounds by which a leader without a lease finds out that it still leads (E5): each member of its ack set answers an append of its
 * epoch that was sent after the round began. As whoever is elected is a member and promises the higher epoch first, nobody had
 * begun to lead by then. Reads and writes that arrive while a round is on its way share the next one.
 */
export class ReadRounds {
  private readonly timers: Timers;
  private readonly waiting = new Set<Waiting>();
  private begun = 0;

  constructor(timers: Timers) {
    this.timers = timers;
  }

  /** The newest round that began: an append sent now confirms it. */
  present(): number {
    return this.begun;
  }

  /** Begins a round. Answers a moment (monotonic ms) in which this term was the newest one; null: not confirmed in time, or ended. */
  begin(timeoutMs: number): Promise<number | null> {
    this.begun++;
    return new Promise((resolve) => {
      const timer = this.timers.after(timeoutMs, () => {
        waiting.resolve(null);
      });
      const waiting: Waiting = {
        round: this.begun,
        resolve: (confirmedAtMs) => {
          timer.cancel();
          this.waiting.delete(waiting);
          resolve(confirmedAtMs);
        },
      };
      this.waiting.add(waiting);
    });
  }

  /** A follower answered, or the ack set changed. */
  confirm(links: Iterable<Confirmation>, nowMs: number): void {
    if (this.waiting.size === 0) return;
    let round = Infinity;
    let atMs = nowMs;
    for (const link of links) {
      if (!link.required) continue;
      round = Math.min(round, link.confirmedRound);
      atMs = Math.min(atMs, link.confirmedSentMs);
    }
    for (const one of [...this.waiting]) if (one.round <= round) one.resolve(atMs);
  }

  endAll(): void {
    for (const one of [...this.waiting]) one.resolve(null);
  }
}
