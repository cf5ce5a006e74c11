import { BYTES, LEADERS, LOAD, REPLICAS, WIDTH } from './options.ts';
import type { PlanOptions } from './options.ts';
import { isLeaving, losesLeaders, takesReplicas } from './snapshot.ts';
import type { PlanSnapshot } from './snapshot.ts';

/**
 * What each node should hold: its fair share of each dimension. Indexed by `node * WIDTH + dimension`.
 *
 * Shards are shared out by the nodes that may hold them: a node has no share of what placement rules keep from it, and what they leave to few nodes
 * goes to these first; what may lie anywhere then fills up the others ("water-filling"), so that all come as close to their weight as rules let them.
 *
 * Zones first: while enough zones exist a shard has between floor(RF / zones) and ceil(RF / zones) replicas in each (I-7), so a
 * zone's total lies between the sums of these over all shards. Within these bounds zones are filled in proportion to their
 * weight; within a zone nodes get parts in proportion to theirs. So with as many zones as replicas
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

/** Shards that the same nodes may hold. */
interface Group {
  /** By node: 1 if its labels are allowed. */
  readonly allowed: Uint8Array;
  /** By node and dimension. */
  readonly held: Float64Array;
  /** By dimension: least and most that one zone holds under the zone rule. */
  readonly low: Float64Array;
  readonly high: Float64Array;
}

export function computeShares(snapshot: PlanSnapshot, options: PlanOptions): Shares {
  const nodes = snapshot.nodes.length;
  const share = new Float64Array(nodes * WIDTH);
  const inverse = new Float64Array(nodes * WIDTH);
  const takes = Uint8Array.from(snapshot.nodes, (node) => (takesReplicas(node) ? 1 : 0));
  const leaves = Uint8Array.from(snapshot.nodes, (node) => (isLeaving(node) ? 1 : 0));
  const losesLead = Uint8Array.from(snapshot.nodes, (node) => (losesLeaders(node) ? 1 : 0));
  const groups = groupsOf(snapshot, takes);
  const totals = new Float64Array(WIDTH);
  for (const group of groups)
    for (let d = 0; d < WIDTH; d++) {
      const gives = d === LEADERS ? losesLead : leaves;
      totals[d] = (totals[d] as number) + shareOut(snapshot, group, d, { takes, gives }, share);
    }
  const held = groups.length === 1 && groups[0] !== undefined ? groups[0].held : sumOf(groups, nodes * WIDTH);
  const takers = takes.reduce((sum, one) => sum + one, 0);
  const least = [0, options.bytesPerNodeMin * takers, options.loadPerNodeMin * takers, 0];
  for (let at = 0; at < share.length; at++) {
    const d = at % WIDTH;
    const isBalanced = (totals[d] as number) > 0 && (totals[d] as number) >= (least[d] as number);
    if (takes[Math.floor(at / WIDTH)] === 1 && isBalanced && (share[at] as number) > 0)
      inverse[at] = 1 / (share[at] as number);
  }
  return { held, share, inverse };
}

function sumOf(groups: readonly Group[], length: number): Float64Array {
  const sum = new Float64Array(length);
  for (const { held } of groups)
    for (let at = 0; at < length; at++) sum[at] = (sum[at] as number) + (held[at] as number);
  return sum;
}

/** Adds each node's part of one dimension of a group on top of what it has already. Returns the total that was to be shared out. */
function shareOut(
  snapshot: PlanSnapshot,
  { allowed, held, low, high }: Group,
  d: number,
  { takes, gives }: { readonly takes: Uint8Array; readonly gives: Uint8Array },
  share: Float64Array,
): number {
  const { zoneOf, weight } = snapshot;
  const zones = snapshot.zones.length;
  const zoneWeight = new Float64Array(zones);
  const base = new Float64Array(zones);
  const inert = new Float64Array(zones);
  const members: number[][] = Array.from({ length: zones }, () => []);
  let total = 0;
  for (let node = 0; node < takes.length; node++) {
    const at = node * WIDTH + d;
    const zone = zoneOf[node] as number;
    if (takes[node] === 1 || gives[node] === 1) total += held[at] as number;
    else {
      inert[zone] = (inert[zone] as number) + (held[at] as number);
      share[at] = (share[at] as number) + (held[at] as number);
    }
    if (takes[node] === 0 || allowed[node] === 0) continue;
    zoneWeight[zone] = (zoneWeight[zone] as number) + (weight[node] as number);
    base[zone] = (base[zone] as number) + (share[at] as number);
    (members[zone] as number[]).push(node);
  }
  if (total === 0) return 0;
  const zoneShare = fill({
    weight: zoneWeight,
    base,
    low: inert.map((value) => Math.max(0, (low[d] as number) - value)),
    high: inert.map((value) => Math.max(0, (high[d] as number) - value)),
    total,
  });
  for (let zone = 0; zone < zones; zone++) lay(zoneShare[zone] as number, members[zone] as number[], weight, share, d);
  return total;
}

