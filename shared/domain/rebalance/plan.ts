import type { NodeId } from '../ids.ts';
import { planBalance } from './balance.ts';
import { addBytes } from './bytes.ts';
import { planLeaders } from './leaders.ts';
import { DEFAULT_PLAN_OPTIONS, DIMENSIONS, WIDTH } from './options.ts';
import type { Dimension, PlanOptions } from './options.ts';
import { PlanDraft } from './plan-draft.ts';
import type { LeaderMove, ReplicaMove } from './plan-draft.ts';
import type { MoveReason, ReasonCounts, Rejection } from './reasons.ts';
import { planRepairs } from './repairs.ts';
import type { PlanSnapshot } from './snapshot.ts';
import { PlanState } from './state.ts';
import { TargetFinder } from './target-finder.ts';
import { countZoneViolations } from './zone-violations.ts';

export interface RebalancePlan {
  /** In the order in which they should be started: repairs first, then what evens out most. One change a shard at most (I-7). */
  readonly moves: readonly ReplicaMove[];
  /** Of shards that no replica move touches. */
  readonly leaderMoves: readonly LeaderMove[];
  /** Why nodes and replicas stay that a goal wants moved: the first `rejectedMax` of them. */
  readonly rejected: readonly Rejection[];
  readonly summary: PlanSummary;
}

export interface PlanSummary {
  readonly shards: number;
  readonly nodes: number;
  readonly moves: number;
  readonly movesByReason: Readonly<Partial<Record<MoveReason, number>>>;
  readonly bytesToMove: number;
  readonly leaderMoves: number;
  /** Largest share of a node's fair share that any node holds, 1 is perfect; of the dimensions that are balanced. */
  readonly before: Spread;
  readonly after: Spread;
  readonly zoneViolationsBefore: number;
  readonly zoneViolationsAfter: number;
  /** All rejections by their best-ranked reason, the unlisted ones included. */
  readonly rejectedByReason: ReasonCounts;
  /** Rejections beyond the listed ones whose reasons were not looked for. */
  readonly rejectedUnexplained: number;
  /** Nodes that shards name and the snapshot does not know. */
  readonly unknownNodes: readonly NodeId[];
}

export type Spread = Readonly<Partial<Record<Dimension, { readonly least: number; readonly most: number }>>>;

/**
 * Plans a rebalance: repairs what breaks a rule, empties leaving nodes, relieves full disks, evens out replicas, bytes and load,
 * then leaders. A pure function of its arguments: the same snapshot gives the same plan. No move breaks or worsens the zone
 * rule, a placement rule or a disk's watermark, in whatever order moves are executed. Time is O(replicas + moves x log nodes).
 */
export function planRebalance(snapshot: PlanSnapshot, options: Partial<PlanOptions> = {}): RebalancePlan {
  const state = new PlanState(snapshot, { ...DEFAULT_PLAN_OPTIONS, ...options });
  const before = spread(state);
  const zoneViolationsBefore = countZoneViolations(snapshot, state.slotNode);
  const draft = new PlanDraft(state);
  const finder = new TargetFinder(state);
  planRepairs(state, finder, draft);
  planBalance(state, finder, draft);
  planLeaders(state, draft);
  return finish(state, draft, before, zoneViolationsBefore);
}

/**
 * Leader transfers alone: off slow, leaving and not preferred nodes, then even numbers. Same promises as `planRebalance`; `moves` is
 * empty.
 */
export function planLeaderBalance(snapshot: PlanSnapshot, options: Partial<PlanOptions> = {}): RebalancePlan {
  const state = new PlanState(snapshot, { ...DEFAULT_PLAN_OPTIONS, ...options });
  const before = spread(state);
  const draft = new PlanDraft(state);
  planLeaders(state, draft);
  return finish(state, draft, before, countZoneViolations(snapshot, state.slotNode));
}

function finish(state: PlanState, draft: PlanDraft, before: Spread, zoneViolationsBefore: number): RebalancePlan {
  const { snapshot } = state;
  const { moves, leaderMoves, rejections } = draft;
  const movesByReason: Partial<Record<MoveReason, number>> = {};
  let bytesToMove = 0;
  for (const move of moves) {
    movesByReason[move.reason] = (movesByReason[move.reason] ?? 0) + 1;
    bytesToMove = addBytes(bytesToMove, move.bytes);
  }
  return {
    moves,
    leaderMoves,
    rejected: rejections.kept,
    summary: {
      shards: snapshot.shardIds.length,
      nodes: snapshot.nodes.length,
      moves: moves.length,
      movesByReason,
      bytesToMove,
      leaderMoves: leaderMoves.length,
      before,
      after: spread(state),
      zoneViolationsBefore,
      zoneViolationsAfter: countZoneViolations(snapshot, state.slotNode),
      rejectedByReason: rejections.totals(),
      rejectedUnexplained: rejections.unexplained,
      unknownNodes: snapshot.unknownNodes,
    },
  };
}

/** Shares of a fair share that are told apart: a node may tell any load of itself, and a plan is stored with its figures. */
const LEVEL_MAX = 1e6;

function spread(state: PlanState): Spread {
  const found: Partial<Record<Dimension, { least: number; most: number }>> = {};
  for (const [d, dimension] of DIMENSIONS.entries()) {
    let least = Infinity;
    let most = -Infinity;
    for (let node = 0; node < state.snapshot.nodes.length; node++) {
      if ((state.inverse[node * WIDTH + d] as number) === 0) continue;
      const level = Math.min(LEVEL_MAX, 1 + state.deviation(node, d));
      least = Math.min(least, level);
      most = Math.max(most, level);
    }
    if (most !== -Infinity) found[dimension] = { least, most };
  }
  return found;
}
