import { PLAN_ENTRIES_SHOWN_MAX } from '../contracts/api/rebalance.ts';
import type { RebalancePlanBody, ShownPlan } from '../contracts/api/rebalance.ts';
import { generation, nodeId, shardId } from '../domain/ids.ts';
import type { TableName } from '../domain/ids.ts';
import { planLeaderBalance, planRebalance } from '../domain/rebalance/plan.ts';
import type { RebalancePlan, Spread } from '../domain/rebalance/plan.ts';
import type { WavePart } from '../domain/waves/parts.ts';
import type { Deps } from '../ports.ts';
import { readCluster } from './cluster-view.ts';
import { movesUnderWay } from './moves-under-way.ts';
import { readSnapshot } from './plan-snapshot.ts';

/** A plan for even load, made from the cluster as it is now, and as parts of an operation. */

export type RebalanceMode = 'all' | 'leaders' | 'scatter';

/** Moves and transfers of one plan. What a larger imbalance needs is planned by the following rebalances; at 100 moves an hour this is four days of work. */
const MOVES_MAX = 9_000;

export async function makePlan(
  deps: Deps,
  request: { readonly mode: RebalanceMode; readonly table: TableName | null },
): Promise<RebalancePlan> {
  const { mode, table } = request;
  const [view, moves] = await Promise.all([readCluster(deps), movesUnderWay(deps)]);
  const snapshot = await readSnapshot(deps, view, moves, {
    ...(mode === 'scatter' && table !== null ? { only: table } : {}),
    ...(mode !== 'scatter' && table !== null ? { movable: table } : {}),
  });
  const options = { movesMax: MOVES_MAX };
  return mode === 'leaders' ? planLeaderBalance(snapshot, options) : planRebalance(snapshot, options);
}

/** Leader transfers first: they cost next to nothing, and one of a slow node helps at once. */
export const partsOfPlan = (plan: Pick<RebalancePlan, 'moves' | 'leaderMoves'>): readonly WavePart[] => [
  ...plan.leaderMoves.map((move): WavePart => ({
    kind: 'LEADER',
    shardId: move.shardId,
    generation: move.generation,
    from: move.fromNodeId,
    to: move.toNodeId,
    reason: move.reason,
  })),
  ...plan.moves.map((move): WavePart => ({
    kind: 'MOVE',
    shardId: move.shardId,
    generation: move.generation,
    from: move.fromNodeId,
    to: move.toNodeId,
    reason: move.reason,
    bytes: move.bytes,
  })),
];

/** A plan of a dry run, given back. */
export const partsOfBody = (plan: RebalancePlanBody): readonly WavePart[] => [
  ...plan.leader_moves.map((move): WavePart => ({ kind: 'LEADER', ...ends(move) })),
  ...plan.moves.map((move): WavePart => ({ kind: 'MOVE', ...ends(move), bytes: move.bytes })),
];

const ends = (move: RebalancePlanBody['leader_moves'][number]) => ({
  shardId: shardId(move.shard_id),
  generation: generation(move.generation),
  from: nodeId(move.from),
  to: nodeId(move.to),
  reason: move.reason,
});

/** The plan as the API shows it; `entriesMax` of each list. */
export function shownPlan(plan: RebalancePlan, entriesMax: number = PLAN_ENTRIES_SHOWN_MAX): ShownPlan {
  const { summary } = plan;
  return {
    moves: plan.moves.slice(0, entriesMax).map((move) => ({
      shard_id: move.shardId,
      generation: move.generation,
      from: move.fromNodeId,
      to: move.toNodeId,
      reason: move.reason,
      bytes: move.bytes,
    })),
    leader_moves: plan.leaderMoves.slice(0, entriesMax).map((move) => ({
      shard_id: move.shardId,
      generation: move.generation,
      from: move.fromNodeId,
      to: move.toNodeId,
      reason: move.reason,
    })),
    rejected: plan.rejected.map(({ goal, nodeId: node, shardId: shard, reasons }) => ({
      goal,
      node_id: node,
      shard_id: shard,
      reasons: reasons.map(({ reason, count }) => ({ reason, count })),
    })),
    summary: {
      shards: summary.shards,
      nodes: summary.nodes,
      moves: summary.moves,
      leader_moves: summary.leaderMoves,
      bytes_to_move: summary.bytesToMove,
      before: spread(summary.before),
      after: spread(summary.after),
      zone_violations_before: summary.zoneViolationsBefore,
      zone_violations_after: summary.zoneViolationsAfter,
      rejected_by_reason: summary.rejectedByReason.map(({ reason, count }) => ({ reason, count })),
    },
  };
}

const spread = (of: Spread): Record<string, { least: number; most: number }> =>
  Object.fromEntries(Object.entries(of).map(([name, { least, most }]) => [name, { least, most }]));
