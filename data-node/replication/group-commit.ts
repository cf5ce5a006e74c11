import type { Engine } from '../engine/engine.ts';
import { asStorageError } from '../engine/storage-error.ts';
import type { StorageError } from '../engine/storage-error.ts';
import type { Durability, EngineTransaction } from '../engine/types.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { Environment } from '../ports.ts';

interface Pending {
  readonly durability: Durability;
  readonly attempt: (tx: EngineTransaction) => () => void;
  readonly fail: (error: unknown) => void;
}

/** A disk counts as full until no write was refused for so long, ms: a small write may go through where a larger one does not. */
const FULL_FOR_MS = 60_000;
/** Samples of transaction times kept for the p99. */
const FSYNC_SAMPLES_MAX = 1_024;

/**
 * Group commit: changes submitted in one turn of the loop share one transaction, hence one fsync. A change runs inside the
 * transaction, checks there what it relies on, and must have no effect but through it: after a failure it runs again, alone.
 */
export class GroupCommit {
  private readonly engine: Engine;
  private readonly env: Environment;
  private pending: Pending[] = [];
  private readonly samples: number[] = [];
  private nextSample = 0;
  private fullAtMs = -Infinity;
  private savedAtMs = -Infinity;

  constructor(engine: Engine, env: Environment) {
    this.engine = engine;
    this.env = env;
  }

  /** Resolves after the fsync, or the commit of a LAZY one. Rejects only with what `change` throws that is no storage failure (a bug). */
  submit<T>(
    change: (tx: EngineTransaction) => T,
    durability: Durability = 'FSYNCED',
  ): Promise<Result<T, StorageError>> {
    return new Promise((resolve, reject) => {
      this.pending.push({
        durability,
        attempt: (tx) => {
          const value = change(tx);
          return () => {
            resolve(ok(value));
          };
        },
        fail: (error) => {
          const storage = asStorageError(error);
          if (storage === null) reject(error instanceof Error ? error : new Error(String(error)));
          else resolve(err(storage));
        },
      });
      if (this.pending.length === 1) this.env.timers.after(0, () => this.flush());
    });
  }

  /** Milliseconds of the slowest hundredth of the last transactions; 0 before the first. */
  fsyncMsP99(): number {
    const sorted = [...this.samples].sort((left, right) => left - right);
    return sorted[Math.floor((sorted.length - 1) * 0.99)] ?? 0;
  }

  /** True while the disk refuses writes: from the first refusal until a minute has passed without one, in which something was saved. */
  diskFull(): boolean {
    if (this.fullAtMs === -Infinity) return false;
    const passed = this.env.clock.monotonicMs() - this.fullAtMs >= FULL_FOR_MS;
    return !passed || this.savedAtMs <= this.fullAtMs;
  }

  private flush(): void {
    const batch = this.pending;
    this.pending = [];
    if (this.run(batch) === null || batch.length === 0) return;
    for (const item of batch) {
      const failure = this.run([item]);
      if (failure !== null) item.fail(failure.error);
    }
  }

  private run(batch: readonly Pending[]): { error: unknown } | null {
    const startMs = this.env.clock.monotonicMs();
    const durability = batch.every((item) => item.durability === 'LAZY') ? 'LAZY' : 'FSYNCED';
    try {
      const settled = this.engine.transaction((tx) => batch.map((item) => item.attempt(tx)), durability);
      this.savedAtMs = this.env.clock.monotonicMs();
      if (durability === 'FSYNCED') this.samples[this.nextSample++ % FSYNC_SAMPLES_MAX] = this.savedAtMs - startMs;
      for (const settle of settled) settle();
      return null;
    } catch (error) {
      if (asStorageError(error)?.code === 'FULL') this.fullAtMs = this.env.clock.monotonicMs();
      return { error };
    }
  }
}
