import { LazyHeap } from './lazy-heap.ts';
import type { PlanDraft } from './plan-draft.ts';
import { ReasonTally } from './reasons.ts';
import { Pair } from './pair.ts';
import type { PlanSnapshot } from './snapshot.ts';
import type { PlanState } from './state.ts';
import { EPSILON } from './state.ts';
import type { TargetFinder } from './target-finder.ts';

/**
 * Evens out replica count, bytes and load. Nothing happens while every node is inside the start band. Then the fullest node gives to
 * the emptiest until all are inside the stop band or no permitted move lowers the potential (see PlanState).
 *
 * Which replica goes is chosen so that all dimensions arrive together: of some candidates the one that comes nearest
 * to what the target still lacks and the source has too much, per replica still to be moved. So the count of moves is
 * what the replica counts alone require.
 */
export function planBalance(state: PlanState, finder: TargetFinder, draft: PlanDraft): void {
  const takers = state.snapshot.nodes.map((_, node) => node).filter((node) => state.takes[node] === 1);
  const outside = (node: number): boolean =>
    state.isAbove(node, state.startHigh) || state.isBelow(node, state.startLow);
  if (takers.some(outside)) new Balance(state, finder, draft, takers).run();
}

/** Replicas of a source that are compared for one move. More fit better and take longer. */
const CANDIDATES = 8;
/** Fullest nodes that are asked for a replica for one target. */
const SOURCES_TRIED_MAX = 6;
/** Searches through all replicas of a source, and the emptiest targets of each zone, when the quick one found nothing. Bounds a plan's time. */
const WIDE_SEARCHES_MAX = 2_000;
/** Targets of a zone that a wide search looks at. */
const WIDE_TARGETS = 8;
class Balance {
  private readonly state: PlanState;
  private readonly finder: TargetFinder;
  private readonly draft: PlanDraft;
  private readonly takers: readonly number[];
  /** By rule: 1 if some shard gains from another zone (see `mayChangeZone`). */
  private readonly crossesZones: Uint8Array;
  /** Where the next look into a node's list begins. */
  private readonly cursor: Int32Array;
  /** From one look to the next, wrapping around: lists are in the snapshot's order, in which neighbours may be alike. */
  private readonly stride: Int32Array;
  private wideSearches = 0;
  private readonly pair: Pair;
  /** The best move of the present search. */
  private slot = -1;
  private target = -1;
  private cost = Infinity;

  constructor(state: PlanState, finder: TargetFinder, draft: PlanDraft, takers: readonly number[]) {
    this.state = state;
    this.finder = finder;
    this.draft = draft;
    this.takers = takers;
    this.cursor = state.listStart.slice();
    this.stride = Int32Array.from(state.snapshot.nodes, (_, node) =>
      scatteringStride((state.listStart[node + 1] as number) - (state.listStart[node] as number)),
    );
    this.crossesZones = rulesThatCrossZones(state.snapshot);
    this.pair = new Pair(state);
  }

  run(): void {
    this.relieveSources();
    this.fillTargets();
  }

  private relieveSources(): void {
    const { state, draft } = this;
    const sources = new LazyHeap(this.takers, (node) => -state.fullest(node));
    for (let source = sources.top(); source !== -1 && !draft.isFull; source = sources.top()) {
      if (!state.isAbove(source, state.stopHigh)) sources.pop();
      else if (this.searchFrom(source)) draft.move(this.slot, this.target, 'BALANCE');
      else {
        sources.pop();
        if (state.isAbove(source, state.startHigh)) this.explainSource(source);
      }
    }
  }

  /** Looks for the best replica on `source` and target for it: the emptiest node of a zone. */
  private searchFrom(source: number): boolean {
    const { ruleOf, zoneOf } = this.state.snapshot;
    const ownZone = zoneOf[source] as number;
    this.reset();
    this.eachCandidate(source, CANDIDATES, (at, shard) => {
      const rule = ruleOf[shard] as number;
      for (const zone of this.finder.zones(rule)) {
        if (zone === ownZone || this.crossesZones[rule] === 1) {
          this.consider(at, source, this.finder.heap(rule, zone).top(), source);
        }
      }
    });
    return this.slot !== -1 || this.searchWidely(source);
  }

