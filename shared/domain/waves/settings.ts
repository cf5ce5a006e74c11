import { SNAPSHOT_BYTES_PER_SECOND } from './budget.ts';
import type { WaveBudget } from './budget.ts';

/** How the cluster moves data by itself and on request: configuration key `rebalance`. */
export interface RebalanceSettings {
  /** `off`: the tick starts no rebalance; requested ones run. */
  readonly tick: 'on' | 'off';
  /** Seconds between two looks of the tick at the balance. */
  readonly checkEverySeconds: number;
  /** Moves that rebalances start in an hour on average; an hour's worth may start at once. */
  readonly movesPerHour: number;
  readonly movesInPerNode: number;
  readonly movesOutPerNode: number;
  readonly movesPerCluster: number;
  /** Bytes a second of all copies together. */
  readonly bytesPerSecond: number;
  readonly transfersPerNode: number;
  readonly transfersPerCluster: number;
  /** Clients' latency so many times what it was before makes the work back off. */
  readonly latencyRatioMax: number;
  /** `off`: the tick replaces no replicas of dead nodes. */
  readonly repair: 'on' | 'off';
  /** A node fenced for so long is taken for lost: its replicas are replaced. */
  readonly repairAfterSeconds: number;
  /** Replicas that are replaced at once, all dead nodes together. */
  readonly repairsPerCluster: number;
}

export const DEFAULT_REBALANCE_SETTINGS: RebalanceSettings = {
  tick: 'on',
  checkEverySeconds: 60,
  movesPerHour: 100, // DESIGN section 7
  // Two snapshots are 28 MB/s: a quarter of a 1 Gbit/s link or of a disk that does 120 MB/s.
  movesInPerNode: 2,
  movesOutPerNode: 2,
  movesPerCluster: 32,
  bytesPerSecond: 32 * SNAPSHOT_BYTES_PER_SECOND,
  // A transfer takes some tens of milliseconds, in which the shard's clients wait.
  transfersPerNode: 5,
  transfersPerCluster: 20,
  latencyRatioMax: 2, // DESIGN section 10: the ratio that a move may cost
  repair: 'on',
  repairAfterSeconds: 300, // DESIGN section 5
  repairsPerCluster: 16,
};

/** What rebalances, drains and changes of the replication factor may have under way. */
export const budgetOf = (settings: RebalanceSettings): WaveBudget => ({
  movesInPerNode: settings.movesInPerNode,
  movesOutPerNode: settings.movesOutPerNode,
  // Each copy is throttled at its source to one snapshot's rate.
  movesPerCluster: Math.max(
    1,
    Math.min(settings.movesPerCluster, Math.floor(settings.bytesPerSecond / SNAPSHOT_BYTES_PER_SECOND)),
  ),
  transfersPerNode: settings.transfersPerNode,
  transfersPerCluster: settings.transfersPerCluster,
});

/** The same for repairs: a cluster that lost a node has less to give, and more to lose. */
export const repairBudgetOf = (settings: RebalanceSettings): WaveBudget => {
  const budget = budgetOf(settings);
  return { ...budget, movesPerCluster: Math.min(budget.movesPerCluster, settings.repairsPerCluster) };
};