/** Lays `amount` on nodes of one zone, so that they come to the same level for their weight as far as what they have already lets them. */
function lay(amount: number, members: number[], weight: Float64Array, share: Float64Array, d: number): void {
  if (amount <= 0) return;
  const levelOf = (node: number): number => (share[node * WIDTH + d] as number) / (weight[node] as number);
  if (members.some((node) => levelOf(node) > 0)) members.sort((a, b) => levelOf(a) - levelOf(b) || a - b);
  let weights = 0;
  let sum = amount;
  let level = Infinity;
  let reached = 0;
  for (const node of members) {
    if (levelOf(node) >= level) break;
    weights += weight[node] as number;
    sum += share[node * WIDTH + d] as number;
    level = sum / weights;
    reached += 1;
  }
  for (const node of members.slice(0, reached)) share[node * WIDTH + d] = level * (weight[node] as number);
}

/** Shards by the nodes that may hold them, those with the fewest first. At least one group. */
function groupsOf(snapshot: PlanSnapshot, takes: Uint8Array): readonly Group[] {
  const { ruleOf, rules, bytes } = snapshot;
  const used = new Uint8Array(rules.length);
  for (let shard = 0; shard < bytes.length; shard++) used[ruleOf[shard] as number] = 1;
  const byNodes = new Map<string, Group>();
  const groupOfRule: (Group | undefined)[] = rules.map(({ allowed }, index) => {
    if (used[index] === 0) return undefined;
    // Rules that differ in their wishes alone share out the same nodes.
    const text = rules.length === 1 ? '' : allowed.join('');
    const known = byNodes.get(text);
    if (known !== undefined) return known;
    const group: Group = {
      allowed,
      held: new Float64Array(snapshot.nodes.length * WIDTH),
      low: new Float64Array(WIDTH),
      high: new Float64Array(WIDTH),
    };
    byNodes.set(text, group);
    return group;
  });
  addHeld(snapshot, groupOfRule);
  addBounds(snapshot, groupOfRule);
  const takers = ({ allowed }: Group): number =>
    allowed.reduce((sum, one, node) => sum + one * (takes[node] as number) * (snapshot.weight[node] as number), 0);
  const groups = [...byNodes.values()].map((group) => ({ group, takers: takers(group) }));
  groups.sort((a, b) => a.takers - b.takers);
  if (groups.length > 0) return groups.map(({ group }) => group);
  const none = new Float64Array(WIDTH);
  return [{ allowed: takes, held: new Float64Array(snapshot.nodes.length * WIDTH), low: none, high: none }];
}

/** What each node holds of each dimension. */
function addHeld(snapshot: PlanSnapshot, groupOfRule: readonly (Group | undefined)[]): void {
  const { slotStart, slotNode, leaderSlot, bytes, load, leaderLoad, ruleOf } = snapshot;
  for (let shard = 0; shard < bytes.length; shard++) {
    const { held } = groupOfRule[ruleOf[shard] as number] as Group;
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
}

/** Least and most that one zone holds of each dimension under the zone rule. */
function addBounds(snapshot: PlanSnapshot, groupOfRule: readonly (Group | undefined)[]): void {
  for (let shard = 0; shard < snapshot.bytes.length; shard++) {
    const { low, high } = groupOfRule[snapshot.ruleOf[shard] as number] as Group;
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
}

/** Halvings of the level's interval: far below a double's precision. */
const BISECTIONS = 100;

/**
 * Parts of `total` that bring `base` to the same level for their weight, each within its bounds; where the bounds can't add up to it, in proportion to them.
 */
function fill(zones: {
  readonly weight: Float64Array;
  readonly base: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
  readonly total: number;
}): Float64Array {
  const { weight, base, low, high, total } = zones;
  const within = (level: number): Float64Array =>
    weight.map((w, zone) =>
      w > 0 ? Math.min(Math.max(level * w - (base[zone] as number), low[zone] as number), high[zone] as number) : 0,
    );
  const sum = (parts: Float64Array): number => parts.reduce((all, part) => all + part, 0);
  let below = 0;
  let above = weight.reduce(
    (most, w, zone) => (w > 0 ? Math.max(most, ((high[zone] as number) + (base[zone] as number)) / w) : most),
    0,
  );
  for (let i = 0; i < BISECTIONS; i++) {
    const middle = (below + above) / 2;
    if (sum(within(middle)) < total) below = middle;
    else above = middle;
  }
  const parts = within(above);
  const reached = sum(parts);
  return reached > 0 ? parts.map((part) => (part * total) / reached) : parts;
}
