import { LazyHeap } from './lazy-heap.ts';
import { LEADERS, LOAD, WIDTH } from './options.ts';
import type { PlanDraft, LeaderMoveReason } from './plan-draft.ts';
import type { Reason } from './reasons.ts';
import { ReasonTally } from './reasons.ts';
import { isLeaving } from './snapshot.ts';
import type { PlanSnapshot } from './snapshot.ts';
import { EPSILON, refusalOfNode } from './state.ts';
import type { PlanState } from './state.ts';

/**
 * Leader transfers: first leaders that are on the wrong node (slow, leaving, not preferred), then even numbers. Only IN_SYNC replicas on
 * nodes that take something new are targets (E2). Leaders on unhealthy nodes are the detector's business (E1).
 */
export function planLeaders(state: PlanState, draft: PlanDraft): void {
  relocate(state, draft);
  even(state, draft);
}

function relocate(state: PlanState, draft: PlanDraft): void {
  const { leaderSlot, nodes } = state.snapshot;
  const reasonOf: readonly (LeaderMoveReason | null)[] = nodes.map((node) => {
    if (node.state === 'UNHEALTHY') return null;
    if (isLeaving(node) || node.state === 'MAINTENANCE') return 'NODE_LEAVING';
    return node.pace === 'SLOW' ? 'NODE_SLOW' : null;
  });
  for (let shard = 0; shard < leaderSlot.length; shard++) {
    const leader = state.leaderSlot[shard] as number;
    if (leader === -1) continue;
    const node = state.slotNode[leader] as number;
    let reason = reasonOf[node] as LeaderMoveReason | null;
    if (reason === null && rankOf(state, shard, leader) > 0 && nodes[node]?.state !== 'UNHEALTHY')
      reason = 'PREFERENCE';
    if (reason === null) continue;
    const target = bestReplica(state, shard, reason === 'PREFERENCE' ? rankOf(state, shard, leader) - 1 : Infinity);
    const refusal = draft.leadersAreFull ? 'PLAN_LIMIT' : state.refusalOfShard(shard);
    if (target !== -1 && refusal === null) draft.transfer(shard, target, reason);
    // A wish that no replica fulfils is no rejection; and a shard whose replica moves takes its leader along.
    else if (reason !== 'PREFERENCE' && state.touched[shard] === 0) reject(state, draft, shard, refusal);
  }
}

function reject(state: PlanState, draft: PlanDraft, shard: number, refusal: Reason | null): void {
  const { slotStart, slotInSync, shardIds } = state.snapshot;
  const leader = state.leaderSlot[shard] as number;
  const tally = new ReasonTally();
  if (refusal !== null) tally.add(refusal);
  else {
    for (let slot = slotStart[shard] as number; slot < (slotStart[shard + 1] as number); slot++) {
      if (slot === leader) continue;
      const ofNode = refusalOfNode(state.node(state.slotNode[slot] as number));
      tally.add(ofNode ?? (slotInSync[slot] === 0 ? 'NOT_IN_SYNC' : 'NO_BETTER_TARGET'));
    }
  }
  draft.rejections.add({
    goal: 'LEADERS',
    nodeId: state.node(state.slotNode[leader] as number).nodeId,
    shardId: shardIds[shard] ?? null,
    reasons: tally.ranked('NOT_IN_SYNC'),
  });
}

const rankOf = (state: PlanState, shard: number, slot: number): number => {
  const rule = state.snapshot.rules[state.snapshot.ruleOf[shard] as number] as PlanSnapshot['rules'][number];
  return rule.leaderRank[state.slotNode[slot] as number] as number;
};

/** True if the replica in `slot` could become leader. */
const mayLead = (state: PlanState, slot: number): boolean =>
  state.snapshot.slotInSync[slot] === 1 && state.takes[state.slotNode[slot] as number] === 1;

/** The replica that should lead instead: the most preferred one (`rankMax` at most), then the one on the node with fewest leaders. -1: none. */
function bestReplica(state: PlanState, shard: number, rankMax: number): number {
  const { slotStart } = state.snapshot;
  let best = -1;
  let bestRank = rankMax;
  for (let slot = slotStart[shard] as number; slot < (slotStart[shard + 1] as number); slot++) {
    if (slot === state.leaderSlot[shard] || !mayLead(state, slot)) continue;
    const rank = rankOf(state, shard, slot);
    if (rank > bestRank) continue;
    if (best === -1 || rank < bestRank || leadersOn(state, slot) < leadersOn(state, best)) {
      best = slot;
      bestRank = rank;
    }
  }
  return best;
}

const leadersOn = (state: PlanState, slot: number): number => state.deviation(state.slotNode[slot] as number, LEADERS);

