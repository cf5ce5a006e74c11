import { LeaderBook, TableRoutes } from '../../client/route-cache.ts';
import type { Route } from '../../shared/contracts/data/rows.ts';
import { seededRandom } from '../../test/simulation/random.ts';

/**
 * Run in a process of its own, with --expose-gc: fills a cache with the number of shards in the first argument and prints, as
 * JSON, what a look-up takes and what a shard costs. See bench/route-cache.ts.
 */
export interface Measurement {
  /** Of each round. */
  readonly lookupsPerSecond: readonly number[];
  readonly bytesPerShard: number;
}

const ROUNDS = 7;
/** Look-ups that one round times. */
const LOOKUPS_PER_ROUND = 1_000_000;
/**
 * Keys made between two timed stretches: so few that they are still in the processor's cache, as the key of a request that was
 * just received is, and so many that reading the clock does not count.
 */
const KEYS_AT_ONCE = 1_000;
const NODES = 100;
/** Keys are `user-` and 12 random hex digits. */
const KEY_DIGITS = 12;
const KEY_SPACE = 16 ** KEY_DIGITS;

const keyAt = (fraction: number): string =>
  Buffer.from(
    `user-${Math.floor(fraction * KEY_SPACE)
      .toString(16)
      .padStart(KEY_DIGITS, '0')}`,
  ).toString('latin1');

/** Every string fresh and flat, as from the answer of the control plane. */
function routeAt(shard: number, shards: number, jitter: (shard: number) => number): Route {
  const bound = (at: number): string => keyAt((at + jitter(at)) / shards);
  const route: Route = {
    table: 'users',
    shard_id: `shard-${shard.toString(16).padStart(16, '0')}`,
    key_type: 'string',
    start_key: shard === 0 ? '' : bound(shard),
    end_key: shard === shards - 1 ? null : bound(shard + 1),
    epoch: 1 + (shard % 7),
    generation: 1 + (shard % 11),
    leader: { node_id: `node-${shard % NODES}`, host: `10.0.0.${shard % NODES}`, port: 7000, node_epoch: 1 },
    replicas: [],
  };
  return JSON.parse(JSON.stringify(route)) as Route;
}

function heldBytes(): number {
  if (globalThis.gc === undefined) throw new Error('run with --expose-gc');
  for (let i = 0; i < 3; i++) globalThis.gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function measure(shards: number): Measurement {
  const random = seededRandom('route-cache-bench');
  const jitter = (shard: number): number => ((shard * 2_654_435_761) % 1_000) / 2_000;
  const book = new LeaderBook();
  const before = heldBytes();
  const cache = new TableRoutes('string', book);
  for (let shard = 0; shard < shards; shard++) cache.learn(routeAt(shard, shards, jitter));
  cache.lookup('user-'); // what is built at the first look-up counts
  const bytesPerShard = (heldBytes() - before) / shards;

  let answers = 0;
  const timed = (lookups: number): number => {
    let spentMs = 0;
    for (let done = 0; done < lookups; done += KEYS_AT_ONCE) {
      const keys = Array.from({ length: KEYS_AT_ONCE }, () => keyAt(random.next()));
      const fromMs = performance.now();
      for (const key of keys) {
        const route = cache.lookup(key);
        if (route !== null) answers += route.epoch + route.generation + route.leader.port;
      }
      spentMs += performance.now() - fromMs;
    }
    return (lookups / spentMs) * 1_000;
  };
  timed(LOOKUPS_PER_ROUND); // compiles
  const lookupsPerSecond = Array.from({ length: ROUNDS }, () => timed(LOOKUPS_PER_ROUND));
  if (answers < ROUNDS * LOOKUPS_PER_ROUND * 7_000) throw new Error('look-ups found no route');
  if (cache.size !== shards) throw new Error(`the cache holds ${cache.size} of ${shards} shards`);
  return { lookupsPerSecond, bytesPerShard };
}

process.stdout.write(`${JSON.stringify(measure(Number(process.argv[2])))}\n`);
