import { covers, orderOf } from './key-range.ts';
import type { Range } from './key-range.ts';
import type { RangeSize } from './types.ts';
import type { SizeDelta } from './row-table.ts';

interface Count {
  readonly range: Range;
  /** Last key that was looked at; null before the first. */
  lastKey: string | null;
  done: boolean;
  rows: number;
  bytes: number;
}

/**
 * Counts of a range's live rows that are made piece by piece while writes go on: a change behind the place reached is added at
 * once, one ahead of it when the count gets there. In memory: a restart, or a transaction that fails, begins anew.
 */
export class RangeCounts {
  private readonly counts = new Map<string, Count>();

  begin(shardId: string, range: Range): void {
    this.counts.set(shardId, { range, lastKey: null, done: false, rows: 0, bytes: 0 });
  }

  /** What is left of the count; null when there is none, or it is done. */
  ahead(shardId: string): Range | null {
    const count = this.counts.get(shardId);
    if (count === undefined || count.done) return null;
    // The smallest key above the last one, in byte order.
    return count.lastKey === null ? count.range : { from: `${count.lastKey}\u0000`, to: count.range.to };
  }

  counted(shardId: string, piece: RangeSize & { readonly lastKey: string | null; readonly done: boolean }): void {
    const count = this.counts.get(shardId);
    if (count === undefined) return;
    count.rows += piece.rows;
    count.bytes += piece.bytes;
    count.lastKey = piece.lastKey ?? count.lastKey;
    count.done = piece.done;
  }

  changed(shardId: string, key: string, delta: SizeDelta): void {
    const count = this.counts.get(shardId);
    if (count === undefined || !covers(count.range, key)) return;
    if (!count.done && (count.lastKey === null || orderOf(key, count.lastKey) > 0)) return;
    count.rows += delta.rows;
    count.bytes += delta.bytes;
  }

  /** The range's size now, if it was counted to the end. */
  size(shardId: string, range: Range): RangeSize | null {
    const count = this.counts.get(shardId);
    if (count?.done !== true || count.range.from !== range.from || count.range.to !== range.to) return null;
    return { rows: count.rows, bytes: count.bytes };
  }

  isDone(shardId: string): boolean {
    return this.counts.get(shardId)?.done === true;
  }

  end(shardId: string): void {
    this.counts.delete(shardId);
  }

  clear(): void {
    this.counts.clear();
  }
}
