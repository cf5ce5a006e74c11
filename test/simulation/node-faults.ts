import type { ControlPlaneTransport } from '../../data-node/agent/ports.ts';
import type { Engine } from '../../data-node/engine/engine.ts';
import { StorageError } from '../../data-node/engine/storage-error.ts';
import type { Durability, EngineTransaction } from '../../data-node/engine/types.ts';
import type { SeededRandom } from './random.ts';

/** What goes wrong inside a data node without its process ending: a disk that is full or slow, statistics that are not true. */

/** FULL: every write is refused. SLOW: each one holds up the whole process for a while. */
export type DiskCondition = 'WELL' | 'SLOW' | 'FULL';

/** How long a slow disk takes for one commit, ms: up to a third of the shortest lease. */
const STALL_MS_MAX = 1_000;
/** Of a slow disk's commits, how many take long. */
const STALL_PROBABILITY = 0.3;

/** The engine over a disk whose condition changes. */
export function onDisk(
  engine: Engine,
  disk: { condition: () => DiskCondition; stall: (stallMs: number) => void; random: SeededRandom },
): Engine {
  const writing = <T>(write: () => T): T => {
    if (disk.condition() === 'FULL') throw new StorageError('FULL', 'simulated full disk');
    const result = write();
    if (disk.condition() === 'SLOW' && disk.random.chance(STALL_PROBABILITY))
      disk.stall(disk.random.between(0, STALL_MS_MAX));
    return result;
  };
  const writes: Pick<Engine, 'transaction' | 'put'> = {
    transaction: <T>(change: (tx: EngineTransaction) => T, durability?: Durability) =>
      writing(() => engine.transaction(change, durability)),
    put: (entries) => writing(() => engine.put(entries)),
  };
  return Object.assign(Object.create(engine) as Engine, writes);
}

const LIE_MAX = 1_000_000;

/** Statistics as the contract allows them, and as they never were: nothing but load and placement may depend on them (I-8). */
export function liesInStatistics(
  transport: ControlPlaneTransport,
  lies: () => boolean,
  random: SeededRandom,
): ControlPlaneTransport {
  const number = (): number => random.below(LIE_MAX);
  const madeUp = (stats: Readonly<Record<string, unknown>>): Record<string, unknown> => ({
    ...stats,
    shards: number(),
    leaders: number(),
    bytes: number(),
    requests_per_second: number(),
    fsync_ms_p99: random.pick([0, number()]),
    client_ms_p99: random.pick([0, number()]),
    disk_full: random.chance(0.5),
    disk: { capacity_bytes: number(), used_bytes: number() },
    busiest: (stats['busiest'] as readonly object[]).map((shard) => ({
      ...shard,
      role: random.pick(['LEADER', 'FOLLOWER']),
      serving: random.chance(0.5),
      bytes: number(),
      rows: number(),
      lag_entries: number(),
    })),
  });
  return {
    call: (request) => {
      const { body } = request;
      if (!lies() || typeof body !== 'object' || body === null || !('stats' in body)) return transport.call(request);
      return transport.call({
        ...request,
        body: { ...body, stats: madeUp(body.stats as Readonly<Record<string, unknown>>) },
      });
    },
  };
}
