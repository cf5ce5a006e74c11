import type { Environment } from '../ports.ts';

/** Keys looked at in one turn of the loop at the most. */
const KEYS_PER_TURN_MAX = 128;
/** And at the least: a turn of large rows is shortened down to this. */
const KEYS_PER_TURN_MIN = 4;
/** How long a turn may hold the node's thread, ms: as long as a fork (DESIGN section 10). */
const TURN_MS_MAX = 1;
/** Between two turns at the least, ms. */
const PAUSE_MS = 1;
/** The pause is this many times as long as the turn was: a pass over a shard takes at most a fifth of the thread from its clients. */
const PAUSE_PER_TURN = 4;

/**
 * The pace of a pass over a shard's rows beside its clients' requests: turns of a bounded time, since how long a key takes depends on
 * its row's size and on whether its page is in memory, and a pause after each.
 */
export class BackgroundTurns {
  private readonly env: Environment;
  private keysNow = KEYS_PER_TURN_MAX;

  constructor(env: Environment) {
    this.env = env;
  }

  /** Keys for the next turn. */
  get keys(): number {
    return this.keysNow;
  }

  /** Time at which a turn begins, for `rest`. */
  begin(): number {
    return this.env.clock.monotonicMs();
  }

  /** Pauses after a turn that began at `beganMs`, and fits the next one's length. */
  async rest(beganMs: number): Promise<void> {
    const turnMs = this.env.clock.monotonicMs() - beganMs;
    if (turnMs > TURN_MS_MAX) this.keysNow = Math.max(KEYS_PER_TURN_MIN, Math.floor(this.keysNow / 2));
    else if (turnMs < TURN_MS_MAX / 2) this.keysNow = Math.min(KEYS_PER_TURN_MAX, this.keysNow * 2);
    await this.env.timers.sleep(Math.max(PAUSE_MS, turnMs * PAUSE_PER_TURN));
  }
}
