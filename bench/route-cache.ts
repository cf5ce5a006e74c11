import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as z from 'zod';
import { percentile } from './load/statistics.ts';

/**
 * The client's route cache: look-ups of random keys on one core in tables of 1,000 to 1,000,000 shards, each size in a process
 * of its own, and the bytes that a shard costs at a million.
 */
export interface RouteCacheFigures {
  readonly pass: boolean;
  readonly lookups_per_second_1k: number;
  readonly lookups_per_second_100k: number;
  readonly lookups_per_second_1m: number;
  /** At a million shards, everything included. */
  readonly bytes_per_shard: number;
}

const SHARDS = { '1k': 1_000, '100k': 100_000, '1m': 1_000_000 } as const;
const LOOKUPS_PER_SECOND_MIN = 2_000_000;
const BYTES_PER_SHARD_MAX = 200;
const MEASURE_MS_MAX = 300_000;

const measurementSchema = z.object({ lookupsPerSecond: z.array(z.number()).min(1), bytesPerShard: z.number() });

export async function runRouteCache(say: (line: string) => void): Promise<RouteCacheFigures> {
  const measured = async (size: keyof typeof SHARDS): Promise<{ lookups: number; bytes: number }> => {
    const script = join(import.meta.dirname, 'route-cache', 'measure.ts');
    const args = ['--expose-gc', script, String(SHARDS[size])];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: MEASURE_MS_MAX });
    const { lookupsPerSecond, bytesPerShard } = measurementSchema.parse(JSON.parse(stdout));
    const lookups = Math.round(percentile(lookupsPerSecond, 50) ?? 0);
    say(`${SHARDS[size]} shards: ${lookups} lookups/s, ${Math.round(bytesPerShard)} bytes a shard`);
    return { lookups, bytes: Math.ceil(bytesPerShard) };
  };
  const [small, middle, large] = [await measured('1k'), await measured('100k'), await measured('1m')];
  const slowest = Math.min(small.lookups, middle.lookups, large.lookups);
  return {
    pass: slowest >= LOOKUPS_PER_SECOND_MIN && large.bytes <= BYTES_PER_SHARD_MAX,
    lookups_per_second_1k: small.lookups,
    lookups_per_second_100k: middle.lookups,
    lookups_per_second_1m: large.lookups,
    bytes_per_shard: large.bytes,
  };
}
