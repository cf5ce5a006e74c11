import type { NodeId } from '../ids.ts';
import type { Json } from '../records.ts';
import { invariant } from '../result.ts';

/**
 * How much may be under way at once, and how fast. Copies cost disks and networks that clients need too; every copy is throttled at its
 * source besides, so that the number of copies bounds the bytes per second.
 */
export interface WaveBudget {
  /** Copies that arrive on one node at once. */
  readonly movesInPerNode: number;
  /** Copies that one node feeds at once: the leader is the source of a copy. */
  readonly movesOutPerNode: number;
  /** Copies in the whole cluster at once. */
  readonly movesPerCluster: number;
  /** Leaderships that leave or reach one node at once. */
  readonly transfersPerNode: number;
  readonly transfersPerCluster: number;
}

/** Rate to which a leader throttles one snapshot, bytes/s (DESIGN section 7). */
export const SNAPSHOT_BYTES_PER_SECOND = 14_000_000;

/** A move that is under way, whoever asked for it. */
export interface RunningMove {
  readonly to: readonly NodeId[];
  /** Node that feeds the copies, as far as it is known. */
  readonly source: NodeId | null;
}

export type BudgetRefusal = 'NODE_IN' | 'NODE_OUT' | 'CLUSTER' | 'TRANSFERS';

/** Counts what is under way against a budget. */
export class InFlight {
  private readonly budget: WaveBudget;
  private readonly arriving = new Map<NodeId, number>();
  private readonly feeding = new Map<NodeId, number>();
  private readonly handing = new Map<NodeId, number>();
  private moves = 0;
  private transfers = 0;

  constructor(budget: WaveBudget) {
    invariant(
      Object.values(budget).every((limit: number) => limit >= 1),
      'a budget that lets nothing through',
    );
    this.budget = budget;
  }

  get movesUnderWay(): number {
    return this.moves;
  }

  /** Copies on their way to a node. */
  arrivingAt(node: NodeId): number {
    return this.arriving.get(node) ?? 0;
  }

  /** Why one more move may not start now, or null. Nodes in `to` are unknown yet if it is empty: then the cluster's and the source's limits count. */
  refusalOfMove(move: RunningMove): BudgetRefusal | null {
    const { movesPerCluster, movesInPerNode, movesOutPerNode } = this.budget;
    if (this.moves >= movesPerCluster) return 'CLUSTER';
    if (move.source !== null && (this.feeding.get(move.source) ?? 0) >= movesOutPerNode) return 'NODE_OUT';
    return move.to.some((node) => this.arrivingAt(node) >= movesInPerNode) ? 'NODE_IN' : null;
  }

  addMove(move: RunningMove): void {
    this.moves += 1;
    for (const node of move.to) this.arriving.set(node, this.arrivingAt(node) + 1);
    if (move.source !== null) this.feeding.set(move.source, (this.feeding.get(move.source) ?? 0) + 1);
  }

  refusalOfTransfer(nodes: readonly NodeId[]): BudgetRefusal | null {
    const { transfersPerCluster, transfersPerNode } = this.budget;
    if (this.transfers >= transfersPerCluster) return 'TRANSFERS';
    return nodes.some((node) => (this.handing.get(node) ?? 0) >= transfersPerNode) ? 'TRANSFERS' : null;
  }

  addTransfer(nodes: readonly NodeId[]): void {
    this.transfers += 1;
    for (const node of nodes) this.handing.set(node, (this.handing.get(node) ?? 0) + 1);
  }
}

/** The budget at a share (0 to 1] of itself; at least one of each, so that the work never stops altogether. */
export function scaledBudget(budget: WaveBudget, share: number): WaveBudget {
  const scaled = (limit: number): number => Math.max(1, Math.floor(limit * share));
  return {
    ...budget,
    movesInPerNode: scaled(budget.movesInPerNode),
    movesOutPerNode: scaled(budget.movesOutPerNode),
    movesPerCluster: scaled(budget.movesPerCluster),
  };
}

/** Moves that may still start, at an average rate: a token bucket that holds one hour's worth. */
export interface Pace {
  readonly tokens: number;
  /** Wall clock of `tokens`. */
  readonly atMs: number;
}

const HOUR_MS = 3_600_000;

/** The pace at `nowMs`. An hour without moves fills the bucket; a clock that went back gives nothing. */
export function refilled(pace: Pace, movesPerHour: number, nowMs: number): Pace {
  const gained = (Math.max(0, nowMs - pace.atMs) / HOUR_MS) * movesPerHour;
  return { tokens: Math.min(movesPerHour, pace.tokens + gained), atMs: nowMs };
}

/** Seconds until the bucket holds a whole move; 0 if it does. */
export const secondsToToken = (pace: Pace, movesPerHour: number): number =>
  pace.tokens >= 1 ? 0 : Math.ceil(((1 - pace.tokens) / movesPerHour) * 3600);

/** The pace that an operation took over from the one before; null if there was none. */
export function paceOf(input: Json): Pace | null {
  if (input === null || typeof input !== 'object' || Array.isArray(input)) return null;
  const { pace } = input as { readonly pace?: Pace | null };
  return typeof pace?.tokens === 'number' && typeof pace.atMs === 'number' ? pace : null;
}
