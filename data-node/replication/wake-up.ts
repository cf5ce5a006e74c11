import type { Timer, Timers } from '../../shared/domain/environment.ts';

/** A loop's pause that others can cut short. A wake-up between two pauses ends the next one at once. */
export class WakeUp {
  private readonly timers: Timers;
  private woken = false;
  private end: (() => void) | null = null;

  constructor(timers: Timers) {
    this.timers = timers;
  }

  wake(): void {
    this.woken = true;
    this.end?.();
  }

  /** Forgets earlier wake-ups: called before looking at the state that they announce. */
  clear(): void {
    this.woken = false;
  }

  wait(pauseMs: number): Promise<void> {
    if (this.woken) return Promise.resolve();
    return new Promise((resolve) => {
      const timer: Timer = this.timers.after(Math.max(0, pauseMs), () => this.end?.());
      this.end = () => {
        this.end = null;
        timer.cancel();
        resolve();
      };
    });
  }
}
