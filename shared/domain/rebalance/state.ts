import type { Dimension, PlanOptions } from './options.ts';
import { BYTES, DIMENSIONS, LEADERS, LOAD, MOVE_WIDTH, REPLICAS, WIDTH } from './options.ts';
import type { Reason } from './reasons.ts';
import { computeShares } from './shares.ts';
import { takesReplicas } from './snapshot.ts';
import type { NodeState, PlanSnapshot, SnapshotNode } from './snapshot.ts';

/**
 * The cluster as it will be after the moves planned so far: planned moves count before they happen. Nodes, shards and slots are
 * numbers, as in the snapshot. Nothing here decides; it answers what is allowed and what would be gained.
 */
export class PlanState {
  readonly snapshot: PlanSnapshot;
  readonly options: PlanOptions;
  /** By node and dimension, as are the bands; see shares.ts. */
  readonly held: Float64Array;
  readonly share: Float64Array;
  readonly inverse: Float64Array;
  readonly stopLow: Float64Array;
  readonly stopHigh: Float64Array;
  readonly startLow: Float64Array;
  readonly startHigh: Float64Array;
  readonly takes: Uint8Array;
  /** Bytes that the node may still get; infinite without a limit. Never grows: what leaves frees its space only later. */
  readonly room: Float64Array;
  readonly slotNode: Int32Array;
  readonly leaderSlot: Int32Array;
  readonly shardOfSlot: Int32Array;
  /** Shards that the plan changes. */
  readonly touched: Uint8Array;
  /** Replicas that were on node n at first: positions `listStart[n]` up to but excluding `listStart[n + 1]` of the columns below. */
  readonly listStart: Int32Array;
  readonly listSlot: Int32Array;
  readonly listShard: Int32Array;
  /** What moving the replica would take along. Copied here so that a look through a node's replicas reads memory in order. */
  readonly listBytes: Float64Array;
  readonly listLoad: Float64Array;
  readonly listLeads: Uint8Array;

  constructor(snapshot: PlanSnapshot, options: PlanOptions) {
    this.snapshot = snapshot;
    this.options = options;
    const { held, share, inverse } = computeShares(snapshot, options);
    this.held = held;
    this.share = share;
    this.inverse = inverse;
    const granule = meanReplica(held, snapshot.bytes.length);
    const edge = (which: 'start' | 'stop', sign: 1 | -1): Float64Array =>
      share.map((value, at) => {
        const d = at % WIDTH;
        const relative = value * options[DIMENSIONS[d] as Dimension][which];
        // Whole replicas can't be even more finely than by one: the next whole number, or an average replica.
        if (d === REPLICAS || d === LEADERS) {
          return sign > 0
            ? Math.max(value + relative, Math.ceil(value))
            : Math.min(value - relative, Math.floor(value));
        }
        return value + sign * Math.max(relative, granule[d] as number);
      });
    this.stopLow = edge('stop', -1);
    this.stopHigh = edge('stop', 1);
    this.startLow = edge('start', -1);
    this.startHigh = edge('start', 1);
    this.takes = Uint8Array.from(snapshot.nodes, (node) => (takesReplicas(node) ? 1 : 0));
    this.room = Float64Array.from(snapshot.nodes, (node, index) =>
      node.disk === undefined
        ? Infinity
        : node.disk.capacityBytes * options.diskWatermark - (snapshot.diskUsed[index] as number),
    );
    this.slotNode = snapshot.slotNode.slice();
    this.leaderSlot = snapshot.leaderSlot.slice();
    this.touched = new Uint8Array(snapshot.bytes.length);
    this.shardOfSlot = new Int32Array(this.slotNode.length);
    this.listStart = new Int32Array(snapshot.nodes.length + 1);
    this.listSlot = new Int32Array(this.slotNode.length);
    this.listShard = new Int32Array(this.slotNode.length);
    this.listBytes = new Float64Array(this.slotNode.length);
    this.listLoad = new Float64Array(this.slotNode.length);
    this.listLeads = new Uint8Array(this.slotNode.length);
    this.listSlots();
  }

  private listSlots(): void {
    const { slotStart, bytes, load, leaderLoad, leaderSlot } = this.snapshot;
    const { slotNode, listStart, shardOfSlot } = this;
    for (let slot = 0; slot < slotNode.length; slot++) {
      const after = (slotNode[slot] as number) + 1;
      listStart[after] = (listStart[after] as number) + 1;
    }
    for (let node = 0; node + 1 < listStart.length; node++) {
      listStart[node + 1] = (listStart[node + 1] as number) + (listStart[node] as number);
    }
    const next = listStart.slice();
    for (let shard = 0; shard < bytes.length; shard++) {
      const end = slotStart[shard + 1] as number;
      for (let slot = slotStart[shard] as number; slot < end; slot++) {
        const node = slotNode[slot] as number;
        const at = next[node] as number;
        const leads = leaderSlot[shard] === slot;
        next[node] = at + 1;
        shardOfSlot[slot] = shard;
        this.listSlot[at] = slot;
        this.listShard[at] = shard;
        this.listBytes[at] = bytes[shard] as number;
        this.listLoad[at] = (load[shard] as number) + (leads ? (leaderLoad[shard] as number) : 0);
        this.listLeads[at] = leads ? 1 : 0;
      }
    }
  }

