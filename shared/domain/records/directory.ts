import type { EncodedKey, NodeId, OperationId, PageId, ReplicaId, ShardId, TableId, TableName } from '../ids.ts';
import type { KeyType } from '../keys.ts';

export interface TableRecord {
  readonly table: TableName;
  readonly tableId: TableId;
  readonly keyType: KeyType;
  readonly state: 'CREATING' | 'ACTIVE' | 'DELETING';
  readonly replicationFactor: number;
  /** True if the table's creator set the replication factor; false if it follows `config/replication`. */
  readonly replicationFactorIsOwn: boolean;
  readonly shardCount: number;
  readonly operationId: OperationId;
  readonly createdAtMs: number;
}

/** Header of a directory page (DESIGN section 4): covers `[low, high)` of one table; `right` is the next page. */
export interface PageHeader {
  readonly page: PageId;
  readonly tableId: TableId;
  readonly low: EncodedKey;
  readonly high: EncodedKey | null;
  readonly generation: number;
  readonly count: number;
  readonly right: PageId | null;
}

/** Entry of a table's root: the page that starts at `low`. Late entries are made safe by `right`. */
export interface RootSeparator {
  readonly tableId: TableId;
  readonly low: EncodedKey;
  readonly page: PageId;
}

/** Finds a shard by id. A split keeps the left part's id, so the start key never changes. */
export interface ShardLocator {
  readonly shardId: ShardId;
  readonly tableId: TableId;
  readonly table: TableName;
  readonly startKey: EncodedKey;
}

/** Lists a node's replicas with strong consistency: for failover and drain. A pointer; the descriptor is the truth. */
export interface NodeReplica {
  readonly nodeId: NodeId;
  readonly shardId: ShardId;
  readonly replicaId: ReplicaId;
  readonly tableId: TableId;
  readonly startKey: EncodedKey;
}

/** A shard whose descriptor carries an intent; written and deleted with it, so that the reconciler finds open intents (E2). */
export interface OpenIntent {
  readonly shardId: ShardId;
  readonly sinceMs: number;
}

/** A shard that an operation owns; written and deleted with its descriptor's state, so that no lock outlives its operation (I-10). */
export interface OwnedShard {
  readonly shardId: ShardId;
  readonly operationId: OperationId;
  readonly sinceMs: number;
}
