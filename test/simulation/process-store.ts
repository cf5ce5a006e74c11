import type { ItemKey, ItemWrite, MetadataStore, QueryRequest } from '../../shared/ports.ts';
import { StoreError } from '../../shared/ports.ts';
import type { StoreErrorCode } from '../../shared/ports.ts';
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
  /** Single writes only: applied, the answer lost, and sent again by the SDK. */
  readonly repeatProbability: number;
}

export const FAIR_STORE: StoreWeather = {
  latencyMsMax: 3,
  throttleProbability: 0,
  refusal: 'THROTTLED',
  conflictProbability: 0,
  lostAnswerProbability: 0,
  repeatProbability: 0,
};

const LATENCY_MS_MIN = 0.5;

/** Weather of the whole store, changed by the faults of a run. */
export class StoreClimate {
  weather: StoreWeather = FAIR_STORE;
}

/** Of reads that a process sends in one moment, how often each takes its own time. Else they travel together: it costs a third. */
const APART_PROBABILITY = 0.1;

/** What a call's answer is when it arrives: a value, or an error. */
type Answer = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown };

interface Travelling {
  readonly kind: 'read' | 'write';
  readonly run: () => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
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
  const happens = (probability: number): boolean => probability > 0 && random.chance(probability);
  const refused = (code: StoreErrorCode, message: string): Answer => ({
    ok: false,
    error: new StoreError(code, message),
  });

  /** Carries a call out, or refuses it, and hands over what is to travel back. */
  const effect = ({ kind, run }: Travelling, done: (answer: Answer) => void): void => {
    const { weather } = climate;
    if (happens(weather.throttleProbability)) {
      done(refused(weather.refusal, 'simulated refusal'));
      return;
    }
    if (kind === 'write' && happens(weather.conflictProbability)) {
      done(refused('TRANSACTION_CONFLICT', 'simulated conflict'));
      return;
    }
    const lost = kind === 'write' && happens(weather.lostAnswerProbability);
    run().then(
      (value) => done(lost ? refused('UNAVAILABLE', 'simulated loss of an answer') : { ok: true, value }),
      (error: unknown) => done({ ok: false, error }),
    );
  };

  /** Takes calls to the store and their answers back, all at the same time. */
  const travel = (calls: readonly Travelling[]): void => {
    time.after(latencyMs(), () => {
      const answers: Answer[] = [];
      let underWay = calls.length;
      calls.forEach((call, index) => {
        effect(call, (answer) => {
          answers[index] = answer;
          if (--underWay === 0) process.deliver(latencyMs(), () => calls.forEach((it, at) => settle(it, answers[at]!)));
        });
      });
    });
  };
  const settle = (call: Travelling, answer: Answer): void => {
    if (answer.ok) call.resolve(answer.value);
    else call.reject(answer.error);
  };

  let together: { readonly moment: number; readonly calls: Travelling[] } | null = null;
  const send = (call: Travelling): void => {
    if (call.kind === 'write' || climate.weather !== FAIR_STORE) {
      travel([call]);
      return;
    }
    if (together?.moment === time.eventsRun) {
      together.calls.push(call);
      return;
    }
    const calls = [call];
    together = random.chance(APART_PROBABILITY) ? null : { moment: time.eventsRun, calls };
    travel(calls);
  };

  const call = <T>(kind: 'read' | 'write', run: () => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => send({ kind, run, resolve: resolve as (value: unknown) => void, reject }));

  /** The answer is lost on its way to the SDK, which sends the write again; the store knows its own write (dynamo-store.ts). */
  const twice = async (write: SingleWrite): ReturnType<MetadataStore['write']> => {
    const first = await store.write(write);
    const byToken = write.kind === 'delete' && write.when.length > 0;
    if (!first.ok || byToken) return first;
    await new Promise<void>((resolve) => time.after(latencyMs(), resolve));
    const second = await store.write(write);
    const isOwn = !second.ok && second.error.current !== null && second.error.current.writeId === first.value?.writeId;
    return isOwn ? first : second;
  };

  return {
    get: (key: ItemKey) => call('read', () => store.get(key)),
    getMany: (keys: readonly ItemKey[]) => call('read', () => store.getMany(keys)),
    getSnapshot: (keys: readonly ItemKey[]) => call('read', () => store.getSnapshot(keys)),
    query: (request: QueryRequest) => call('read', () => store.query(request)),
    write: (write: SingleWrite) =>
      call('write', () => (happens(climate.weather.repeatProbability) ? twice(write) : store.write(write))),
    transact: (writes: readonly ItemWrite[]) => call('write', () => store.transact(writes)),
  };
}

type SingleWrite = Exclude<ItemWrite, { kind: 'check' }>;

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
      // Drawn when it is first asked for: most reads meet no transaction that is under way.
      let salt: string | null = null;
      return {
        seesBefore: (key) => {
          salt ??= random.hex(4);
          return (fnv1a(`${salt}${key.pk}${key.sk}`) & 1) === 0;
        },
      };
    },
  };
}
