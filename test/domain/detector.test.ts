import { fenceDeadlineMs, isExpired, isHeld, isMarkedExpired, observe } from '../../shared/domain/detector.ts';
import type { Observations } from '../../shared/domain/detector.ts';
import { nodeEpoch, nodeId } from '../../shared/domain/ids.ts';
import { aLease } from '../support/shards.ts';

const node = nodeId('node-1');

function readings(...reads: readonly { atMs: number; sequence: number; nodeEpoch?: number }[]): Observations {
  let observations: Observations = new Map();
  for (const read of reads) {
    const lease = aLease(1, { sequence: read.sequence, nodeEpoch: nodeEpoch(read.nodeEpoch ?? 1) });
    observations = observe(observations, [lease], read.atMs);
  }
  return observations;
}

describe('the detector judges leases by its own clock only (L2)', () => {
  test('a standing sequence is over after lease + bound since its first read', () => {
    const observations = readings(
      { atMs: 0, sequence: 1 },
      { atMs: 1000, sequence: 2 },
      { atMs: 2000, sequence: 2 },
      { atMs: 3000, sequence: 2 },
      { atMs: 4000, sequence: 2 },
    );
    const lease = aLease(1, { sequence: 2 });
    expect(fenceDeadlineMs(lease, observations.get(node)!)).toBe(1000 + 3000 + 500);
    expect(isExpired(lease, observations.get(node), 4499)).toBe(false);
    expect(isExpired(lease, observations.get(node), 4500)).toBe(true);
  });

  test.each([
    ['a new sequence', { atMs: 2000, sequence: 3 }],
    ['a new node epoch', { atMs: 2000, sequence: 2, nodeEpoch: 2 }],
    ["a gap in the detector's own reads beyond lease - renew", { atMs: 1000 + 2001, sequence: 2 }],
  ])('%s starts the observation anew', (_what, last) => {
    const observations = readings({ atMs: 1000, sequence: 2 }, last);
    expect(observations.get(node)?.sinceMs).toBe(last.atMs);
  });

  test('a gap of exactly lease - renew does not', () => {
    expect(readings({ atMs: 1000, sequence: 2 }, { atMs: 3000, sequence: 2 }).get(node)?.sinceMs).toBe(1000);
  });

  test('a lease that its incarnation gave up is over at the first read', () => {
    const lease = aLease(1, { sequence: 2, released: true });
    expect(isExpired(lease, readings({ atMs: 1000, sequence: 2 }).get(node), 1000)).toBe(true);
  });

  test('nobody holds the lease of a fenced node: nothing to fence', () => {
    const lease = aLease(1, { incarnation: null });
    expect(isExpired(lease, readings({ atMs: 0, sequence: 1 }).get(node), 100_000)).toBe(false);
  });

  test('what was never observed is not expired', () => {
    expect(isExpired(aLease(1), undefined, 100_000)).toBe(false);
  });

  test('each observation tells what was read, since when, and when last', () => {
    const observations = readings({ atMs: 1000, sequence: 2 }, { atMs: 2500, sequence: 2 });
    expect([...observations]).toEqual([[node, { nodeEpoch: 1, sequence: 2, sinceMs: 1000, lastReadMs: 2500 }]]);
  });

  test('a node that is not read any more is forgotten', () => {
    expect(observe(readings({ atMs: 1000, sequence: 2 }), [], 1500).size).toBe(0);
  });

  test.each([
    ['fast', 2_000, 3_500],
    ['standard', 6_000, 9_500],
    ['economy', 20_000, 30_500],
  ] as const)(
    'profile %s: a gap of %i ms is bridged, and the deadline comes after %i ms',
    (profile, gapMs, afterMs) => {
      const lease = aLease(1, { profile, sequence: 2 });
      const first = observe(new Map(), [lease], 1_000);
      expect(observe(first, [lease], 1_000 + gapMs).get(node)?.sinceMs).toBe(1_000);
      expect(observe(first, [lease], 1_001 + gapMs).get(node)?.sinceMs).toBe(1_001 + gapMs);
      expect(fenceDeadlineMs(lease, first.get(node)!)).toBe(1_000 + afterMs);
    },
  );

  test('a lease is held while an incarnation has its node epoch', () => {
    expect(isHeld(aLease(1))).toBe(true);
    expect(isHeld(aLease(1, { incarnation: null }))).toBe(false);
  });

  test.each([
    ['no mark', null, false],
    ['the mark of its present state', { nodeEpoch: nodeEpoch(3), sequence: 7 }, true],
    ['the mark of an earlier sequence', { nodeEpoch: nodeEpoch(3), sequence: 6 }, false],
    ['the mark of an earlier registration', { nodeEpoch: nodeEpoch(2), sequence: 7 }, false],
  ])('a lease with %s', (_what, expired, marked) => {
    expect(isMarkedExpired(aLease(1, { nodeEpoch: nodeEpoch(3), sequence: 7, expired }))).toBe(marked);
  });
});
