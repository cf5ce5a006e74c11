import type { ShardDescriptor } from './shard.ts';
import { DEFAULT_SPLIT_OPTIONS } from './split-reasons.ts';

/** When two neighbours should become one shard. Pure; the operation co-locates replicas and checks its own conditions (S2). */

export interface MergeActivity {
  readonly bytes: number;
  /** Largest requests/s over the window of `sustainedMs`. */
  readonly requestsPerSecondMax: number;
  readonly cpuShareMax: number;
  readonly sustainedMs: number;
  /** Since the last split or merge of the shard; its creation counts. */
  readonly sinceStructuralChangeMs: number;
}

export interface MergeOptions {
  /** Each of the two is at most as large: far below the split size, so that a merged shard is not soon split. TiKV PD: 54 of 256 MB. */
  readonly bytesEachMax: number;
  /** The two together, as a share of the size and load at which a shard would be split. */
  readonly shareOfSplitMax: number;
  readonly splitBytes: number;
  readonly splitRequestsPerSecond: number;
  readonly splitCpuShare: number;
  /** Quiet for so long. */
  readonly sustainedMsMin: number;
  /** TiKV PD: 1 h after a split. */
  readonly coolDownMs: number;
}

export const DEFAULT_MERGE_OPTIONS: MergeOptions = {
  bytesEachMax: 64 * 1024 * 1024,
  // TiKV's design of load splits keeps merging 20 % below splitting; further apart costs only a few small shards.
  shareOfSplitMax: 0.5,
  splitBytes: DEFAULT_SPLIT_OPTIONS.bytesMax,
  splitRequestsPerSecond: DEFAULT_SPLIT_OPTIONS.requestsPerSecondMax,
  splitCpuShare: DEFAULT_SPLIT_OPTIONS.cpuShareMax,
  sustainedMsMin: 600_000,
  coolDownMs: 3_600_000,
};

export type MergeDecision =
  { readonly decision: 'MERGE'; readonly bytes: number } | { readonly decision: 'KEEP'; readonly reason: MergeRefusal };

export type MergeRefusal =
  /** Not of one table, or not side by side. */
  | 'NOT_NEIGHBOURS'
  | 'SHARD_BUSY'
  /** One of them has lost acknowledged writes and waits for an operator. */
  | 'DATA_LOSS_FLAG'
  | 'COOLING_DOWN'
  | 'NOT_SUSTAINED'
  | 'TOO_LARGE'
  | 'TOO_BUSY';

export type MergeShard = Pick<ShardDescriptor, 'tableId' | 'startKey' | 'endKey' | 'state' | 'intent' | 'dataLoss'>;

export interface MergeSide {
  readonly shard: MergeShard;
  readonly activity: MergeActivity;
}

/** Whether `left` and its right neighbour `right` should merge. */
export function decideMerge(
  left: MergeSide,
  right: MergeSide,
  options: MergeOptions = DEFAULT_MERGE_OPTIONS,
): MergeDecision {
  const keep = (reason: MergeRefusal): MergeDecision => ({ decision: 'KEEP', reason });
  const sides = [left, right];
  const sum = (of: (activity: MergeActivity) => number): number => of(left.activity) + of(right.activity);
  if (left.shard.tableId !== right.shard.tableId || left.shard.endKey !== right.shard.startKey) {
    return keep('NOT_NEIGHBOURS');
  }
  if (sides.some(({ shard }) => shard.state.kind !== 'ACTIVE' || shard.intent !== null)) return keep('SHARD_BUSY');
  if (sides.some(({ shard }) => shard.dataLoss)) return keep('DATA_LOSS_FLAG');
  if (sides.some(({ activity }) => activity.sinceStructuralChangeMs < options.coolDownMs)) return keep('COOLING_DOWN');
  const bytes = sum((activity) => activity.bytes);
  if (
    sides.some(({ activity }) => activity.bytes > options.bytesEachMax) ||
    bytes > options.shareOfSplitMax * options.splitBytes
  ) {
    return keep('TOO_LARGE');
  }
  if (
    sum((activity) => activity.requestsPerSecondMax) > options.shareOfSplitMax * options.splitRequestsPerSecond ||
    sum((activity) => activity.cpuShareMax) > options.shareOfSplitMax * options.splitCpuShare
  ) {
    return keep('TOO_BUSY');
  }
  if (sides.some(({ activity }) => activity.sustainedMs < options.sustainedMsMin)) return keep('NOT_SUSTAINED');
  return { decision: 'MERGE', bytes };
}

/**
 * Disjoint pairs to merge among a table's shards in key order, as indexes of the left ones, at most `pairsMax`. Greedy from the left: of
 * three cold neighbours the first two merge, the third waits for the cool-down.
 */
export function mergeCandidates(
  sides: readonly MergeSide[],
  pairsMax: number,
  options: MergeOptions = DEFAULT_MERGE_OPTIONS,
): readonly number[] {
  const pairs: number[] = [];
  for (let i = 0; i + 1 < sides.length && pairs.length < pairsMax; i++) {
    const [left, right] = [sides[i], sides[i + 1]];
    if (left === undefined || right === undefined || decideMerge(left, right, options).decision !== 'MERGE') continue;
    pairs.push(i);
    i += 1; // the right one is taken
  }
  return pairs;
}
