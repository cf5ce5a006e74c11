import { brakedFenceBatch, readBrake } from '../../shared/domain/brake.ts';
import { nodeId } from '../../shared/domain/ids.ts';

/** `zones` maps a zone to [nodes, lost]. */
const fleet = (zones: Record<string, readonly [nodes: number, lost: number]>) =>
  Object.entries(zones).flatMap(([zone, [nodes, lost]]) =>
    Array.from({ length: nodes }, (_, i) => ({ nodeId: nodeId(`${zone}-${i}`), zone, lost: i < lost })),
  );

describe('the brake (L5)', () => {
  test.each([
    ['nothing lost', { a: [2, 0], b: [2, 0], c: [1, 0] }, false],
    ['two of five nodes lost: under the floor of three', { a: [2, 1], b: [2, 1], c: [1, 0] }, false],
    ['three of five lost, one of them outside the worst zone', { a: [2, 2], b: [2, 1], c: [1, 0] }, false],
    ['exactly 15 % of twenty lost, three nodes', { a: [10, 1], b: [5, 1], c: [5, 1] }, true],
    ['three of five lost, two of them outside the worst zone', { a: [2, 1], b: [2, 1], c: [1, 1] }, true],
    ['all five lost', { a: [2, 2], b: [2, 2], c: [1, 1] }, true],
    ['a whole zone of three hundred lost', { a: [100, 100], b: [100, 0], c: [100, 0] }, false],
    ['a zone lost and two nodes beside: under 5 % outside', { a: [100, 100], b: [100, 2], c: [100, 0] }, false],
    ['a zone lost and 5 % beside', { a: [100, 100], b: [100, 15], c: [100, 0] }, true],
    ['15 % lost, spread evenly', { a: [100, 15], b: [100, 15], c: [100, 15] }, true],
    ['14 % lost, spread evenly', { a: [100, 14], b: [100, 14], c: [100, 14] }, false],
    ['no node at all', {}, false],
  ] as const)('%s', (_what, zones, tripped) => {
    expect(readBrake(fleet(zones)).tripped).toBe(tripped);
  });

  test('tells how many are lost, and how many of them outside the worst-hit zone', () => {
    expect(readBrake(fleet({ a: [4, 3], b: [4, 2], c: [2, 0] }))).toEqual({
      lost: 5,
      total: 10,
      lostOutsideWorstZone: 2,
      tripped: true,
    });
    expect(readBrake([])).toEqual({ lost: 0, total: 0, lostOutsideWorstZone: 0, tripped: false });
  });

  test('yields one node at a time in a small fleet, 0.1 % in a large one', () => {
    expect([5, 1000, 10_000].map(brakedFenceBatch)).toEqual([1, 1, 10]);
  });
});
