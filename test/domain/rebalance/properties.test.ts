import fc from 'fast-check';
import { lowerBound } from '../../../shared/domain/rebalance/lower-bound.ts';
import { planRebalance } from '../../../shared/domain/rebalance/plan.ts';
import { allows } from '../../../shared/domain/rebalance/rules.ts';
import type { SnapshotNode } from '../../../shared/domain/rebalance/snapshot.ts';
import { countZoneViolations } from '../../../shared/domain/rebalance/zone-violations.ts';
import { seededRandom } from '../../simulation/random.ts';
import { applied, MIB, node, shard, snapshotOf } from './cluster.ts';
import type { Cluster } from './cluster.ts';

/** Any cluster: nodes in any state, shards placed with no regard to any rule. */
function anyCluster(seed: number): Cluster {
  const random = seededRandom(seed);
  const zones = 1 + random.below(4);
  const states = [
    'AVAILABLE',
    'AVAILABLE',
    'AVAILABLE',
    'AVAILABLE',
    'CORDONED',
    'MAINTENANCE',
    'DRAINING',
    'UNHEALTHY',
  ] as const;
  const nodes = Array.from({ length: 3 + random.below(15) }, (_, i): SnapshotNode => {
    const limited = random.chance(0.3);
    return node(`n${i}`, `z${random.below(zones)}`, {
      state: random.pick(states),
      pace: random.chance(0.1) ? 'SLOW' : 'NORMAL',
      weight: random.pick([1, 1, 2]),
      labels: { disk: random.pick(['ssd', 'ssd', 'hdd']) },
      ...(limited ? { disk: { capacityBytes: random.between(500, 4000) * MIB, usedBytes: 0 } } : {}),
    });
  });
  const rf = 1 + random.below(Math.min(5, nodes.length));
  const shards = Array.from({ length: random.below(60) }, (_, i) => {
    const names = nodes.map(({ nodeId }) => nodeId as string).sort(() => random.next() - 0.5);
    return shard(`s${i}`, names.slice(0, rf), {
      bytes: Math.floor(random.between(1, 200)) * MIB,
      load: random.between(0, 200),
      leaderLoad: random.between(0, 200),
      activity: random.chance(0.1) ? 'BUSY' : 'IDLE',
    });
  });
  const forbidden = random.chance(0.3) ? [{ key: 'disk', values: ['hdd'] }] : [];
  return { nodes, shards, rule: { required: [], forbidden, leaderPreference: null } };
}

/** Replicas by zone, squared and summed: how crowded a shard's zones are. */
function crowding(cluster: Cluster, replicas: Cluster['shards'][number]['replicas']): number {
  const zoneOf = new Map(cluster.nodes.map(({ nodeId, zone }) => [nodeId, zone]));
  const counts = new Map<string, number>();
  for (const { nodeId } of replicas) counts.set(zoneOf.get(nodeId)!, (counts.get(zoneOf.get(nodeId)!) ?? 0) + 1);
  return [...counts.values()].reduce((sum, count) => sum + count * count, 0);
}

const ROUNDS_MAX = 30;
const seeds = fc.integer({ min: 0, max: 2 ** 31 - 1 });

