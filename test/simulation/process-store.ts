import type { ItemKey, ItemWrite, MetadataStore, QueryRequest } from '../../shared/ports.ts';
import { StoreError } from '../../shared/ports.ts';
import type { StoreCall, StoreFault, StoreFaults } from '../../shared/store/faults.ts';
import { fnv1a } from './random.ts';
import type { SeededRandom } from './random.ts';
import type { SimulatedProcess, VirtualTime } from './virtual-time.ts';

/** What the store's front does to calls. Probabilities are 0 to 1. */
export interface StoreWeather {
  readonly latencyMsMax: number;
  /** Refused before it had an effect, with `refusal`. */
  readonly throttleProbability: number;
  readonly refusal: 'THROTTLED' | 'UNAVAILABLE';
  /** Writes only: refused by another transaction. */
  readonly conflictProbability: number;
  /** Writes only: applied, and the caller gets an error. */
  readonly lostAnswerProbability: number;
}

export const FAIR_STORE: StoreWeather = {
  latencyMsMax: 3,
  throttleProbability: 0,
  refusal: 'THROTTLED',
  conflictProbability: 0,
  lostAnswerProbability: 0,
};

const LATENCY_MS_MIN = 0.5;

/** Weather of the whole store, changed by the faults of a run. */
export class StoreClimate {
  weather: StoreWeather = FAIR_STORE;
}

/**
 * The store as one process sees it: a call travels, takes effect, and its answer travels back into the process. So a process
 * that is paused or killed between two calls stops right there, while what it had sent still takes effect.
 */
export function processStore(
  store: MetadataStore,
  time: VirtualTime,
  process: SimulatedProcess,
  random: SeededRandom,
  climate: StoreClimate,
): MetadataStore {
  const latencyMs = (): number => random.between(LATENCY_MS_MIN, climate.weather.latencyMsMax);
  const call = <T>(effect: 'read' | 'write', run: () => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      const answer = (settle: () => void): void => {
        process.deliver(latencyMs(), settle);
      };
      time.after(latencyMs(), () => {
        const { weather } = climate;
        if (random.chance(weather.throttleProbability)) {
          answer(() => reject(new StoreError(weather.refusal, 'simulated refusal')));
          return;
        }
        if (effect === 'write' && random.chance(weather.conflictProbability)) {
          answer(() => reject(new StoreError('TRANSACTION_CONFLICT', 'simulated conflict')));
          return;
        }
        const lost = effect === 'write' && random.chance(weather.lostAnswerProbability);
        run().then(
          (value) => {
            answer(() => {
              if (lost) reject(new StoreError('UNAVAILABLE', 'simulated loss of an answer'));
              else resolve(value);
            });
          },
          (error: unknown) => {
            answer(() => reject(error instanceof Error ? error : new Error(String(error))));
          },
        );
      });
    });
  return {
    get: (key: ItemKey) => call('read', () => store.get(key)),
    getMany: (keys: readonly ItemKey[]) => call('read', () => store.getMany(keys)),
    getSnapshot: (keys: readonly ItemKey[]) => call('read', () => store.getSnapshot(keys)),
    query: (request: QueryRequest) => call('read', () => store.query(request)),
    write: (write: Exclude<ItemWrite, { kind: 'check' }>) => call('write', () => store.write(write)),
    transact: (writes: readonly ItemWrite[]) => call('write', () => store.transact(writes)),
  };
}

/**
 * What DynamoDB allows and SQLite does not do by itself: a transaction's answer takes a moment, during which reads of several
 * items may see some of them as they were before it.
 */
export function tornReads(random: SeededRandom): StoreFaults {
  const TRANSACTION_MS_MAX = 2;
  const TORN_PROBABILITY = 0.5;
  return {
    plan: (call: StoreCall): StoreFault | null => {
      if (call.method === 'transact') return { delayAfterMs: random.between(0.1, TRANSACTION_MS_MAX) };
      if (call.method === 'getSnapshot' || call.method === 'write' || !random.chance(TORN_PROBABILITY)) return null;
      const salt = random.hex(4);
      return { seesBefore: (key) => (fnv1a(`${salt}${key.pk}${key.sk}`) & 1) === 0 };
    },
  };
}
