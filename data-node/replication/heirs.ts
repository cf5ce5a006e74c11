import { covers } from '../engine/key-range.ts';
import type { RowChange } from '../engine/types.ts';
import type { Clock } from '../ports.ts';
import type { ShardReplica } from './shard-replica.ts';
import type { WaitOutcome } from './write-waiters.ts';

/** A write in flight: its entry in the log, the changes whose commit is asked for, and when its client gives up (monotonic ms). */
export interface InFlight {
  readonly seq: number;
  readonly changes: readonly RowChange[];
  readonly deadlineMs: number;
}

/**
 * The right parts that were forked off while a term went on (S1). A follower that forked acknowledges the left part's log without what
 * lies in the right one, so a write that was in flight then needs the child's commit as well.
 */
export class Heirs {
  private readonly clock: Clock;
  private heirs: readonly { readonly child: ShardReplica; readonly untilMs: number }[] = [];

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** `keptMs`: no write that is in flight now waits longer. */
  add(child: ShardReplica, keptMs: number): void {
    const nowMs = this.clock.monotonicMs();
    this.heirs = [...this.heirs.filter((heir) => heir.untilMs > nowMs), { child, untilMs: nowMs + keptMs }];
  }

  /** How the entry at `seq` ends, that ended with `outcome` in the left part, which now has `range`. */
  async settle(
    outcome: WaitOutcome,
    entry: InFlight,
    range: { readonly from: string; readonly to: string | null },
  ): Promise<WaitOutcome> {
    let ended = outcome;
    let rest = entry.changes.filter(({ key }) => !covers(range, key));
    for (const { child } of this.heirs) {
      const { start_key: from, end_key: to } = child.descriptor();
      const isChilds = ({ key }: RowChange): boolean => covers({ from, to }, key);
      if (ended.kind !== 'ACKNOWLEDGED' || !rest.some(isChilds)) continue;
      const leadership = child.leadership();
      if (leadership === null) return { kind: 'UNKNOWN' };
      const changes = rest.filter(isChilds);
      rest = rest.filter((change) => !isChilds(change));
      ended = await leadership.committedAt({ ...entry, changes });
    }
    return rest.length === 0 ? ended : { kind: 'UNKNOWN' };
  }
}
