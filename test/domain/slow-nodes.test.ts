import { nodeId } from '../../shared/domain/ids.ts';
import type { NodeId } from '../../shared/domain/ids.ts';
import { DEFAULT_SLOW_NODE_OPTIONS, slowNodes } from '../../shared/domain/slow-nodes.ts';
import type { PaceRecord, PaceSample } from '../../shared/domain/slow-nodes.ts';

const { beatsToSlow, beatsToRecover } = DEFAULT_SLOW_NODE_OPTIONS;
const beat = (...fsyncMs: readonly (number | null)[]): PaceSample[] =>
  fsyncMs.map((fsyncMsP99, i) => ({ nodeId: nodeId(`n${i}`), fsyncMsP99, latencyMsP99: null }));

/** Paces after each of the beats. */
function paces(beats: readonly PaceSample[][]): string[] {
  let records: ReadonlyMap<NodeId, PaceRecord> = new Map();
  return beats.map((samples) => {
    records = slowNodes(samples, records).records;
    return [...records.values()].map(({ pace }) => (pace === 'SLOW' ? 'S' : '.')).join('');
  });
}
const times = (count: number, samples: PaceSample[]): PaceSample[][] => Array.from({ length: count }, () => samples);

describe('slow nodes', () => {
  const good = beat(4, 5, 6, 5);
  const bad = beat(4, 5, 6, 200);

  test('an outlier becomes SLOW after the set number of beats, not before, and says by what', () => {
    expect(paces(times(beatsToSlow, bad)).slice(-2)).toEqual(['....', '...S']);
    const record = { pace: 'NORMAL' as const, against: beatsToSlow - 1 };
    expect(slowNodes(bad, new Map([[nodeId('n3'), record]])).changed).toEqual([
      { nodeId: 'n3', pace: 'SLOW', measure: 'FSYNC', valueMs: 200, medianMs: 5.5 },
    ]);
  });

  test('one good beat starts the count anew', () => {
    const beats = [...times(beatsToSlow - 1, bad), good, ...times(beatsToSlow - 1, bad)];
    expect(paces(beats).at(-1)).toBe('....');
  });

  test('recovery takes longer than the mark, and beats in between do not count', () => {
    const slow = times(beatsToSlow, bad);
    expect(paces([...slow, ...times(beatsToRecover, good)]).slice(-2)).toEqual(['...S', '....']);
    expect(paces([...slow, ...times(beatsToRecover, beat(4, 5, 6, 12))]).at(-1)).toBe('...S');
  });

  test('all slow together is not slow; few milliseconds are not slow; few peers judge nobody', () => {
    expect(paces(times(beatsToSlow, beat(200, 210, 190, 205))).at(-1)).toBe('....');
    expect(paces(times(beatsToSlow, beat(1, 1, 1, 6))).at(-1)).toBe('....');
    expect(paces(times(beatsToSlow, beat(5, 5, 200))).at(-1)).toBe('...');
    expect(paces(times(beatsToSlow, beat(5, 5, 200, null))).at(-1)).toBe('....');
  });

  test('a second slow node of a small cluster is held back, and named', () => {
    const two = beat(4, 5, 6, 5, 4, 200, 210);
    expect(paces(times(beatsToSlow, two)).at(-1)).toBe('.....S.');
    const before = new Map([
      [nodeId('n5'), { pace: 'SLOW' as const, against: 0 }],
      [nodeId('n6'), { pace: 'NORMAL' as const, against: 5 }],
    ]);
    expect(slowNodes(two, before).heldBack).toEqual(['n6']);
  });
});
