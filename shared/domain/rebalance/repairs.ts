import type { PlanDraft } from './plan-draft.ts';
import type { MoveReason } from './reasons.ts';
import { isLeaving } from './snapshot.ts';
import type { PlanSnapshot } from './snapshot.ts';
import type { PlanState } from './state.ts';
import type { TargetFinder } from './target-finder.ts';

/**
 * Moves that are due however even the cluster is, most urgent first: broken zone rule, broken placement rule, leaving nodes, disks
 * above the watermark. Replicas on unhealthy nodes are not among them: they can't be copied from there; repair adds others.
 */
export function planRepairs(state: PlanState, finder: TargetFinder, draft: PlanDraft): void {
  const due = dueSlots(state);
  for (const reason of ['ZONE_RULE', 'LABEL_RULE', 'DRAIN'] as const) {
    const slots = due[reason];
    // Large ones first: they fit while there is most room.
    const { bytes } = state.snapshot;
    const size = (slot: number): number => bytes[state.shardOfSlot[slot] as number] as number;
    slots.sort((a, b) => size(b) - size(a) || a - b);
    for (const slot of slots) moveOrExplain(state, finder, draft, slot, reason);
  }
  for (let node = 0; node < state.snapshot.nodes.length; node++) relieveDisk(state, finder, draft, node);
}

/** One of a shard's slots is enough for a plan; what else is due follows in the next one (see SHARD_IN_PLAN). */
interface DueSlots {
  readonly ZONE_RULE: number[];
  readonly LABEL_RULE: number[];
  readonly DRAIN: number[];
}

function dueSlots(state: PlanState): DueSlots {
  const { snapshot } = state;
  const { slotStart, ruleOf, rules } = snapshot;
  const leaving = Uint8Array.from(snapshot.nodes, (node) => (isLeaving(node) ? 1 : 0));
  const fixed = Uint8Array.from(snapshot.nodes, (node) => (node.state === 'UNHEALTHY' ? 1 : 0));
  const due: DueSlots = { ZONE_RULE: [], LABEL_RULE: [], DRAIN: [] };
  for (let shard = 0; shard + 1 < slotStart.length; shard++) {
    const { allowed } = rules[ruleOf[shard] as number] as PlanSnapshot['rules'][number];
    const crowded = crowdedSlot(state, shard, leaving, fixed);
    if (crowded !== -1) due.ZONE_RULE.push(crowded);
    for (let slot = slotStart[shard] as number; slot < (slotStart[shard + 1] as number); slot++) {
      const node = state.slotNode[slot] as number;
      if (fixed[node] === 1) continue;
      if (allowed[node] === 0) due.LABEL_RULE.push(slot);
      else if (leaving[node] === 1) due.DRAIN.push(slot);
    }
  }
  return due;
}

/** A replica in a zone that holds two more of the shard than some usable zone; -1 if the zones are as even as they can be. */
function crowdedSlot(state: PlanState, shard: number, leaving: Uint8Array, fixed: Uint8Array): number {
  const { slotStart, zoneOf, ruleOf, rules, zones, leaderSlot } = state.snapshot;
  const first = slotStart[shard] as number;
  const end = slotStart[shard + 1] as number;
  let most = 1;
  for (let slot = first; slot < end; slot++)
    most = Math.max(most, inZone(state, shard, zoneOf[state.slotNode[slot] as number] as number));
  if (most < 2) return -1;
  const { takers } = rules[ruleOf[shard] as number] as PlanSnapshot['rules'][number];
  let least = Infinity;
  for (let zone = 0; zone < zones.length; zone++) {
    const count = inZone(state, shard, zone);
    if ((takers[zone] as number) > count) least = Math.min(least, count); // a node is left there
  }
  if (most < least + 2) return -1;
  let found = -1;
  let foundScore = -Infinity;
  for (let slot = first; slot < end; slot++) {
    const node = state.slotNode[slot] as number;
    if (fixed[node] === 1 || inZone(state, shard, zoneOf[node] as number) < most) continue;
    // What has to leave its node anyway, then a follower, then from the fuller node.
    const score =
      (leaving[node] as number) * 1e6 + (leaderSlot[shard] === slot ? 0 : 1e3) + Math.min(state.fullest(node), 1e2);
    if (score > foundScore) {
      found = slot;
      foundScore = score;
    }
  }
  return found;
}

function inZone(state: PlanState, shard: number, zone: number): number {
  const { slotStart, zoneOf } = state.snapshot;
  let count = 0;
  for (let slot = slotStart[shard] as number; slot < (slotStart[shard + 1] as number); slot++) {
    if (zoneOf[state.slotNode[slot] as number] === zone) count += 1;
  }
  return count;
}

/** True if the replica is planned to move. */
function moveOrExplain(
  state: PlanState,
  finder: TargetFinder,
  draft: PlanDraft,
  slot: number,
  reason: MoveReason,
): boolean {
  if (state.slotNode[slot] !== state.snapshot.slotNode[slot]) return false; // planned away for a more urgent reason
  const shard = state.shardOfSlot[slot] as number;
  const refusal = draft.isFull ? 'PLAN_LIMIT' : state.refusalOfShard(shard);
  // A crowded zone is relieved only by one that holds two fewer.
  const here = state.snapshot.zoneOf[state.slotNode[slot] as number] as number;
  const othersMax = reason === 'ZONE_RULE' ? inZone(state, shard, here) - 2 : Infinity;
  const to = refusal === null ? finder.best(slot, othersMax) : -1;
  if (to !== -1) {
    draft.move(slot, to, reason);
    return true;
  }
  const { rejections } = draft;
  if (refusal === null && rejections.isFull) {
    rejections.unexplained += 1;
    return false;
  }
  rejections.add({
    goal: reason,
    nodeId: state.node(state.slotNode[slot] as number).nodeId,
    shardId: state.snapshot.shardIds[shard] ?? null,
    reasons: refusal === null ? finder.explain(slot) : [{ reason: refusal, count: 1 }],
  });
  return false;
}

/** Largest replicas first, until what left brings the disk down to the watermark. */
function relieveDisk(state: PlanState, finder: TargetFinder, draft: PlanDraft, node: number): void {
  let excess = -(state.room[node] as number);
  const { state: nodeState } = state.node(node);
  if (!(excess > 0) || nodeState === 'UNHEALTHY') return;
  const { bytes } = state.snapshot;
  const size = (slot: number): number => bytes[state.shardOfSlot[slot] as number] as number;
  const onNode: number[] = [];
  for (let at = state.listStart[node] as number; at < (state.listStart[node + 1] as number); at++) {
    const slot = state.listSlot[at] as number;
    if (state.slotNode[slot] === node) onNode.push(slot);
    else excess -= size(slot); // planned away already
  }
  onNode.sort((a, b) => size(b) - size(a) || a - b);
  for (const slot of onNode) {
    if (excess <= 0) return;
    if (moveOrExplain(state, finder, draft, slot, 'DISK_WATERMARK')) excess -= size(slot);
  }
}
