import type { NodeId } from '../ids.ts';
import { addBytes } from './bytes.ts';
import { DEFAULT_PLAN_OPTIONS } from './options.ts';
import type { PlanOptions } from './options.ts';
import { PlanDraft } from './plan-draft.ts';
import { PASSING_REASONS } from './reasons.ts';
import type { Rejection } from './reasons.ts';
import { planRepairs } from './repairs.ts';
import { ruleColumns } from './snapshot.ts';
import type { PlanSnapshot } from './snapshot.ts';
import { PlanState } from './state.ts';
import { TargetFinder } from './target-finder.ts';

export interface DrainCheck {
  /** True if everything on the nodes fits elsewhere without breaking a rule. What is merely busy now does not count against it. */
  readonly fits: boolean;
  readonly replicas: number;
  readonly bytes: number;
  /** Replicas that have to wait for something that passes by itself, another replica of their shard for example. */
  readonly waiting: number;
  /** Replicas that no node takes; on an unhealthy node all of them, since they can't be copied from there. */
  readonly refused: number;
  /** Why: the first `rejectedMax` of them, best-ranked reason first. */
  readonly obstacles: readonly Rejection[];
}

/**
 * Would everything on `nodeIds` fit elsewhere, if they were drained now and together? Pure: nothing is cordoned, nothing moves.
 * Of a shard with replicas on several of the nodes only one replica is placed; the others are counted as waiting.
 */
export function checkDrain(
  snapshot: PlanSnapshot,
  nodeIds: readonly NodeId[],
  options: Partial<PlanOptions> = {},
): DrainCheck {
  const draining = new Set(nodeIds);
  const state = new PlanState(asDraining(snapshot, draining), { ...DEFAULT_PLAN_OPTIONS, ...options });
  const draft = new PlanDraft(state);
  planRepairs(state, new TargetFinder(state), draft);
  let replicas = 0;
  let bytes = 0;
  let waiting = 0;
  let refused = 0;
  for (let slot = 0; slot < snapshot.slotNode.length; slot++) {
    if (!draining.has(state.node(snapshot.slotNode[slot] as number).nodeId)) continue;
    const shard = state.shardOfSlot[slot] as number;
    replicas += 1;
    bytes = addBytes(bytes, snapshot.bytes[shard] as number);
    if (state.slotNode[slot] !== snapshot.slotNode[slot]) continue; // placed
    if (state.refusalOfShard(shard) !== null) waiting += 1;
    else refused += 1;
  }
  const obstacles = draft.rejections.kept.filter(
    ({ nodeId, reasons }) => draining.has(nodeId) && !reasons.every(({ reason }) => PASSING_REASONS.has(reason)),
  );
  return { fits: refused === 0, replicas, bytes, waiting, refused, obstacles };
}

/** The snapshot with the nodes draining: they take nothing, and zones that live from them alone are gone. */
function asDraining(snapshot: PlanSnapshot, draining: ReadonlySet<NodeId>): PlanSnapshot {
  const nodes = snapshot.nodes.map((node) =>
    draining.has(node.nodeId) && node.state !== 'UNHEALTHY' ? { ...node, state: 'DRAINING' as const } : node,
  );
  return { ...snapshot, nodes, rules: snapshot.rules.map(({ rule }) => ruleColumns(rule, nodes, snapshot)) };
}