describe('any plan of any cluster', () => {
  test('breaks no rule, is the same again, and plan after plan comes to an end', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        let cluster = anyCluster(seed);
        const byId = new Map(cluster.nodes.map((n) => [n.nodeId, n]));
        for (let round = 0; ; round++) {
          if (round > ROUNDS_MAX) throw new Error(`still moving after ${ROUNDS_MAX} plans`);
          const snapshot = snapshotOf(cluster);
          const plan = planRebalance(snapshot);
          expect(planRebalance(snapshotOf(cluster))).toEqual(plan);
          const after = applied(cluster, plan);
          const arrived = new Map<string, number>();
          for (const move of plan.moves) {
            const target = byId.get(move.toNodeId)!;
            expect([target.state, target.pace]).toEqual(['AVAILABLE', 'NORMAL']);
            expect(allows(cluster.rule!, target.labels!)).toBe(true);
            arrived.set(move.toNodeId, (arrived.get(move.toNodeId) ?? 0) + move.bytes);
          }
          const used = heldBytes(cluster);
          for (const [id, bytes] of arrived) {
            const { disk } = byId.get(id as SnapshotNode['nodeId'])!;
            if (disk !== undefined) expect(used.get(id)! + bytes).toBeLessThanOrEqual(disk.capacityBytes * 0.8);
          }
          const zoneIsGone = zonesWithoutTaker(cluster);
          for (const [i, now] of after.shards.entries()) {
            const was = cluster.shards[i]!;
            expect(new Set(now.replicas.map(({ nodeId }) => nodeId)).size).toBe(was.replicas.length);
            expect(now.replicas.some(({ nodeId }) => nodeId === now.leader)).toBe(true);
            if (was.activity === 'BUSY') expect(now).toBe(was);
            if (!was.replicas.some(({ nodeId }) => zoneIsGone.has(byId.get(nodeId)!.zone))) {
              expect(crowding(cluster, now.replicas)).toBeLessThanOrEqual(crowding(cluster, was.replicas));
            }
          }
          expect(countZoneViolations(snapshotOf(after))).toBeLessThanOrEqual(countZoneViolations(snapshot));
          if (plan.moves.length === 0 && plan.leaderMoves.length === 0) return;
          cluster = after;
        }
      }),
      { numRuns: 60 },
    );
  });

  test('a cluster that was even and grows: inside the band, near the lower bound, next to nothing when planned again', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const random = seededRandom(seed);
        const perZone = 4 + random.below(4);
        const nodes = ['a', 'b', 'c'].flatMap((zone) =>
          Array.from({ length: perZone + 1 }, (_, i) => node(`${zone}${i}`, zone)),
        );
        const shards = Array.from({ length: perZone * 60 }, (_, i) =>
          shard(
            `s${i}`,
            ['a', 'b', 'c'].map((zone, z) => `${zone}${(i + z * Math.floor(i / perZone)) % perZone}`),
            {
              bytes: Math.floor(random.between(50, 150)) * MIB,
              load: random.between(5, 15),
              leaderLoad: 0,
            },
          ),
        );
        const cluster: Cluster = { nodes, shards };
        const plan = planRebalance(snapshotOf(cluster));
        const bound = lowerBound(snapshotOf(cluster));
        expect(plan.moves.length).toBeGreaterThanOrEqual(bound);
        expect(plan.moves.length).toBeLessThanOrEqual(bound * 1.15 + 3);
        for (const { most } of [plan.summary.after.replicas!, plan.summary.after.bytes!])
          expect(most).toBeLessThanOrEqual(1.05);
        // A shard moves once a plan, so that a last node may have to wait for the next one.
        const after = applied(cluster, plan);
        expect(planRebalance(snapshotOf(after)).moves.length).toBeLessThanOrEqual(bound * 0.05);
      }),
      { numRuns: 15 },
    );
  });
});

function heldBytes(cluster: Cluster): Map<string, number> {
  const held = new Map<string, number>(cluster.nodes.map(({ nodeId }) => [nodeId, 0]));
  for (const { bytes, replicas } of cluster.shards)
    for (const { nodeId } of replicas) held.set(nodeId, held.get(nodeId)! + bytes);
  return held;
}

function zonesWithoutTaker(cluster: Cluster): Set<string> {
  const taking = cluster.nodes.filter(
    (n) => n.state === 'AVAILABLE' && n.pace === 'NORMAL' && allows(cluster.rule!, n.labels!),
  );
  const alive = new Set(taking.map(({ zone }) => zone));
  return new Set(cluster.nodes.map(({ zone }) => zone).filter((zone) => !alive.has(zone)));
}