/** From nodes above the stop band to the emptiest replicas' nodes, then to nodes below it; nothing while all are inside the start band. */
function even(state: PlanState, draft: PlanDraft): void {
  const takers = state.snapshot.nodes.map((_, node) => node).filter((node) => state.takes[node] === 1);
  const balanced = (node: number): boolean => (state.inverse[node * WIDTH + LEADERS] as number) > 0;
  const above = (node: number, band: Float64Array): boolean => balanced(node) && excess(state, node, band) > EPSILON;
  const below = (node: number, band: Float64Array): boolean => balanced(node) && excess(state, node, band) < -EPSILON;
  if (!takers.some((node) => above(node, state.startHigh) || below(node, state.startLow))) return;
  drainHeap(
    takers,
    (node) => -state.deviation(node, LEADERS),
    (node) => above(node, state.stopHigh),
    (node) => pickFrom(state, node),
    (node) => above(node, state.startHigh),
    state,
    draft,
  );
  drainHeap(
    takers,
    (node) => state.deviation(node, LEADERS),
    (node) => below(node, state.stopLow),
    (node) => pickFor(state, node),
    (node) => below(node, state.startLow),
    state,
    draft,
  );
}

const excess = (state: PlanState, node: number, band: Float64Array): number =>
  (state.held[node * WIDTH + LEADERS] as number) - (band[node * WIDTH + LEADERS] as number);

/** Works on the most deviating node until it needs no more or has no more to offer, then on the next. */
function drainHeap(
  nodes: readonly number[],
  key: (node: number) => number,
  needsMore: (node: number) => boolean,
  pick: (node: number) => number,
  deservesReason: (node: number) => boolean,
  state: PlanState,
  draft: PlanDraft,
): void {
  const heap = new LazyHeap(nodes, key);
  for (let node = heap.top(); node !== -1 && !draft.leadersAreFull; node = heap.top()) {
    const slot = needsMore(node) ? pick(node) : -1;
    if (slot !== -1) {
      draft.transfer(state.shardOfSlot[slot] as number, slot, 'BALANCE');
      continue;
    }
    if (deservesReason(node)) {
      const reasons = [{ reason: 'NO_BETTER_TARGET' as const, count: 1 }];
      draft.rejections.add({ goal: 'LEADERS', nodeId: state.node(node).nodeId, shardId: null, reasons });
    }
    heap.pop();
  }
}

/** Of all leaders on `source`, the slot elsewhere that gains most by leading; -1: none gains. */
function pickFrom(state: PlanState, source: number): number {
  return bestTransfer(state, source, (slot, shard, consider) => {
    if (state.leaderSlot[shard] !== slot) return;
    const { slotStart } = state.snapshot;
    for (let other = slotStart[shard] as number; other < (slotStart[shard + 1] as number); other++) {
      if (other !== slot) consider(slot, other);
    }
  });
}

/** Of all followers on `target`, the slot that gains most by leading; -1: none gains. */
function pickFor(state: PlanState, target: number): number {
  return bestTransfer(state, target, (slot, shard, consider) => {
    const leader = state.leaderSlot[shard] as number;
    if (leader !== -1 && leader !== slot) consider(leader, slot);
  });
}

function bestTransfer(
  state: PlanState,
  node: number,
  propose: (slot: number, shard: number, consider: (from: number, to: number) => void) => void,
): number {
  let best = -1;
  let bestChange = -EPSILON;
  const consider = (from: number, to: number): void => {
    const shard = state.shardOfSlot[to] as number;
    if (!mayLead(state, to) || rankOf(state, shard, to) > rankOf(state, shard, from)) return;
    if (state.takes[state.slotNode[from] as number] === 0) return; // relocated, or stays for a reason of its own
    if (leadersOn(state, from) - leadersOn(state, to) < state.options.leaders.stop) return;
    const change = transferChange(state, shard, from, to);
    if (change < bestChange) {
      best = to;
      bestChange = change;
    }
  };
  for (let at = state.listStart[node] as number; at < (state.listStart[node + 1] as number); at++) {
    const slot = state.listSlot[at] as number;
    const shard = state.shardOfSlot[slot] as number;
    if (state.slotNode[slot] === node && state.refusalOfShard(shard) === null) propose(slot, shard, consider);
  }
  return best;
}

/** Change of the potential in leaders and load; see PlanState.potentialChange. */
function transferChange(state: PlanState, shard: number, from: number, to: number): number {
  const source = state.slotNode[from] as number;
  const target = state.slotNode[to] as number;
  const load = state.snapshot.leaderLoad[shard] as number;
  return (
    state.distanceChange(source, LEADERS, -1) +
    state.distanceChange(target, LEADERS, 1) +
    state.distanceChange(source, LOAD, -load) +
    state.distanceChange(target, LOAD, load)
  );
}
