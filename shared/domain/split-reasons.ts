import type { EncodedKey } from './ids.ts';
import { compareKeys } from './keys.ts';
import type { ShardDescriptor } from './shard.ts';

/** When a shard should be split, and where. Pure; the operation checks its own conditions again. */

/** A sampled request: its key, and how many requests it stands for. Requests that span several keys are sampled with the first. */
export interface KeySample {
  readonly key: EncodedKey;
  readonly weight: number;
}

export interface ShardActivity {
  readonly bytes: number;
  /** Least requests/s and CPU share over the window of `sustainedMs`: a peak alone splits nothing. */
  readonly requestsPerSecondMin: number;
  /** Share of one core, 0 to 1 and above. */
  readonly cpuShareMin: number;
  /** How long the two have been measured without a gap. */
  readonly sustainedMs: number;
  readonly samples: readonly KeySample[];
  /** Since the last split or merge of the shard; null if there was none. */
  readonly sinceStructuralChangeMs: number | null;
}

export interface SplitOptions {
  readonly bytesMax: number;
  readonly requestsPerSecondMax: number;
  readonly cpuShareMax: number;
  readonly sustainedMsMin: number;
  /** Distinct sampled keys and requests below which the samples say nothing. */
  readonly samplesMin: number;
  /** The heavier half's share of the load, at most: above it the split would only make two shards of one hot spot. */
  readonly heavierHalfMax: number;
  /** After a split or merge, before load splits again: the load needs time to show what the last one did. */
  readonly loadCoolDownMs: number;
}

export const DEFAULT_SPLIT_OPTIONS: SplitOptions = {
  bytesMax: 512 * 1024 * 1024,
  requestsPerSecondMax: 2_500, // CockroachDB; TiKV PD: 3,000
  cpuShareMax: 0.5, // CockroachDB: 500 ms of CPU a second
  sustainedMsMin: 10_000, // CockroachDB and TiKV: 10 s
  samplesMin: 20, // both compare 20 keys
  heavierHalfMax: 0.75,
  loadCoolDownMs: 60_000,
};

export type SplitDecision =
  /** `splitKey` null: the leader chooses the middle of its data. */
  | { readonly decision: 'SPLIT'; readonly reason: 'SIZE' | 'LOAD'; readonly splitKey: EncodedKey | null }
  | { readonly decision: 'KEEP'; readonly reason: KeepReason };

export type KeepReason =
  | 'BELOW_THRESHOLDS'
  /** An operation or an intent owns the shard. */
  | 'SHARD_BUSY'
  /** Above a load threshold, but not for long enough. */
  | 'NOT_SUSTAINED'
  | 'COOLING_DOWN'
  | 'TOO_FEW_SAMPLES'
  /** One key, or one end of the range, has nearly all of the load. */
  | 'WOULD_NOT_DIVIDE_LOAD';

/** Size first: a shard above its size is split however quiet it is. */
export function chooseSplitReason(
  shard: Pick<ShardDescriptor, 'startKey' | 'endKey' | 'state' | 'intent'>,
  activity: ShardActivity,
  options: SplitOptions = DEFAULT_SPLIT_OPTIONS,
): SplitDecision {
  const keep = (reason: KeepReason): SplitDecision => ({ decision: 'KEEP', reason });
  const large = activity.bytes > options.bytesMax;
  const busyKeys =
    activity.requestsPerSecondMin > options.requestsPerSecondMax || activity.cpuShareMin > options.cpuShareMax;
  if (!large && !busyKeys) return keep('BELOW_THRESHOLDS');
  if (shard.state.kind !== 'ACTIVE' || shard.intent !== null) return keep('SHARD_BUSY');
  if (large) return { decision: 'SPLIT', reason: 'SIZE', splitKey: null };
  if (activity.sustainedMs < options.sustainedMsMin) return keep('NOT_SUSTAINED');
  if (activity.sinceStructuralChangeMs !== null && activity.sinceStructuralChangeMs < options.loadCoolDownMs) {
    return keep('COOLING_DOWN');
  }
  const point = loadMiddle(shard, activity.samples, options.samplesMin);
  if (point === null) return keep('TOO_FEW_SAMPLES');
  if (point.heavierHalf > options.heavierHalfMax) return keep('WOULD_NOT_DIVIDE_LOAD');
  return { decision: 'SPLIT', reason: 'LOAD', splitKey: point.key };
}

/**
 * The sampled key that divides the load most evenly if it starts the right half, and the heavier half's share; the lowest such key on
 * ties. Null with fewer than `samplesMin` samples. Heavier half 1: no key inside the range divides anything.
 */
export function loadMiddle(
  range: Pick<ShardDescriptor, 'startKey' | 'endKey'>,
  samples: readonly KeySample[],
  samplesMin: number,
): { readonly key: EncodedKey; readonly heavierHalf: number } | null {
  const inside = samples
    .filter(({ key, weight }) => weight > 0 && contains(range, key))
    .sort((a, b) => compareKeys(a.key, b.key));
  const [first] = inside;
  if (first === undefined || inside.length < samplesMin) return null;
  const total = inside.reduce((sum, { weight }) => sum + weight, 0);
  let left = 0;
  let best = { key: first.key, heavierHalf: 1 };
  let previous: EncodedKey | null = null;
  for (const { key, weight } of inside) {
    // Only where a key begins: a key's requests all go to one side. The left half must hold at least one key.
    if (previous !== null && compareKeys(previous, key) < 0) {
      const heavierHalf = Math.max(left, total - left) / total;
      if (heavierHalf < best.heavierHalf) best = { key, heavierHalf };
    }
    left += weight;
    previous = key;
  }
  return best;
}

const contains = (range: Pick<ShardDescriptor, 'startKey' | 'endKey'>, key: EncodedKey): boolean =>
  compareKeys(range.startKey, key) <= 0 && (range.endKey === null || compareKeys(key, range.endKey) < 0);
