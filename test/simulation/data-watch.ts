import type { Violation } from '../../shared/domain/invariants.ts';

/** Who served a shard, in the order of true time: the witness of lease exclusivity (I-4) and of fencing (I-5). */
export class DataWatch {
  /** Highest epoch at which a shard was served, and by whom. */
  private readonly served = new Map<string, { epoch: number; nodeId: string; atMs: number }>();
  /** Highest epoch that a copy agreed to. Keyed by the data directory's host: a promise survives restarts (R5). */
  private readonly promised = new Map<string, number>();
  private readonly nowMs: () => number;
  private readonly report: (violation: Violation) => void;
  /** Answers to clients, and agreements between nodes, that were checked. */
  readonly counts = { served: 0, agreed: 0 };

  constructor(nowMs: () => number, report: (violation: Violation) => void) {
    this.nowMs = nowMs;
    this.report = report;
  }

  /** The node answered a client's read or write as leader at `epoch`. */
  servedClient(nodeId: string, shardId: string, epoch: number): void {
    this.counts.served++;
    const last = this.served.get(shardId);
    if (last !== undefined && epoch < last.epoch)
      this.violated(
        'I-4',
        shardId,
        `${nodeId} served at epoch ${epoch}, after ${last.nodeId} had served at epoch ${last.epoch} (${last.atMs.toFixed(1)} ms)`,
      );
    else if (last !== undefined && epoch === last.epoch && nodeId !== last.nodeId)
      this.violated('I-3', shardId, `${nodeId} and ${last.nodeId} both served at epoch ${epoch}`);
    else this.served.set(shardId, { epoch, nodeId, atMs: this.nowMs() });
  }

  /** The node's copy of the shard agreed to a leader's message of `epoch`. */
  agreed(nodeId: string, shardId: string, epoch: number): void {
    this.counts.agreed++;
    const key = `${nodeId}/${shardId}`;
    const highest = this.promised.get(key) ?? 0;
    if (epoch < highest)
      this.violated('I-5', shardId, `${nodeId} agreed to epoch ${epoch} after it had agreed to ${highest}`);
    else this.promised.set(key, epoch);
  }

  /** The node's data directory was wiped: what it promised is gone with its copies. */
  wiped(nodeId: string): void {
    for (const key of this.promised.keys()) if (key.startsWith(`${nodeId}/`)) this.promised.delete(key);
  }

  private violated(invariant: Violation['invariant'], subject: string, message: string): void {
    this.report({ invariant, rule: null, subject, message });
  }
}
