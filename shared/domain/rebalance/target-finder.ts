import { LazyHeap } from './lazy-heap.ts';
import { ReasonTally } from './reasons.ts';
import type { ReasonCounts } from './reasons.ts';
import type { PlanSnapshot } from './snapshot.ts';
import type { PlanState } from './state.ts';

/** Nodes at the top of a heap that are tried before a whole zone is searched: more than hold one shard's replicas. */
const TRIED_MAX = 8;

/** Where a replica could go: the nodes of each rule and zone that take replicas, emptiest first. */
export class TargetFinder {
  private readonly state: PlanState;
  private readonly heaps = new Map<number, LazyHeap>();
  private readonly members = new Map<number, readonly number[]>();
  /** By rule and zone: the smallest replica for which a whole zone had no room. Room never grows, so no larger one fits either. */
  private readonly noRoomFor = new Map<number, number>();
  /** Zones by rule that have a taker. */
  private readonly zonesOf: readonly (readonly number[])[];

  constructor(state: PlanState) {
    this.state = state;
    const { rules, zones } = state.snapshot;
    this.zonesOf = rules.map((rule) =>
      zones.map((_, zone) => zone).filter((zone) => (rule.takers[zone] as number) > 0),
    );
  }

  zones(rule: number): readonly number[] {
    return this.zonesOf[rule] as readonly number[];
  }

  /** Nodes of `zone` that may take replicas under `rule`, the emptiest at the top (by its fullest dimension). */
  heap(rule: number, zone: number): LazyHeap {
    const key = this.key(rule, zone);
    let heap = this.heaps.get(key);
    if (heap === undefined) {
      heap = new LazyHeap(this.nodes(rule, zone), (node) => this.state.fullest(node));
      this.heaps.set(key, heap);
    }
    return heap;
  }

  private nodes(rule: number, zone: number): readonly number[] {
    const key = this.key(rule, zone);
    let nodes = this.members.get(key);
    if (nodes === undefined) {
      const { takes, snapshot } = this.state;
      const { allowed } = snapshot.rules[rule] as PlanSnapshot['rules'][number];
      nodes = snapshot.nodes
        .map((_, node) => node)
        .filter((node) => snapshot.zoneOf[node] === zone && takes[node] === 1 && allowed[node] === 1);
      this.members.set(key, nodes);
    }
    return nodes;
  }

  private key(rule: number, zone: number): number {
    return rule * this.state.snapshot.zones.length + zone;
  }

  /**
   * The best target for the replica in `slot`: the zone with fewest other replicas of the shard first (`othersMax` at most), then the
   * emptiest node. -1: none.
   */
  best(slot: number, othersMax = Infinity): number {
    const { state } = this;
    const { zoneOf, ruleOf, slotStart } = state.snapshot;
    const shard = state.shardOfSlot[slot] as number;
    const rule = ruleOf[shard] as number;
    let best = -1;
    let bestInZone = othersMax;
    for (const zone of this.zones(rule)) {
      let inZone = 0;
      for (let other = slotStart[shard] as number; other < (slotStart[shard + 1] as number); other++) {
        if (other !== slot && zoneOf[state.slotNode[other] as number] === zone) inZone += 1;
      }
      if (inZone > bestInZone) continue;
      const node = this.bestInZone(slot, rule, zone);
      if (node === -1) continue;
      if (best === -1 || inZone < bestInZone || state.fullest(node) < state.fullest(best)) {
        best = node;
        bestInZone = inZone;
      }
    }
    return best;
  }

  private bestInZone(slot: number, rule: number, zone: number): number {
    const { state } = this;
    const bytes = state.snapshot.bytes[state.shardOfSlot[slot] as number] as number;
    if (bytes >= (this.noRoomFor.get(this.key(rule, zone)) ?? Infinity)) return -1;
    const heap = this.heap(rule, zone);
    const popped: number[] = [];
    let found = -1;
    let possible = true;
    while (found === -1 && possible && popped.length < TRIED_MAX && heap.size > 0) {
      const node = heap.pop();
      popped.push(node);
      const refusal = state.refusal(slot, node);
      if (refusal === null) found = node;
      possible = refusal !== 'ZONE_RULE'; // said of the zone as a whole
    }
    for (const node of popped) heap.push(node);
    return found === -1 && possible ? this.searchZone(slot, rule, zone, bytes) : found;
  }

  private searchZone(slot: number, rule: number, zone: number, bytes: number): number {
    const { state } = this;
    let best = -1;
    let roomOnHolders = false;
    for (const node of this.nodes(rule, zone)) {
      const refusal = state.refusal(slot, node);
      if (refusal === 'HOLDS_REPLICA' && (state.room[node] as number) >= bytes) roomOnHolders = true;
      if (refusal === null && (best === -1 || state.fullest(node) < state.fullest(best))) best = node;
    }
    if (best === -1 && !roomOnHolders) this.noRoomFor.set(this.key(rule, zone), bytes);
    return best;
  }

  /** Why no node takes the replica in `slot`: what each node answers. */
  explain(slot: number): ReasonCounts {
    const { state } = this;
    const from = state.slotNode[slot] as number;
    const tally = new ReasonTally();
    for (let node = 0; node < state.snapshot.nodes.length; node++) {
      if (node === from) continue;
      tally.add(state.refusal(slot, node) ?? 'NO_BETTER_TARGET');
    }
    return tally.ranked('NO_BETTER_TARGET');
  }
}
