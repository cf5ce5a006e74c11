import type { Generation, NodeEpoch, NodeId, ReplicaId, ShardId, StoreUuid, TableName } from '../ids.ts';
import type { Json } from './json.ts';

/**
 * What a replica's node last said of its log while the shard had no leader (R3): the basis of an UNCLEAN election (E4). An
 * observation: it counts only under the node epoch and the directory that its node has when it is used.
 */
export interface ReplicaLogRecord {
  readonly shardId: ShardId;
  readonly replicaId: ReplicaId;
  readonly nodeId: NodeId;
  readonly nodeEpoch: NodeEpoch;
  readonly storeUuid: StoreUuid;
  /** Position of the last entry of the log. */
  readonly lastEpoch: number;
  readonly lastSeq: number;
  /** False: the directory lost its identity, or the disk is damaged (L4). */
  readonly intact: boolean;
  readonly atMs: number;
}

/** A shard that an operator brought back after the loss of its quorum; written with its descriptor, deleted when the operator closes it. */
export interface ShardRecovery {
  readonly shardId: ShardId;
  readonly table: TableName;
  /** UNCLEAN: acknowledged writes may be missing. SHRINK: none is, but the list was taken below its `min_in_sync`. */
  readonly kind: 'UNCLEAN' | 'SHRINK';
  /** `min_in_sync` before: brought back by the reconciler once as many replicas are in sync. */
  readonly minInSync: number;
  /** Generation that the recovery gave to the descriptor. */
  readonly generation: Generation;
  readonly startedBy: string;
  readonly atMs: number;
  /** What was lost as far as it was known, as the plan told it. */
  readonly plan: Json;
}
