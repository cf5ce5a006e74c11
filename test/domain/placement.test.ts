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
