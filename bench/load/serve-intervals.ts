/**
 * Whether two nodes ever served one shard at the same time, by what the nodes themselves wrote down: each answer that they
 * gave as leader, on the machine's boot clock. A node's interval for one epoch runs from its first answer to its last.
 */
export interface ServeEvent {
  /** When the request arrived, and when the node found itself entitled to answer; ms on the machine's boot clock. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly nodeId: string;
  readonly shardId: string;
  readonly epoch: number;
}

export interface Overlap {
  readonly shardId: string;
  readonly nodes: readonly [string, string];
  readonly epochs: readonly [number, number];
  /** Milliseconds during which both served. */
  readonly overlapMs: number;
}

interface Interval {
  readonly nodeId: string;
  readonly epoch: number;
  fromMs: number;
  toMs: number;
  /** The earliest answer. */
  firstToMs: number;
}

/** Collects serve events of any order, from many logs. */
export class ServeIntervals {
  private readonly byShard = new Map<string, Map<string, Interval>>();
  /** Events taken. */
  events = 0;

  add(event: ServeEvent): void {
    this.events++;
    let intervals = this.byShard.get(event.shardId);
    if (intervals === undefined) this.byShard.set(event.shardId, (intervals = new Map<string, Interval>()));
    const key = `${event.nodeId}@${event.epoch}`;
    const known = intervals.get(key);
    if (known === undefined)
      intervals.set(key, {
        nodeId: event.nodeId,
        epoch: event.epoch,
        fromMs: event.fromMs,
        toMs: event.toMs,
        firstToMs: event.toMs,
      });
    else {
      known.firstToMs = Math.min(known.firstToMs, event.toMs);
      known.fromMs = Math.min(known.fromMs, event.fromMs);
      known.toMs = Math.max(known.toMs, event.toMs);
    }
  }

  /**
   * Milliseconds from the last answer of each leader to the first one of its successor on another node. Under a load that asks a
   * shard rarely, the time between two requests is part of it.
   */
  handovers(): readonly number[] {
    return [...this.byShard.values()].flatMap((intervals) => {
      const terms = [...intervals.values()].toSorted((left, right) => left.epoch - right.epoch);
      return terms.flatMap((term, index) => {
        const before = terms[index - 1];
        return before === undefined || before.nodeId === term.nodeId ? [] : [Math.max(0, term.firstToMs - before.toMs)];
      });
    });
  }

  /** Pairs of intervals of two nodes that overlap; one for each pair. */
  overlaps(): readonly Overlap[] {
    const found: Overlap[] = [];
    for (const [shardId, intervals] of this.byShard) {
      const list = [...intervals.values()];
      for (const [index, left] of list.entries())
        for (const right of list.slice(index + 1)) {
          if (left.nodeId === right.nodeId) continue;
          const overlapMs = Math.min(left.toMs, right.toMs) - Math.max(left.fromMs, right.fromMs);
          if (overlapMs < 0) continue;
          found.push({
            shardId,
            nodes: [left.nodeId, right.nodeId],
            epochs: [left.epoch, right.epoch],
            overlapMs,
          });
        }
    }
    return found;
  }
}
