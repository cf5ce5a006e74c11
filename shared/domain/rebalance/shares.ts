import { BYTES, LEADERS, LOAD, REPLICAS, WIDTH } from './options.ts';
import type { PlanOptions } from './options.ts';
import { isLeaving, losesLeaders, takesReplicas } from './snapshot.ts';
import type { PlanSnapshot } from './snapshot.ts';

/**
 * What each node should hold: its fair share of each dimension. Indexed by `node * WIDTH + dimension`.
 *
 * Zones first: while enough zones exist a shard has between floor(RF / zones) and ceil(RF / zones) replicas in each (I-7), so a
 * zone's total lies between the sums of these over all shards. Within these bounds zones are filled in proportion to their
 * weight ("water-filling"); within a zone nodes get parts in proportion to theirs. So with as many zones as replicas
 * every zone holds one copy of everything, however few nodes it has, and no plan chases an even level that the rule forbids.
 *
 * Nodes that neither take nor give (cordoned, unhealthy ...) have what they hold as their share; leaving nodes have none.
 */
export interface Shares {
  readonly held: Float64Array;
  readonly share: Float64Array;
  /** 1 / share, or 0 where the dimension is not balanced. */
  readonly inverse: Float64Array;
}

export function computeShares(snapshot: PlanSnapshot, options: PlanOptions): Shares {
  const nodes = snapshot.nodes.length;
  const held = heldBy(snapshot);
  const share = new Float64Array(nodes * WIDTH);
  const inverse = new Float64Array(nodes * WIDTH);
  const takes = Uint8Array.from(snapshot.nodes, (node) => (takesReplicas(node) ? 1 : 0));
  const leaves = Uint8Array.from(snapshot.nodes, (node) => (isLeaving(node) ? 1 : 0));
  const losesLead = Uint8Array.from(snapshot.nodes, (node) => (losesLeaders(node) ? 1 : 0));
  const zoneWeight = new Float64Array(snapshot.zones.length);
  let takers = 0;
  for (let node = 0; node < nodes; node++) {
    if (takes[node] === 0) continue;
    const zone = snapshot.zoneOf[node] as number;
    zoneWeight[zone] = (zoneWeight[zone] as number) + (snapshot.weight[node] as number);
    takers += 1;
  }
  const bounds = zoneBounds(snapshot);
  const least = [0, options.bytesPerNodeMin * takers, options.loadPerNodeMin * takers, 0];
  for (let d = 0; d < WIDTH; d++) {
    let total = 0;
    const gives = d === LEADERS ? losesLead : leaves;
    const inert = new Float64Array(snapshot.zones.length);
    for (let node = 0; node < nodes; node++) {
      const value = held[node * WIDTH + d] as number;
      const zone = snapshot.zoneOf[node] as number;
      if (takes[node] === 1 || gives[node] === 1) total += value;
      else inert[zone] = (inert[zone] as number) + value;
    }
    const low = inert.map((value) => Math.max(0, (bounds.low[d] as number) - value));
    const high = inert.map((value) => Math.max(0, (bounds.high[d] as number) - value));
    const zoneShare = fill(zoneWeight, low, high, total);
    const balanced = total > 0 && total >= (least[d] as number);
    for (let node = 0; node < nodes; node++) {
      const at = node * WIDTH + d;
      if (takes[node] === 1) {
        const zone = snapshot.zoneOf[node] as number;
        share[at] = ((zoneShare[zone] as number) * (snapshot.weight[node] as number)) / (zoneWeight[zone] as number);
        inverse[at] = balanced && share[at] > 0 ? 1 / share[at] : 0;
      } else if (gives[node] === 0) {
        share[at] = held[at] as number;
      }
    }
  }
  return { held, share, inverse };
}

/** What each node holds of each dimension. */
function heldBy(snapshot: PlanSnapshot): Float64Array {
  const held = new Float64Array(snapshot.nodes.length * WIDTH);
  const { slotStart, slotNode, leaderSlot, bytes, load, leaderLoad } = snapshot;
  for (let shard = 0; shard < bytes.length; shard++) {
    const end = slotStart[shard + 1] as number;
    for (let slot = slotStart[shard] as number; slot < end; slot++) {
      const at = (slotNode[slot] as number) * WIDTH;
      const leads = leaderSlot[shard] === slot;
      held[at + REPLICAS] = (held[at + REPLICAS] as number) + 1;
      held[at + BYTES] = (held[at + BYTES] as number) + (bytes[shard] as number);
      held[at + LOAD] =
        (held[at + LOAD] as number) + (load[shard] as number) + (leads ? (leaderLoad[shard] as number) : 0);
      if (leads) held[at + LEADERS] = (held[at + LEADERS] as number) + 1;
    }
  }
  return held;
}

/** Least and most that one zone holds of each dimension under the zone rule. */
function zoneBounds(snapshot: PlanSnapshot): { low: Float64Array; high: Float64Array } {
  const low = new Float64Array(WIDTH);
  const high = new Float64Array(WIDTH);
  for (let shard = 0; shard < snapshot.bytes.length; shard++) {
    const replicas = (snapshot.slotStart[shard + 1] as number) - (snapshot.slotStart[shard] as number);
    const zones = Math.max(1, snapshot.rules[snapshot.ruleOf[shard] as number]?.zonesUsable ?? 1);
    const few = Math.floor(replicas / zones);
    const many = Math.ceil(replicas / zones);
    const bytes = snapshot.bytes[shard] as number;
    const load = snapshot.load[shard] as number;
    low[REPLICAS] = (low[REPLICAS] as number) + few;
    high[REPLICAS] = (high[REPLICAS] as number) + many;
    low[BYTES] = (low[BYTES] as number) + few * bytes;
    high[BYTES] = (high[BYTES] as number) + many * bytes;
    low[LOAD] = (low[LOAD] as number) + few * load;
    // A zone may lead every shard.
    high[LOAD] = (high[LOAD] as number) + many * load + (snapshot.leaderLoad[shard] as number);
    high[LEADERS] = (high[LEADERS] as number) + 1;
  }
  return { low, high };
}

/** Halvings of the level's interval: far below a double's precision. */
const BISECTIONS = 100;

/** Parts of `total` in proportion to `weight`, each within its bounds; where the bounds can't add up to it, in proportion to them. */
function fill(weight: Float64Array, low: Float64Array, high: Float64Array, total: number): Float64Array {
  const within = (level: number): Float64Array =>
    weight.map((w, zone) => (w > 0 ? Math.min(Math.max(level * w, low[zone] as number), high[zone] as number) : 0));
  const sum = (parts: Float64Array): number => parts.reduce((all, part) => all + part, 0);
  let below = 0;
  let above = weight.reduce((most, w, zone) => (w > 0 ? Math.max(most, (high[zone] as number) / w) : most), 0);
  for (let i = 0; i < BISECTIONS; i++) {
    const middle = (below + above) / 2;
    if (sum(within(middle)) < total) below = middle;
    else above = middle;
  }
  const parts = within(above);
  const reached = sum(parts);
  return reached > 0 ? parts.map((part) => (part * total) / reached) : parts;
}
