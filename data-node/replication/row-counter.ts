import { asStorageError } from '../engine/storage-error.ts';
import { BackgroundTurns } from './background-turns.ts';
import type { HostContext } from './context.ts';

/** A count that failed transactions made void begins anew, so often. */
const ATTEMPTS_MAX = 3;

/** Counts rows and bytes of a key range in the background, a little at a time, so that a fork need not. */
export class RowCounter {
  private readonly context: HostContext;
  private closed = false;

  constructor(context: HostContext) {
    this.context = context;
  }

  close(): void {
    this.closed = true;
  }

  /** Counts from `fromKey` to the replica's end. False: the replica is gone or its disk failed; the size stays an estimate. */
  async count(shardId: string, fromKey: string): Promise<boolean> {
    const { engine, env } = this.context;
    try {
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        if (engine.replica(shardId) === undefined) return false;
        engine.beginCount(shardId, fromKey);
        const turns = new BackgroundTurns(env);
        for (;;) {
          const beganMs = turns.begin();
          const step = engine.continueCount(shardId, turns.keys);
          if (step === 'DONE') return true;
          if (step === 'LOST') break;
          await turns.rest(beganMs);
          if (this.closed) return false;
        }
      }
      return false;
    } catch (error) {
      if (asStorageError(error) === null) throw error;
      return false;
    }
  }

  /** Puts counted figures in the place of estimates. */
  async recount(shardId: string): Promise<void> {
    const { engine, commits } = this.context;
    const meta = engine.replica(shardId);
    if (meta === undefined || !(await this.count(shardId, meta.descriptor.start_key))) return;
    await commits.submit((tx) => {
      if (tx.replica(shardId)?.replicaId === meta.replicaId) tx.adoptCount(shardId);
    });
  }
}
