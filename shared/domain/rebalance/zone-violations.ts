import type { PlanSnapshot } from './snapshot.ts';

/**
 * Shards whose replicas could be spread more evenly over zones (I-7): some zone holds two more than one that has a node left to
 * take a replica. `slotNode`: where the replicas are, if not where the snapshot says.
 */
export function countZoneViolations(snapshot: PlanSnapshot, slotNode: Int32Array = snapshot.slotNode): number {
  const { slotStart, zoneOf, ruleOf, rules, zones } = snapshot;
  const counts = new Int32Array(zones.length);
  let violations = 0;
  for (let shard = 0; shard + 1 < slotStart.length; shard++) {
    counts.fill(0);
    let most = 0;
    for (let slot = slotStart[shard] as number; slot < (slotStart[shard + 1] as number); slot++) {
      const zone = zoneOf[slotNode[slot] as number] as number;
      counts[zone] = (counts[zone] as number) + 1;
      most = Math.max(most, counts[zone]);
    }
    if (most < 2) continue;
    const { takers } = rules[ruleOf[shard] as number] as PlanSnapshot['rules'][number];
    const least = counts.reduce(
      (low, count, zone) => ((takers[zone] as number) > count ? Math.min(low, count) : low),
      Infinity,
    );
    if (most >= least + 2) violations += 1;
  }
  return violations;
}
