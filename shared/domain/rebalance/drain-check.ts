import type { NodeId } from '../ids.ts';
import { DEFAULT_PLAN_OPTIONS } from './options.ts';
import type { PlanOptions } from './options.ts';
import { PlanDraft } from './plan-draft.ts';
import { PASSING_REASONS } from './reasons.ts';
import type { ReasonCounts, Rejection } from './reasons.ts';
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
  /** Replicas that nowhere takes, and why: the first `rejectedMax` of them. */
  readonly obstacles: readonly Rejection[];
  /** All obstacles by their best-ranked reason. */
  readonly obstaclesByReason: ReasonCounts;
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
  const onNodes = (id: NodeId): boolean => draining.has(id);
  let replicas = 0;
  let bytes = 0;
  for (let slot = 0; slot < snapshot.slotNode.length; slot++) {
    if (!onNodes(state.node(snapshot.slotNode[slot] as number).nodeId)) continue;
    replicas += 1;
    bytes += snapshot.bytes[state.shardOfSlot[slot] as number] as number;
  }
  const placed = draft.moves.filter((move) => onNodes(move.fromNodeId)).length;
  const drains = draft.rejections.kept.filter((rejection) => rejection.goal === 'DRAIN' && onNodes(rejection.nodeId));
  const obstacles = drains.filter(({ reasons }) => !reasons.every(({ reason }) => PASSING_REASONS.has(reason)));
  const totals = draft.rejections.totals().filter(({ reason }) => !PASSING_REASONS.has(reason));
  const refused = totals.reduce((sum, { count }) => sum + count, 0) + draft.rejections.unexplained;
  return {
    fits: obstacles.length === 0 && refused === 0,
    replicas,
    bytes,
    waiting: Math.max(0, replicas - placed - refused),
    obstacles,
    obstaclesByReason: totals,
  };
}

/** The snapshot with the nodes draining: they take nothing, and zones that live from them alone are gone. */
function asDraining(snapshot: PlanSnapshot, draining: ReadonlySet<NodeId>): PlanSnapshot {
  const nodes = snapshot.nodes.map((node) =>
    draining.has(node.nodeId) && node.state !== 'UNHEALTHY' ? { ...node, state: 'DRAINING' as const } : node,
  );
  return { ...snapshot, nodes, rules: snapshot.rules.map(({ rule }) => ruleColumns(rule, nodes, snapshot)) };
}
