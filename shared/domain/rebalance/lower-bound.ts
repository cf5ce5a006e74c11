import { BYTES, DEFAULT_PLAN_OPTIONS, LOAD, REPLICAS, WIDTH } from './options.ts';
import type { PlanOptions } from './options.ts';
import { isLeaving } from './snapshot.ts';
import type { PlanSnapshot } from './snapshot.ts';
import { PlanState } from './state.ts';
import { countZoneViolations } from './zone-violations.ts';

/**
 * The fewest replica moves with which any plan brings every node that takes replicas inside the start band, empties leaving nodes and
 * mends broken rules. A plan may need more (a target may refuse), never fewer.
 *
 * Proof. A move takes one replica off one node and adds one to one node. (a) Let r(n) be removals that node n needs: all of
 * its replicas if it leaves; else at least the replicas that its table's rule forbids there; at least `held - high` for
 * the count; and at least the k largest replicas whose sum reaches the excess in bytes, since any fewer weigh less. The same for
 * load, of which leader transfers could take away what leaders add, so that only the replicas' own load counts. Moves serve one
 * source each, hence at least sum r(n). (b) Let a(n) be additions that n needs: `low - held` for the count, and the
 * missing bytes over the largest shard's. Moves serve one target each, hence at least sum a(n). (c) A move changes one shard,
 * so at least as many moves as shards whose zones are wrong. The bound is the largest of the three.
 */
export function lowerBound(snapshot: PlanSnapshot, options: Partial<PlanOptions> = {}): number {
  const state = new PlanState(snapshot, { ...DEFAULT_PLAN_OPTIONS, ...options });
  const largest = snapshot.bytes.reduce((most, bytes) => Math.max(most, bytes), 0);
  let removals = 0;
  let additions = 0;
  for (let node = 0; node < snapshot.nodes.length; node++) {
    removals += removalsNeeded(state, node);
    if (state.takes[node] === 1) additions += additionsNeeded(state, node, largest);
  }
  return Math.max(removals, additions, countZoneViolations(snapshot));
}

function removalsNeeded(state: PlanState, node: number): number {
  const { snapshot } = state;
  const onNode = state.listSlot.subarray(state.listStart[node], state.listStart[node + 1]);
  if (isLeaving(state.node(node))) return onNode.length;
  if (state.node(node).state === 'UNHEALTHY') return 0;
  const shardOf = (slot: number): number => state.shardOfSlot[slot] as number;
  const forbidden = onNode.reduce((count, slot) => {
    const rule = snapshot.rules[snapshot.ruleOf[shardOf(slot)] as number];
    return count + (rule?.allowed[node] === 0 ? 1 : 0);
  }, 0);
  if (state.takes[node] === 0) return forbidden;
  return Math.max(
    forbidden,
    active(state, node, REPLICAS)
      ? wholeAbove(onNode.length - (state.startHigh[node * WIDTH + REPLICAS] as number))
      : 0,
    fewestToShed(state, node, BYTES, onNode, (slot) => snapshot.bytes[shardOf(slot)] as number),
    fewestToShed(state, node, LOAD, onNode, (slot) => snapshot.load[shardOf(slot)] as number),
  );
}

function fewestToShed(
  state: PlanState,
  node: number,
  dimension: number,
  slots: Int32Array,
  weightOf: (slot: number) => number,
): number {
  if (!active(state, node, dimension)) return 0;
  const weights = Float64Array.from(slots, weightOf).sort().reverse();
  let excess = weights.reduce((sum, weight) => sum + weight, 0) - (state.startHigh[node * WIDTH + dimension] as number);
  let count = 0;
  for (; count < weights.length && excess > ROUNDING * (state.share[node * WIDTH + dimension] as number); count++) {
    excess -= weights[count] as number;
  }
  return count;
}

function additionsNeeded(state: PlanState, node: number, largest: number): number {
  const missing = (dimension: number): number => {
    const at = node * WIDTH + dimension;
    return active(state, node, dimension) ? (state.startLow[at] as number) - (state.held[at] as number) : 0;
  };
  return Math.max(0, wholeAbove(missing(REPLICAS)), largest > 0 ? wholeAbove(missing(BYTES) / largest) : 0);
}

const active = (state: PlanState, node: number, dimension: number): boolean =>
  (state.inverse[node * WIDTH + dimension] as number) > 0;

const ROUNDING = 1e-9;

/** The least whole number that is not below `value`, rounding errors forgiven; at least 0. */
const wholeAbove = (value: number): number => Math.max(0, Math.ceil(value - 1e-6));