  private searchWidely(source: number): boolean {
    if (this.wideSearches >= WIDE_SEARCHES_MAX) return false;
    this.wideSearches += 1;
    const { state, finder } = this;
    const targets = new Map<number, readonly number[]>();
    const targetsUnder = (rule: number): readonly number[] => {
      let found = targets.get(rule);
      if (found === undefined) {
        found = finder.zones(rule).flatMap((zone) => emptiestOf(finder.heap(rule, zone), WIDE_TARGETS));
        targets.set(rule, found);
      }
      return found;
    };
    this.eachCandidate(source, Infinity, (at, shard) => {
      for (const target of targetsUnder(state.snapshot.ruleOf[shard] as number))
        this.consider(at, source, target, source);
    });
    return this.slot !== -1;
  }

  private fillTargets(): void {
    const { state, draft } = this;
    const inZone = (zone: number): number[] => this.takers.filter((node) => state.snapshot.zoneOf[node] === zone);
    const sources = state.snapshot.zones.map((_, zone) => new LazyHeap(inZone(zone), (node) => -state.fullest(node)));
    const lack = (node: number): number => {
      const emptiest = state.extreme(node, -1);
      return emptiest === null ? 0 : state.deviation(node, emptiest);
    };
    const targets = new LazyHeap(this.takers, lack);
    for (let target = targets.top(); target !== -1 && !draft.isFull; target = targets.top()) {
      if (!state.isBelow(target, state.stopLow)) targets.pop();
      else if (this.searchFor(target, sources)) draft.move(this.slot, this.target, 'BALANCE');
      else {
        targets.pop();
        if (state.isBelow(target, state.startLow)) this.explainTarget(target);
      }
    }
  }

  /** Looks for a replica for `target`: on the fullest nodes of its own zone first, then elsewhere. */
  private searchFor(target: number, sources: readonly LazyHeap[]): boolean {
    const ownZone = this.state.snapshot.zoneOf[target] as number;
    this.reset();
    const searchZone = (zone: number): void => {
      const heap = sources[zone] as LazyHeap;
      const popped: number[] = [];
      while (this.slot === -1 && popped.length < SOURCES_TRIED_MAX && heap.size > 0) {
        const source = heap.pop();
        popped.push(source);
        this.eachCandidate(source, CANDIDATES, (at) => this.consider(at, source, target, target));
      }
      for (const node of popped) heap.push(node);
    };
    searchZone(ownZone);
    for (let zone = 0; zone < sources.length && this.slot === -1; zone++) if (zone !== ownZone) searchZone(zone);
    return this.slot !== -1;
  }

  private reset(): void {
    this.slot = -1;
    this.target = -1;
    this.cost = Infinity;
    this.pair.clear();
  }

  /** Up to `count` replicas of `source` that the plan may move, as positions in its list, beginning where the last look ended. */
  private eachCandidate(source: number, count: number, visit: (at: number, shard: number) => void): void {
    const { listStart, listShard, touched } = this.state;
    const { busy } = this.state.snapshot;
    const first = listStart[source] as number;
    const end = listStart[source + 1] as number;
    let at = this.cursor[source] as number;
    const stride = this.stride[source] as number;
    let seen = 0;
    for (let looked = first; looked < end && seen < count; looked++) {
      const position = at;
      at += stride;
      if (at >= end) at -= end - first;
      const shard = listShard[position] as number;
      if (touched[shard] === 1 || busy[shard] === 1) continue;
      seen += 1;
      visit(position, shard);
    }
    this.cursor[source] = at;
  }

