import { encodedKey, operationId, tableId } from '../../shared/domain/ids.ts';
import { decideMerge, mergeCandidates } from '../../shared/domain/merge-candidates.ts';
import type { MergeSide } from '../../shared/domain/merge-candidates.ts';
import { chooseSplitReason } from '../../shared/domain/split-reasons.ts';
import type { KeySample, ShardActivity } from '../../shared/domain/split-reasons.ts';

const MIB = 1024 * 1024;

describe('when to split', () => {
  const shard = {
    startKey: encodedKey('b'),
    endKey: encodedKey('y'),
    state: { kind: 'ACTIVE' as const },
    intent: null,
  };
  /** One request for each of the keys. */
  const sampled = (...keys: readonly string[]): KeySample[] => keys.map((key) => ({ key: encodedKey(key), weight: 1 }));
  const spread = sampled(...'cdefghijklmnopqrstuvwx');
  const busy: ShardActivity = {
    bytes: 10 * MIB,
    requestsPerSecondMin: 3_000,
    cpuShareMin: 0.1,
    sustainedMs: 10_000,
    samples: spread,
    sinceStructuralChangeMs: null,
  };

  test('by load, at the key that divides it', () => {
    expect(chooseSplitReason(shard, busy)).toEqual({ decision: 'SPLIT', reason: 'LOAD', splitKey: 'n' });
    const byCpu = { ...busy, requestsPerSecondMin: 100, cpuShareMin: 0.8 };
    expect(chooseSplitReason(shard, byCpu)).toMatchObject({ decision: 'SPLIT', reason: 'LOAD' });
    const skewed = { ...busy, samples: [...spread, { key: encodedKey('d'), weight: 15 }] };
    expect(chooseSplitReason(shard, skewed)).toMatchObject({ splitKey: 'f' });
  });

  test('by size, however quiet; the leader chooses the middle', () => {
    const large = { ...busy, bytes: 513 * MIB, requestsPerSecondMin: 0, samples: [] };
    expect(chooseSplitReason(shard, large)).toEqual({ decision: 'SPLIT', reason: 'SIZE', splitKey: null });
  });

  test.each<[string, Partial<ShardActivity>]>([
    ['BELOW_THRESHOLDS', { requestsPerSecondMin: 2_500 }],
    ['NOT_SUSTAINED', { sustainedMs: 9_999 }],
    ['COOLING_DOWN', { sinceStructuralChangeMs: 59_999 }],
    ['TOO_FEW_SAMPLES', { samples: spread.slice(0, 19) }],
    ['TOO_FEW_SAMPLES', { samples: spread.map(({ weight }) => ({ key: encodedKey('z'), weight })) }],
    ['WOULD_NOT_DIVIDE_LOAD', { samples: sampled(...'m'.repeat(30)) }],
    ['WOULD_NOT_DIVIDE_LOAD', { samples: [...spread, { key: encodedKey('m'), weight: 1_000 }] }],
  ])('kept: %s', (reason, change) => {
    expect(chooseSplitReason(shard, { ...busy, ...change })).toEqual({ decision: 'KEEP', reason });
  });

  test('kept while an operation owns it', () => {
    const owned = { ...shard, state: { kind: 'DELETING' as const, operationId: operationId('o') } };
    expect(chooseSplitReason(owned, busy)).toEqual({ decision: 'KEEP', reason: 'SHARD_BUSY' });
  });
});

describe('when to merge', () => {
  const side = (from: string, to: string, activity: Partial<MergeSide['activity']> = {}, shard = {}): MergeSide => ({
    shard: {
      tableId: tableId('t'),
      startKey: encodedKey(from),
      endKey: encodedKey(to),
      state: { kind: 'ACTIVE' },
      intent: null,
      dataLoss: false,
      ...shard,
    },
    activity: {
      bytes: 30 * MIB,
      requestsPerSecondMax: 10,
      cpuShareMax: 0.01,
      sustainedMs: 600_000,
      sinceStructuralChangeMs: 3_600_000,
      ...activity,
    },
  });

  test('cold, small neighbours', () => {
    expect(decideMerge(side('a', 'b'), side('b', 'c'))).toEqual({ decision: 'MERGE', bytes: 60 * MIB });
  });

  test.each<[string, MergeSide]>([
    ['NOT_NEIGHBOURS', side('c', 'd')],
    ['NOT_NEIGHBOURS', side('b', 'c', {}, { tableId: tableId('other') })],
    ['SHARD_BUSY', side('b', 'c', {}, { state: { kind: 'DELETING', operationId: operationId('o') } })],
    ['DATA_LOSS_FLAG', side('b', 'c', {}, { dataLoss: true })],
    ['COOLING_DOWN', side('b', 'c', { sinceStructuralChangeMs: 3_599_999 })],
    ['TOO_LARGE', side('b', 'c', { bytes: 65 * MIB })],
    ['TOO_BUSY', side('b', 'c', { requestsPerSecondMax: 1_241 })],
    ['TOO_BUSY', side('b', 'c', { cpuShareMax: 0.25 })],
    ['NOT_SUSTAINED', side('b', 'c', { sustainedMs: 599_999 })],
  ])('kept: %s', (reason, right) => {
    expect(decideMerge(side('a', 'b'), right)).toEqual({ decision: 'KEEP', reason });
  });

  test('pairs are disjoint and bounded', () => {
    const row = ['a', 'b', 'c', 'd', 'e', 'f'].map((from) => side(from, String.fromCharCode(from.charCodeAt(0) + 1)));
    expect(mergeCandidates(row, 10)).toEqual([0, 2, 4]);
    expect(mergeCandidates(row, 2)).toEqual([0, 2]);
    row[1] = side('b', 'c', { requestsPerSecondMax: 9_999 });
    expect(mergeCandidates(row, 10)).toEqual([2, 4]);
  });

  test('what a merge made is not split by size or load', () => {
    const merged = decideMerge(
      side('a', 'b', { bytes: 64 * MIB, requestsPerSecondMax: 600 }),
      side('b', 'c', { bytes: 64 * MIB, requestsPerSecondMax: 600 }),
    );
    if (merged.decision !== 'MERGE') throw new Error('not merged');
    const shard = {
      startKey: encodedKey('a'),
      endKey: encodedKey('c'),
      state: { kind: 'ACTIVE' as const },
      intent: null,
    };
    const activity = {
      bytes: merged.bytes,
      requestsPerSecondMin: 1_200,
      cpuShareMin: 0.02,
      sustainedMs: 1e9,
      samples: [],
      sinceStructuralChangeMs: null,
    };
    expect(chooseSplitReason(shard, activity)).toEqual({ decision: 'KEEP', reason: 'BELOW_THRESHOLDS' });
  });
});
