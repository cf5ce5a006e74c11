import type {
  Epoch,
  EncodedKey,
  Generation,
  NodeEpoch,
  NodeId,
  OperationId,
  ReplicaId,
  ShardId,
  StoreUuid,
  TableId,
  TableName,
} from './ids.ts';
import type { KeyType } from './keys.ts';

export type SyncStatus = 'IN_SYNC' | 'LAGGING' | 'OFFLINE';

/** One copy of a shard. */
export interface Replica {
  /** Never reused (R4). */
  readonly replicaId: ReplicaId;
  readonly nodeId: NodeId;
  /** Node epoch of the replication session in which the entry got its status (R2). An entry below the node's present epoch is void: unelectable. */
  readonly nodeEpoch: NodeEpoch;
  /** Data directory that holds the copy; an election of the void requires the same one (E4). */
  readonly storeUuid: StoreUuid;
  readonly syncStatus: SyncStatus;
}

/** What the descriptor announces before it is done, so that a crash leaves work for the reconciler (E2). */
export type ShardIntent = {
  readonly kind: 'TRANSFER';
  readonly targetReplicaId: ReplicaId;
  /** Generation of the descriptor that first carried this intent: the receipt's generation must be at least this. */
  readonly sinceGeneration: Generation;
};

/**
 * Lifecycle of a shard. A structural operation owns the shard while its id stands here (I-9): it takes the shard from ACTIVE,
 * every effect of it is conditional on its id, and it gives the shard back as ACTIVE at its end.
 */
export type ShardState =
  | { readonly kind: 'ACTIVE' }
  | { readonly kind: 'DELETING'; readonly operationId: OperationId }
  /** Replicas are added and removed: move, repair, change of the replication factor. */
  | { readonly kind: 'CHANGING_REPLICAS'; readonly operationId: OperationId }
  | SplittingState
  | MergingState;

/** Intent of a split (S1). The shard serves all of its keys until the split commits. */
export interface SplittingState {
  readonly kind: 'SPLITTING';
  readonly operationId: OperationId;
  /** First key of the right part; null until the leader has chosen it. */
  readonly splitKey: EncodedKey | null;
  /** The right part: its id and, for each replica of this shard, the id of the copy that is forked from it on the same node (R4). */
  readonly child: {
    readonly shardId: ShardId;
    readonly replicas: readonly { readonly parentReplicaId: ReplicaId; readonly replicaId: ReplicaId }[];
  };
}

/** Intent of a merge (S2): the RIGHT shard will be absorbed by its LEFT neighbour. */
export interface MergingState {
  readonly kind: 'MERGING';
  readonly operationId: OperationId;
  readonly side: 'LEFT' | 'RIGHT';
  readonly otherShardId: ShardId;
  /** The leader's seal, if it came by a heartbeat or a report and not with the answer to a push; missing until then. */
  readonly seal?: SealReceipt;
}

/** A leader's promise that its log ends at `sealed` and that it never leads again at any epoch up to `epoch` (E2, S2). */
export interface SealReceipt {
  readonly replicaId: ReplicaId;
  readonly epoch: Epoch;
  /** Of the descriptor that the leader knew. */
  readonly generation: Generation;
  readonly sealed: LogEnd;
}

/** The last entry of a replication log. */
export interface LogEnd {
  readonly epoch: number;
  readonly seq: number;
}

/**
 * What the last merge joined (S2): a copy of the shard is whole if its node's copies of both parts end exactly where their leaders
 * sealed them. It stays in the descriptor, so that a node that missed the merge learns from any later descriptor what to do.
 */
export interface MergeOrigin {
  /** The shard that was absorbed; its id is never used again. */
  readonly rightShardId: ShardId;
  /** Its start key: where the parts met. */
  readonly borderKey: EncodedKey;
  /** Its end key: what is right of it was never part of it. */
  readonly endKey: EncodedKey | null;
  readonly sealed: { readonly left: LogEnd; readonly right: LogEnd };
}

/** The operation that owns the shard; null if none does (I-9). */
export const ownerOf = (shard: ShardDescriptor): OperationId | null =>
  shard.state.kind === 'ACTIVE' ? null : shard.state.operationId;

/**
 * The truth about one shard. Every write of it raises `generation` by 1 and is conditional on shard id, generation and
 * epoch (PROTOCOL, table of transitions).
 */
export interface ShardDescriptor {
  readonly shardId: ShardId;
  readonly tableId: TableId;
  readonly table: TableName;
  readonly keyType: KeyType;
  readonly startKey: EncodedKey;
  /** Exclusive; null is the end of the key space. */
  readonly endKey: EncodedKey | null;
  readonly epoch: Epoch;
  readonly generation: Generation;
  /** `nodeEpoch` is copied from the leader's IN_SYNC entry at election, never looked up (E1). */
  readonly leader: { readonly replicaId: ReplicaId; readonly nodeId: NodeId; readonly nodeEpoch: NodeEpoch };
  /** IN_SYNC is never written below this (R1): a majority of the replication factor. */
  readonly minInSync: number;
  readonly replicas: readonly Replica[];
  readonly intent: ShardIntent | null;
  readonly state: ShardState;
  /** Raised by an UNCLEAN election: acknowledged writes may be missing (E4). */
  readonly dataLoss: boolean;
  readonly createdAtMs: number;
  /** Wall clock of the last change of leader. For display. */
  readonly leaderSinceMs: number;
  /** Wall clock of the split or merge that gave the shard its bounds, or of its creation: keeps splits and merges from chasing each other. */
  readonly boundsSinceMs: number;
  /** Missing unless the shard absorbed another one. */
  readonly mergedFrom?: MergeOrigin;
}

/** Majority of `replicationFactor` (>= 1). */
export function majority(replicationFactor: number): number {
  return Math.floor(replicationFactor / 2) + 1;
}

export const inSyncReplicas = (shard: ShardDescriptor): readonly Replica[] =>
  shard.replicas.filter((replica) => replica.syncStatus === 'IN_SYNC');

export const replicaOn = (shard: ShardDescriptor, nodeId: NodeId): Replica | undefined =>
  shard.replicas.find((replica) => replica.nodeId === nodeId);

export const replicaById = (shard: ShardDescriptor, replicaId: ReplicaId): Replica | undefined =>
  shard.replicas.find((replica) => replica.replicaId === replicaId);
