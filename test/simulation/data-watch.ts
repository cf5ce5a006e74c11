import type { Violation } from '../../shared/domain/invariants.ts';

/** The first answer of a term. */
interface Term {
  readonly epoch: number;
  readonly nodeId: string;
  readonly atMs: number;
}

/** Who served a shard, in the order of true time: the witness of lease exclusivity (I-4) and of fencing (I-5). */
export class DataWatch {
  /** By which terms a shard was served, by rising epoch. */
  private readonly served = new Map<string, Term[]>();
  /** Highest epoch that a copy agreed to. Keyed by the data directory's host: a promise survives restarts (R5). */
  private readonly promised = new Map<string, number>();
  private readonly nowMs: () => number;
  private readonly report: (violation: Violation) => void;
  /** Answers to clients, and agreements between nodes, that were checked. */
  readonly counts = { served: 0, withoutLease: 0, agreed: 0 };

  constructor(nowMs: () => number, report: (violation: Violation) => void) {
    this.nowMs = nowMs;
    this.report = report;
  }

  /**
   * The node answered a client's read or write as leader at `epoch`. Under its lease no higher epoch may have been served before the
   * answer; without one (E5) none before the request was sent: the followers confirmed the epoch since, and the answer may be late.
   */
  servedClient(nodeId: string, shardId: string, epoch: number, request: { underLease: boolean; sentMs: number }): void {
    this.counts.served++;
    if (!request.underLease) this.counts.withoutLease++;
    const terms = this.served.get(shardId) ?? [];
    this.served.set(shardId, terms);
    const last = terms.at(-1);
    const newer = terms.find((term) => term.epoch > epoch);
    if (newer !== undefined && !request.underLease && newer.atMs >= request.sentMs) return;
    if (last !== undefined && epoch < last.epoch)
      this.violated(
        'I-4',
        shardId,
        `${nodeId} served at epoch ${epoch}, after ${last.nodeId} had served at epoch ${last.epoch} (${last.atMs.toFixed(1)} ms)`,
      );
    else if (last !== undefined && epoch === last.epoch && nodeId !== last.nodeId)
      this.violated('I-3', shardId, `${nodeId} and ${last.nodeId} both served at epoch ${epoch}`);
    else if (last?.epoch !== epoch) terms.push({ epoch, nodeId, atMs: this.nowMs() });
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
