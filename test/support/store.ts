import type { Timers } from '../../shared/domain/environment.ts';
import type { Records } from '../../shared/ports.ts';
import { createDirectory } from '../../shared/store/directory.ts';
import type { DirectoryWithPages } from '../../shared/store/directory.ts';
import type { CommittedWrite, StoreCall, StoreFault, StoreFaults } from '../../shared/store/faults.ts';
import { createRecords } from '../../shared/store/records.ts';
import type { EmbeddedStore, EmbeddedStoreOptions } from '../../shared/store/embedded-store.ts';
import { SqliteStore } from '../../shared/store/sqlite-store.ts';
import { MemoryStore } from '../simulation/memory-store.ts';
import { ManualClock, ManualTimers, seededRandom } from './environment.ts';

/** Faults that a test switches on and off, and the log of all calls. */
export class ScriptedFaults implements StoreFaults {
  readonly calls: StoreCall[] = [];
  #plan: (call: StoreCall) => StoreFault | null = () => null;

  plan(call: StoreCall): StoreFault | null {
    this.calls.push(call);
    return this.#plan(call);
  }
  /** Every later call is judged by `plan`. */
  use(plan: (call: StoreCall) => StoreFault | null): void {
    this.#plan = plan;
  }
  /** The next call of `method` gets `fault`, later ones none. */
  once(method: StoreCall['method'], fault: StoreFault): void {
    let spent = false;
    this.#plan = (call) => {
      if (spent || call.method !== method) return null;
      spent = true;
      return fault;
    };
  }
  none(): void {
    this.#plan = () => null;
  }
  /** Calls made while `work` runs, in order. */
  async during(work: () => Promise<unknown>): Promise<readonly StoreCall['method'][]> {
    const start = this.calls.length;
    await work();
    return this.calls.slice(start).map((call) => call.method);
  }
}

export interface StoreWorld {
  readonly store: EmbeddedStore;
  readonly records: Records;
  readonly directory: DirectoryWithPages;
  readonly clock: ManualClock;
  readonly timers: ManualTimers;
  readonly random: ReturnType<typeof seededRandom>;
  readonly faults: ScriptedFaults;
  readonly committed: (readonly CommittedWrite[])[];
  /** Another process over the same store: its own, cold root cache. */
  newDirectory(): DirectoryWithPages;
  close(): void;
}

export interface StoreWorldOptions {
  readonly seed?: number;
  readonly timers?: Timers;
  /**
   * SQLITE: the store of one machine, in `:memory:`. PLAIN: maps without SQL and JSON, which pass the same contract suite and take a third of
   * the time; for stories of many commits.
   */
  readonly items?: 'SQLITE' | 'PLAIN';
}

/** An embedded store in memory with everything over it: deterministic clock and randomness, scripted faults. */
export function storeWorld(options: StoreWorldOptions = {}): StoreWorld {
  const clock = new ManualClock();
  const timers = new ManualTimers(clock);
  const random = seededRandom(options.seed ?? 1);
  const faults = new ScriptedFaults();
  const committed: (readonly CommittedWrite[])[] = [];
  const behaviour: EmbeddedStoreOptions = {
    random,
    timers: options.timers ?? timers,
    faults,
    onCommit: (writes) => committed.push(writes),
  };
  const store =
    options.items === 'PLAIN' ? new MemoryStore(behaviour) : new SqliteStore({ path: ':memory:', ...behaviour });
  const records = createRecords(store, { clock, random });
  const newDirectory = (): DirectoryWithPages => createDirectory({ store, records, clock, random });
  return {
    store,
    records,
    directory: newDirectory(),
    clock,
    timers,
    random,
    faults,
    committed,
    newDirectory,
    close: () => store.close(),
  };
}
