import { generation } from '../ids.ts';
import type { Generation, NodeId, ShardId } from '../ids.ts';
import type { MoveReason } from './reasons.ts';
import { RejectionLog } from './reasons.ts';
import type { PlanSnapshot } from './snapshot.ts';
import type { PlanState } from './state.ts';

/** One replica goes from one node to another. Data: it applies only while the shard is at `generation` (I-12). */
export interface ReplicaMove {
  readonly shardId: ShardId;
  readonly generation: Generation;
  readonly fromNodeId: NodeId;
  readonly toNodeId: NodeId;
  readonly reason: MoveReason;
  /** Size of the copy. */
  readonly bytes: number;
  /** Who should lead after the move, if the replica that leaves is the leader's; else null. */
  readonly leaderTo: NodeId | null;
}

export type LeaderMoveReason =
  /** The leader's node drains, is in maintenance or being decommissioned. */
  | 'NODE_LEAVING'
  /** The leader's node is slow against its peers. */
  | 'NODE_SLOW'
  /** The table prefers leaders elsewhere. */
  | 'PREFERENCE'
  /** Leaders, or the load they bring, outside the tolerance band. */
  | 'BALANCE';

/** Leadership goes to another replica. Applies only while the shard is at `generation` (I-12). */
export interface LeaderMove {
  readonly shardId: ShardId;
  readonly generation: Generation;
  readonly fromNodeId: NodeId;
  readonly toNodeId: NodeId;
  readonly reason: LeaderMoveReason;
}

/** A plan while it grows. */
export class PlanDraft {
  readonly moves: ReplicaMove[] = [];
  readonly leaderMoves: LeaderMove[] = [];
  readonly rejections: RejectionLog;
  private readonly state: PlanState;

  constructor(state: PlanState) {
    this.state = state;
    this.rejections = new RejectionLog(state.options.rejectedMax);
  }

  get isFull(): boolean {
    return this.moves.length >= this.state.options.movesMax;
  }

  get leadersAreFull(): boolean {
    return this.leaderMoves.length >= this.state.options.movesMax;
  }

  move(slot: number, to: number, reason: MoveReason): void {
    const { state } = this;
    const { snapshot } = state;
    const shard = state.shardOfSlot[slot] as number;
    const from = state.slotNode[slot] as number;
    const leads = state.leaderSlot[shard] === slot;
    state.move(slot, to);
    const leader = leads ? leaderAfter(state, shard, slot) : -1;
    if (leads && leader !== slot) state.transfer(shard, leader);
    this.moves.push({
      shardId: snapshot.shardIds[shard] as ShardId,
      generation: generation(snapshot.generations[shard] as number),
      fromNodeId: state.node(from).nodeId,
      toNodeId: state.node(to).nodeId,
      reason,
      bytes: snapshot.bytes[shard] as number,
      leaderTo: leads ? state.node(state.slotNode[leader] as number).nodeId : null,
    });
  }

  transfer(shard: number, slot: number, reason: LeaderMoveReason): void {
    const { state } = this;
    const from = state.slotNode[state.leaderSlot[shard] as number] as number;
    state.transfer(shard, slot);
    this.leaderMoves.push({
      shardId: state.snapshot.shardIds[shard] as ShardId,
      generation: generation(state.snapshot.generations[shard] as number),
      fromNodeId: state.node(from).nodeId,
      toNodeId: state.node(state.slotNode[slot] as number).nodeId,
      reason,
    });
  }
}

/** Slot that leads once the leader's replica in `moved` arrived: the new copy, unless the table prefers a node that holds another one. */
function leaderAfter(state: PlanState, shard: number, moved: number): number {
  const { slotStart, slotInSync, ruleOf, rules } = state.snapshot;
  const { leaderRank } = rules[ruleOf[shard] as number] as PlanSnapshot['rules'][number];
  let best = moved;
  for (let slot = slotStart[shard] as number; slot < (slotStart[shard + 1] as number); slot++) {
    const node = state.slotNode[slot] as number;
    if (slotInSync[slot] === 0 || state.takes[node] === 0) continue;
    if ((leaderRank[node] as number) < (leaderRank[state.slotNode[best] as number] as number)) best = slot;
  }
  return best;
}