  /** Keeps the move if it is permitted, lowers the potential, and fits better than the best one so far. */
  private consider(at: number, source: number, target: number, driver: number): void {
    if (target === -1 || target === source) return;
    const { state, pair } = this;
    pair.set(source, target, driver);
    if (!pair.differEnough) return;
    const cost = pair.misfit(at);
    if (cost >= this.cost) return;
    const slot = state.listSlot[at] as number;
    if (state.refusal(slot, target) !== null || state.potentialChange(slot, target) >= -EPSILON) return;
    this.slot = slot;
    this.target = target;
    this.cost = cost;
  }

  /** Why nothing leaves an overfull node: what stood between its replicas and the emptiest node of each zone. */
  private explainSource(source: number): void {
    if (this.listIsFull()) return;
    const { state, finder } = this;
    const tally = new ReasonTally();
    for (let at = state.listStart[source] as number; at < (state.listStart[source + 1] as number); at++) {
      const shard = state.listShard[at] as number;
      const held = state.refusalOfShard(shard);
      if (held !== null) {
        tally.add(held);
        continue;
      }
      const slot = state.listSlot[at] as number;
      for (const zone of finder.zones(state.snapshot.ruleOf[shard] as number)) {
        const target = finder.heap(state.snapshot.ruleOf[shard] as number, zone).top();
        if (target !== -1 && target !== source) tally.add(state.refusal(slot, target) ?? 'NO_BETTER_TARGET');
      }
    }
    this.reject(source, tally);
  }

  /** Why nothing comes to a node that is too empty. */
  private explainTarget(target: number): void {
    if (this.listIsFull()) return;
    const tally = new ReasonTally();
    for (const source of this.takers) {
      if (source === target) continue;
      if (tally.total >= EXPLAINED_MAX) break;
      this.eachCandidate(source, 1, (at) =>
        tally.add(this.state.refusal(this.state.listSlot[at] as number, target) ?? 'NO_BETTER_TARGET'),
      );
    }
    this.reject(target, tally);
  }

  /** Reasons take a search, so that they are looked for only as far as they are listed. */
  private listIsFull(): boolean {
    const { rejections } = this.draft;
    if (rejections.isFull) rejections.unexplained += 1;
    return rejections.isFull;
  }

  private reject(node: number, tally: ReasonTally): void {
    const reasons = tally.ranked('NO_BETTER_TARGET');
    const { nodeId } = this.state.node(node);
    this.draft.rejections.add({ goal: 'BALANCE', nodeId, shardId: null, reasons });
  }
}

/** A step that visits all of `length` places before it repeats, far apart from each other: near the golden section, coprime to the length. */
function scatteringStride(length: number): number {
  const commonDivisor = (a: number, b: number): number => (b === 0 ? a : commonDivisor(b, a % b));
  let stride = Math.max(1, Math.round(length * 0.618));
  while (commonDivisor(length, stride) > 1) stride += 1;
  return stride % Math.max(1, length);
}

/**
 * By rule, 1 if it has a shard that can gain from another zone. With as many zones as replicas, or a whole fraction of them, an even
 * shard can't (and an uneven one was repaired before).
 */
function rulesThatCrossZones(snapshot: PlanSnapshot): Uint8Array {
  const crosses = new Uint8Array(snapshot.rules.length);
  for (let shard = 0; shard < snapshot.bytes.length; shard++) {
    const rule = snapshot.ruleOf[shard] as number;
    const replicas = (snapshot.slotStart[shard + 1] as number) - (snapshot.slotStart[shard] as number);
    if (replicas % Math.max(1, snapshot.rules[rule]?.zonesUsable ?? 1) !== 0) crosses[rule] = 1;
  }
  return crosses;
}

/** Replicas that are asked why they don't go to a node that stays too empty. */
const EXPLAINED_MAX = 1_000;

function emptiestOf(heap: LazyHeap, count: number): number[] {
  const popped: number[] = [];
  while (popped.length < count && heap.size > 0) popped.push(heap.pop());
  for (const node of popped) heap.push(node);
  return popped;
}
