import type { EncodedKey, NodeId, PageId, Revision, ShardId, TableId } from '../domain/ids.ts';
import type { NodeReplica } from '../domain/records.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import type { Change, RecordWrite } from './records.ts';

/** A descriptor and where it stood when it was read. */
export interface LocatedShard {
  readonly shard: ShardDescriptor;
  readonly page: PageId;
  readonly revision: Revision;
}

export interface ShardDirectory {
  /** The shard that holds `key`; one strongly consistent Query when the cached root is right. Null: no such table or not built yet. */
  lookup(tableId: TableId, key: EncodedKey): Promise<LocatedShard | null>;
  /** By shard id: locator, then lookup. Null if the shard does not exist. */
  locate(shardId: ShardId): Promise<LocatedShard | null>;
  /**
   * Shards in key order from the one that holds `fromKey`; of a table whose low end is deleted already, from the lowest that is
   * left. `nextKey` null at the end of the table.
   */
  scan(
    tableId: TableId,
    request: { fromKey: EncodedKey; limit: number },
  ): Promise<{ shards: readonly LocatedShard[]; nextKey: EncodedKey | null }>;
  /** Pointers to the replicas on a node, by shard id. */
  replicasOn(
    nodeId: NodeId,
    request: { after?: string; limit: number },
  ): Promise<{ replicas: readonly NodeReplica[]; next: string | null }>;
  /** Descriptors of several pointers, read strongly, in parallel; null where the shard or its replica on the node is gone. */
  resolve(pointers: readonly NodeReplica[]): Promise<readonly (LocatedShard | null)[]>;
  /**
   * The writes that replace a descriptor: put under shard id, generation and epoch of `from`, and the replica rows that differ.
   * `to.generation` must be `from.shard.generation + 1`; bounds must be equal.
   */
  replaceWrites(from: LocatedShard, to: ShardDescriptor): readonly RecordWrite[];
  /**
   * The writes that commit a split (S1): parent shrunk, child inserted with its locator and replica rows, the page header's generation and
   * count raised. PAGE_FULL: call `makeRoom` first. RACED: the page changed since the shard was located; locate it again.
   */
  splitWrites(
    from: LocatedShard,
    parts: { readonly parent: ShardDescriptor; readonly child: ShardDescriptor },
    audit: { principal: string; action: string },
  ): Promise<Pick<Change, 'writes' | 'audit'> | 'PAGE_FULL' | 'RACED'>;
  /**
   * The writes that commit a merge (S2): the left shard widened, the right one removed with its locator and replica rows, the headers of
   * both pages changed; where the shards are in two pages, the border between the pages moves. RACED: locate both again.
   */
  mergeWrites(
    parts: { readonly left: LocatedShard; readonly right: LocatedShard },
    merged: ShardDescriptor,
    audit: { principal: string; action: string },
  ): Promise<Pick<Change, 'writes' | 'audit'> | 'RACED'>;
  /** Splits a full page into two halves, so that a shard can be inserted. Does nothing if the page has room or is gone. */
  makeRoom(page: PageId, audit: { principal: string; action: string }): Promise<void>;
  /**
   * Appends contiguous shards at the high end of a table under construction, in transactions of at most 100 items with
   * audit entries for each shard. Idempotent: shards that exist already (same shard id) are left as they are. Raises DIRECTORY_MISMATCH as a Bug if
   * the shards do not continue the table.
   */
  append(
    tableId: TableId,
    shards: readonly ShardDescriptor[],
    audit: { principal: string; action: string },
  ): Promise<void>;
  /** Removes up to `limit` shards from the low end of a table being deleted, with their rows, locators, emptied pages and separators. True when none is left. */
  removeFirst(
    tableId: TableId,
    limit: number,
    audit: { principal: string; action: string },
  ): Promise<{ removed: readonly ShardDescriptor[]; done: boolean }>;
}
