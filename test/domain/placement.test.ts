import fc from 'fast-check';
import { nodeId } from '../../shared/domain/ids.ts';
import { placeShards } from '../../shared/domain/placement.ts';
import type { PlacementCandidate } from '../../shared/domain/placement.ts';

const fleet = (zones: readonly number[], replicas: (i: number) => number = () => 0): PlacementCandidate[] =>
  zones.flatMap((nodes, zone) =>
    Array.from({ length: nodes }, (_, i) => ({
      nodeId: nodeId(`z${zone}-n${i}`),
      zone: `z${zone}`,
      replicas: replicas(i),
      leaders: 0,
    })),
  );

describe('initial placement (I-7)', () => {
  test('three replicas over three zones: one in each, leaders spread', () => {
    const placed = placeShards(fleet([2, 2, 2]), 6, 3);
    if (!placed.ok) throw new Error('refused');
    const leaders = new Map<string, number>();
    for (const { nodeIds } of placed.value) {
      expect(new Set(nodeIds.map((id) => id.slice(0, 2))).size).toBe(3);
      leaders.set(nodeIds[0]!, (leaders.get(nodeIds[0]!) ?? 0) + 1);
    }
    expect([...leaders.values()]).toEqual([1, 1, 1, 1, 1, 1]);
  });

  test('fewer nodes than replicas are refused with the numbers', () => {
    expect(placeShards(fleet([1, 1]), 1, 3)).toEqual({
      ok: false,
      error: { code: 'NOT_ENOUGH_NODES', needed: 3, available: 2 },
    });
  });

  test('less loaded nodes come first', () => {
    const placed = placeShards(
      fleet([3], (i) => i * 10),
      10,
      1,
    );
    expect(placed.ok && new Set(placed.value.flatMap(({ nodeIds }) => nodeIds))).toEqual(new Set(['z0-n0']));
  });

  /** Nodes `zone+name`, each with what differs; the first in a placement leads. */
  const placed = (
    nodes: Readonly<Record<string, Partial<PlacementCandidate>>>,
    count: number,
    replicationFactor: number,
  ): string[] => {
    const candidates = Object.entries(nodes).map(([name, over]) => ({
      nodeId: nodeId(name),
      zone: name.slice(0, 1),
      replicas: 0,
      leaders: 0,
      ...over,
    }));
    const found = placeShards(candidates, count, replicationFactor);
    if (!found.ok) throw new Error(found.error.code);
    return found.value.map(({ nodeIds }) => nodeIds.join(' '));
  };

  test.each<[string, Readonly<Record<string, Partial<PlacementCandidate>>>, number, number, string[]]>([
    ['as many nodes as replicas are enough', { a1: {}, b1: {} }, 1, 2, ['a1 b1']],
    ['of equal nodes the one with the lower id, whatever their order', { a2: {}, a1: {} }, 2, 1, ['a1', 'a2']],
    ['of equal zones the one with the lower name', { b1: {}, a1: {} }, 2, 1, ['a1', 'b1']],
    ['of equal zones the one with the lower name, in this order too', { a1: {}, b1: {} }, 2, 1, ['a1', 'b1']],
    ['each node once before one twice', { a1: {}, a2: {}, a3: {} }, 4, 1, ['a1', 'a2', 'a3', 'a1']],
    ['replicas already held count', { a1: { replicas: 2 }, a2: {} }, 3, 1, ['a2', 'a2', 'a1']],
    [
      'the zone whose best node holds least',
      { a1: { replicas: 1 }, a2: { replicas: 5 }, b1: { replicas: 2 } },
      1,
      1,
      ['a1'],
    ],
    ['a zone once before another one twice', { a1: {}, a2: {}, b1: { replicas: 50 } }, 1, 2, ['a1 b1']],
    ['a zone twice where there is no other', { a1: {}, a2: {}, b1: {} }, 1, 3, ['a1 a2 b1']],
    [
      'the least used zone again when all are used',
      { a1: {}, a2: { replicas: 9 }, b1: {}, b2: { replicas: 3 } },
      1,
      3,
      ['a1 b1 b2'],
    ],
    ['the fewest leaders lead', { a1: { leaders: 2 }, b1: { leaders: 1 } }, 3, 2, ['b1 a1', 'a1 b1', 'b1 a1']],
    ['leaders given now count too', { a1: {}, b1: {}, c1: {} }, 4, 3, ['a1 b1 c1', 'b1 c1 a1', 'c1 a1 b1', 'a1 b1 c1']],
    [
      'a node of twice the weight gets twice as much',
      { a1: { weight: 2 }, a2: {} },
      6,
      1,
      ['a1', 'a1', 'a2', 'a1', 'a1', 'a2'],
    ],
    ['and leads twice as much', { a1: { weight: 2 }, b1: {} }, 3, 2, ['a1 b1', 'a1 b1', 'b1 a1']],
    [
      'the most welcome leads, however many it leads',
      { a1: { leaderRank: 1 }, b1: { leaders: 9 } },
      2,
      2,
      ['b1 a1', 'b1 a1'],
    ],
  ])('%s', (_what, nodes, count, replicationFactor, expected) => {
    expect(placed(nodes, count, replicationFactor)).toEqual(expected);
  });

  test('any fleet: distinct nodes, as many zones as there are, even load, and a longer plan begins with the shorter one', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 40 }),
        (zones, rf, count) => {
          const nodes = fleet(zones);
          const placed = placeShards(nodes, count, rf);
          if (nodes.length < rf) return !placed.ok;
          if (!placed.ok) return false;
          for (const { nodeIds } of placed.value) {
            if (new Set(nodeIds).size !== rf) return false;
            if (new Set(nodeIds.map((id) => id.slice(0, 2))).size !== Math.min(rf, zones.length)) return false;
          }
          const shorter = placeShards(nodes, Math.ceil(count / 2), rf);
          return (
            shorter.ok && JSON.stringify(shorter.value) === JSON.stringify(placed.value.slice(0, shorter.value.length))
          );
        },
      ),
    );
  });
});
