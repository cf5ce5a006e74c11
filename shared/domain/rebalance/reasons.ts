import type { NodeId, ShardId } from '../ids.ts';

/**
 * Why a replica or a leader does not move, as ranked values (the shape of TiKV PD's filter results): of several targets that refuse for
 * different reasons, the one of the highest rank came nearest and tells an operator what to change.
 */
export const REASONS = [
  /** The target holds a replica of the shard already (I-7). */
  'HOLDS_REPLICA',
  'NODE_UNHEALTHY',
  'NODE_DECOMMISSIONING',
  'NODE_DRAINING',
  'NODE_MAINTENANCE',
  'NODE_CORDONED',
  'NODE_SLOW',
  /** The table's placement rule forbids the target. */
  'LABEL_RULE',
  /** The replica would share a zone although distinct ones exist (I-7). */
  'ZONE_RULE',
  /** The target's disk would pass the watermark. */
  'NO_CAPACITY',
  /** For leaders: the replica is not IN_SYNC (E2). */
  'NOT_IN_SYNC',
  /** An operation owns the shard (I-9), or a move of it is in flight. Passes by itself. */
  'SHARD_BUSY',
  /** The plan changes this shard already: one membership change per shard at a time (I-7). The next plan goes on. */
  'SHARD_IN_PLAN',
  /** The plan is as long as its limit allows. The next plan goes on. */
  'PLAN_LIMIT',
  /** A budget of the current wave is used up. The next wave goes on. */
  'IN_FLIGHT_LIMIT',
  /** Every permitted move would leave the cluster no more even than before. */
  'NO_BETTER_TARGET',
  /** Inside the tolerance band. */
  'WITHIN_TOLERANCE',
] as const;

export type Reason = (typeof REASONS)[number];

/** Reasons that pass without anybody's doing. */
export const PASSING_REASONS: ReadonlySet<Reason> = new Set([
  'SHARD_BUSY',
  'SHARD_IN_PLAN',
  'PLAN_LIMIT',
  'IN_FLIGHT_LIMIT',
]);

export const reasonRank = (reason: Reason): number => REASONS.indexOf(reason);

/** Reasons with how often each was given, best-ranked first: the first one is the answer to "why does it not move?". */
export type ReasonCounts = readonly { readonly reason: Reason; readonly count: number }[];

/** One node, or one replica on it, that stays although a goal asks for a move. */
export interface Rejection {
  /** What asked for the move. */
  readonly goal: MoveReason | 'LEADERS';
  readonly nodeId: NodeId;
  /** Null: said of the node as a whole. */
  readonly shardId: ShardId | null;
  /** Never empty. */
  readonly reasons: ReasonCounts;
}

/** Why a replica moves, most urgent first. */
export type MoveReason =
  /** Two replicas share a zone although distinct ones exist (I-7). */
  | 'ZONE_RULE'
  /** The table's placement rule forbids the node. */
  | 'LABEL_RULE'
  /** The node drains or is being decommissioned. */
  | 'DRAIN'
  /** The node's disk is above the watermark. */
  | 'DISK_WATERMARK'
  /** Replica count, bytes or load outside the tolerance band. */
  | 'BALANCE';

/** Counts refusals while one replica's targets are tried. */
export class ReasonTally {
  private readonly counts = new Int32Array(REASONS.length);
  total = 0;

  add(reason: Reason): void {
    const rank = reasonRank(reason);
    this.counts[rank] = (this.counts[rank] as number) + 1;
    this.total += 1;
  }

  /** Best-ranked first; `otherwise` if nothing was counted. */
  ranked(otherwise: Reason): ReasonCounts {
    const ranked: { reason: Reason; count: number }[] = [];
    for (let rank = REASONS.length - 1; rank >= 0; rank--) {
      const count = this.counts[rank] as number;
      if (count > 0) ranked.push({ reason: REASONS[rank] as Reason, count });
    }
    return ranked.length > 0 ? ranked : [{ reason: otherwise, count: 1 }];
  }
}

/** Keeps the first `max` rejections and counts all of them by their first reason. */
export class RejectionLog {
  readonly kept: Rejection[] = [];
  /** Rejections beyond the listed ones whose reasons were not looked for. */
  unexplained = 0;
  private readonly byReason = new Map<Reason, number>();
  private readonly max: number;

  constructor(max: number) {
    this.max = max;
  }

  get isFull(): boolean {
    return this.kept.length >= this.max;
  }

  add(rejection: Rejection): void {
    const first = rejection.reasons[0]?.reason;
    if (first !== undefined) this.byReason.set(first, (this.byReason.get(first) ?? 0) + 1);
    if (!this.isFull) this.kept.push(rejection);
  }

  /** All explained rejections, those not kept included, best-ranked first. */
  totals(): ReasonCounts {
    return [...this.byReason]
      .map(([reason, count]) => ({ reason, count }))
      .sort((a, b) => reasonRank(b.reason) - reasonRank(a.reason));
  }
}