  node(index: number): SnapshotNode {
    return this.snapshot.nodes[index] as SnapshotNode;
  }

  /** Relative deviation from the share in the fullest dimension that moves even out; 0 if none is balanced. */
  fullest(node: number): number {
    let most = -Infinity;
    for (let at = node * WIDTH; at < node * WIDTH + MOVE_WIDTH; at++) {
      const inverse = this.inverse[at] as number;
      if (inverse > 0) most = Math.max(most, ((this.held[at] as number) - (this.share[at] as number)) * inverse);
    }
    return most === -Infinity ? 0 : most;
  }

  /** The dimension that `fullest` (sign 1) or its opposite, the emptiest (sign -1), speaks of; null if none is balanced. */
  extreme(node: number, sign: 1 | -1): number | null {
    let found: number | null = null;
    for (let d = 0; d < MOVE_WIDTH; d++) {
      if (this.inverse[node * WIDTH + d] === 0) continue;
      if (found === null || sign * (this.deviation(node, d) - this.deviation(node, found)) > 0) found = d;
    }
    return found;
  }

  deviation(node: number, dimension: number): number {
    const at = node * WIDTH + dimension;
    return ((this.held[at] as number) - (this.share[at] as number)) * (this.inverse[at] as number);
  }

  /** True if some dimension that moves even out lies above (below) its band. */
  isAbove(node: number, band: Float64Array): boolean {
    return this.crosses(node, band, 1);
  }

  isBelow(node: number, band: Float64Array): boolean {
    return this.crosses(node, band, -1);
  }

  private crosses(node: number, band: Float64Array, sign: 1 | -1): boolean {
    for (let at = node * WIDTH; at < node * WIDTH + MOVE_WIDTH; at++) {
      if (
        this.inverse[at] !== 0 &&
        sign * ((this.held[at] as number) - (band[at] as number)) > EPSILON / (this.inverse[at] as number)
      ) {
        return true;
      }
    }
    return false;
  }

  /** What moving the replica in `slot` takes along, by dimension. */
  weightOf(slot: number, dimension: number): number {
    const shard = this.shardOfSlot[slot] as number;
    switch (dimension) {
      case REPLICAS:
        return 1;
      case BYTES:
        return this.snapshot.bytes[shard] as number;
      case LOAD:
        return (
          (this.snapshot.load[shard] as number) +
          (this.leaderSlot[shard] === slot ? (this.snapshot.leaderLoad[shard] as number) : 0)
        );
      default:
        return this.leaderSlot[shard] === slot ? 1 : 0;
    }
  }

  /** Why the shard can't be changed by this plan, or null. */
  refusalOfShard(shard: number): Reason | null {
    if (this.snapshot.busy[shard] === 1) return 'SHARD_BUSY';
    return this.touched[shard] === 1 ? 'SHARD_IN_PLAN' : null;
  }

  /** Why the replica in `slot`, whose shard may be changed, can't move to node `to`; null if it can. */
  refusal(slot: number, to: number): Reason | null {
    const shard = this.shardOfSlot[slot] as number;
    if (this.takes[to] === 0) return refusalOfNode(this.node(to));
    const { slotStart, zoneOf, ruleOf, rules } = this.snapshot;
    const rule = rules[ruleOf[shard] as number] as PlanSnapshot['rules'][number];
    const fromZone = zoneOf[this.slotNode[slot] as number] as number;
    const toZone = zoneOf[to] as number;
    let inFrom = 0;
    let inTo = 0;
    const end = slotStart[shard + 1] as number;
    for (let other = slotStart[shard] as number; other < end; other++) {
      const node = this.slotNode[other] as number;
      if (node === to) return 'HOLDS_REPLICA';
      const zone = zoneOf[node] as number;
      if (zone === fromZone) inFrom += 1;
      if (zone === toZone) inTo += 1;
    }
    if (rule.allowed[to] === 0) return 'LABEL_RULE';
    if (fromZone !== toZone) {
      // The sum of squares of replicas by zone must not grow; a zone without a taker left counts as gone.
      const mayShare = (rule.takers[fromZone] as number) > 0 ? inTo < inFrom : inTo <= this.leastInZone(shard, slot);
      if (!mayShare) return 'ZONE_RULE';
    }
    return (this.room[to] as number) < (this.snapshot.bytes[shard] as number) ? 'NO_CAPACITY' : null;
  }

