/**
 * Whether two nodes ever served one shard at the same time, by what the nodes themselves wrote down: each answer that they
 * gave as leader, with the machine's monotonic clock. A node's interval for one epoch runs from its first answer to its last.
 */
export interface ServeEvent {
  /** Microseconds on the machine-wide monotonic clock (`process.hrtime`). */
  readonly atUs: number;
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
  fromUs: number;
  toUs: number;
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
      intervals.set(key, { nodeId: event.nodeId, epoch: event.epoch, fromUs: event.atUs, toUs: event.atUs });
    else {
      known.fromUs = Math.min(known.fromUs, event.atUs);
      known.toUs = Math.max(known.toUs, event.atUs);
    }
  }

  /** Pairs of intervals of two nodes that overlap; one for each pair. */
  overlaps(): readonly Overlap[] {
    const found: Overlap[] = [];
    for (const [shardId, intervals] of this.byShard) {
      const list = [...intervals.values()];
      for (const [index, left] of list.entries())
        for (const right of list.slice(index + 1)) {
          if (left.nodeId === right.nodeId) continue;
          const overlapUs = Math.min(left.toUs, right.toUs) - Math.max(left.fromUs, right.fromUs);
          if (overlapUs < 0) continue;
          found.push({
            shardId,
            nodes: [left.nodeId, right.nodeId],
            epochs: [left.epoch, right.epoch],
            overlapMs: overlapUs / 1000,
          });
        }
    }
    return found;
  }
}