  /** Replicas of the shard, `leaving` not counted, in the usable zone that holds fewest. */
  private leastInZone(shard: number, leaving: number): number {
    const { slotStart, zoneOf, ruleOf, rules, zones } = this.snapshot;
    const takers = (rules[ruleOf[shard] as number] as PlanSnapshot['rules'][number]).takers;
    let least = Infinity;
    for (let zone = 0; zone < zones.length; zone++) {
      let count = 0;
      for (let slot = slotStart[shard] as number; slot < (slotStart[shard + 1] as number); slot++) {
        if (slot !== leaving && zoneOf[this.slotNode[slot] as number] === zone) count += 1;
      }
      if ((takers[zone] as number) > count) least = Math.min(least, count); // a node is left there
    }
    return least;
  }

  /**
   * Change of the potential, the sum over nodes and dimensions of the squared relative distance to the stop band, if the replica
   * in `slot` moved to `to`. Negative is better. Each balancing move lowers it, so balancing ends. Infinite if `to` would leave the
   * band in some dimension and be fuller there than the node that gives: that only moves the trouble.
   */
  potentialChange(slot: number, to: number): number {
    const from = this.slotNode[slot] as number;
    let change = 0;
    for (let d = 0; d < MOVE_WIDTH; d++) {
      const weight = this.weightOf(slot, d);
      if (this.overfills(from, to, d, weight)) return Infinity;
      change += this.distanceChange(from, d, -weight) + this.distanceChange(to, d, weight);
    }
    return change;
  }

  private overfills(from: number, to: number, dimension: number, weight: number): boolean {
    const target = to * WIDTH + dimension;
    const source = from * WIDTH + dimension;
    const after = (this.held[target] as number) + weight;
    if (weight === 0 || this.inverse[target] === 0 || after <= (this.stopHigh[target] as number)) return false;
    const remaining = (this.held[source] as number) - weight - (this.share[source] as number);
    return (
      (after - (this.share[target] as number)) * (this.inverse[target] as number) >
      remaining * (this.inverse[source] as number)
    );
  }

  distanceChange(node: number, dimension: number, change: number): number {
    const at = node * WIDTH + dimension;
    const inverse = this.inverse[at] as number;
    if (inverse === 0) return 0;
    const held = this.held[at] as number;
    const low = this.stopLow[at] as number;
    const high = this.stopHigh[at] as number;
    const before = Math.max(0, held - high, low - held) * inverse;
    const after = Math.max(0, held + change - high, low - held - change) * inverse;
    return after * after - before * before;
  }

  /** Moves the replica in `slot`, its leadership included, to node `to`. */
  move(slot: number, to: number): void {
    const shard = this.shardOfSlot[slot] as number;
    const from = this.slotNode[slot] as number;
    for (let d = 0; d < WIDTH; d++) this.shift(from, to, d, this.weightOf(slot, d));
    this.slotNode[slot] = to;
    this.room[to] = (this.room[to] as number) - (this.snapshot.bytes[shard] as number);
    this.touched[shard] = 1;
  }

  /** Makes the replica in `slot` the leader. */
  transfer(shard: number, slot: number): void {
    const old = this.leaderSlot[shard] as number;
    const from = this.slotNode[old] as number;
    const to = this.slotNode[slot] as number;
    this.shift(from, to, LEADERS, 1);
    this.shift(from, to, LOAD, this.snapshot.leaderLoad[shard] as number);
    this.leaderSlot[shard] = slot;
    this.touched[shard] = 1;
  }

  private shift(from: number, to: number, dimension: number, amount: number): void {
    const source = from * WIDTH + dimension;
    const target = to * WIDTH + dimension;
    this.held[source] = (this.held[source] as number) - amount;
    this.held[target] = (this.held[target] as number) + amount;
  }
}

/** Relative differences below this are rounding. */
export const EPSILON = 1e-9;

/** Mean of one replica by dimension; leaders' load is spread over all replicas. */
function meanReplica(held: Float64Array, shards: number): Float64Array {
  const total = new Float64Array(WIDTH);
  for (const [at, value] of held.entries()) total[at % WIDTH] = (total[at % WIDTH] as number) + value;
  const replicas = Math.max(1, total[REPLICAS] as number, shards);
  return total.map((value) => value / replicas);
}

const REFUSAL_OF_STATE: Readonly<Record<Exclude<NodeState, 'AVAILABLE'>, Reason>> = {
  CORDONED: 'NODE_CORDONED',
  MAINTENANCE: 'NODE_MAINTENANCE',
  DRAINING: 'NODE_DRAINING',
  DECOMMISSIONING: 'NODE_DECOMMISSIONING',
  UNHEALTHY: 'NODE_UNHEALTHY',
};

/** Why the node takes nothing, or null if it does. */
export function refusalOfNode(node: Pick<SnapshotNode, 'state' | 'pace'>): Reason | null {
  if (node.state !== 'AVAILABLE') return REFUSAL_OF_STATE[node.state];
  return node.pace === 'SLOW' ? 'NODE_SLOW' : null;
}
