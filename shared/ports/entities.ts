import type {
  CommandId,
  EncodedKey,
  Generation,
  NodeId,
  OperationId,
  PackId,
  PageId,
  ReplicaId,
  ShardId,
  TableId,
  TableName,
} from '../domain/ids.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import type { LivenessPack } from '../domain/liveness-pack.ts';
import type {
  AuditEntry,
  CommandBatch,
  CommandRecord,
  ConfigRecord,
  DecisionRecord,
  DetectorRecord,
  EventRecord,
  FeedHead,
  FeedPack,
  IdempotencyRecord,
  JoinTokenRecord,
  NodePaceRecord,
  NodeRecord,
  NodeReplica,
  NodeStatsRecord,
  OpenIntent,
  OpenOperation,
  OperationPart,
  OperationRecord,
  OperationSlot,
  OwnedShard,
  PageHeader,
  ReplicaLogRecord,
  RootSeparator,
  RouteVersion,
  ShardLocator,
  ShardRecovery,
  TableRecord,
} from '../domain/records.ts';
import type { ShardDescriptor } from '../domain/shard.ts';

/**
 * What the typed store holds. Which entity lives under which key, and its codec, is written once in `store/entities.ts`.
 * id: what finds the record. partition: what its siblings are listed by; `order` is their sort order.
 */
export interface Entities {
  /** Partition: all nodes. Sorted by node id. */
  node: { id: { nodeId: NodeId }; partition: Record<never, never>; value: NodeRecord };
  /** Partition: one of LIVENESS_BUCKETS, by hash of the node id. Sorted by node id. */
  liveness: { id: { nodeId: NodeId }; partition: { bucket: number }; value: LivenessRecord };
  /** Liveness table; partition: one of LIVENESS_BUCKETS, by hash of the pack id. Leases of nodes behind a relay. */
  livenessPack: { id: { packId: PackId }; partition: { bucket: number }; value: LivenessPack };
  /** Liveness table; partition: one of LIVENESS_BUCKETS, as for liveness. Sorted by node id. */
  nodeStats: { id: { nodeId: NodeId }; partition: { bucket: number }; value: NodeStatsRecord };
  /** Partition: all tables. Sorted by name. */
  table: { id: { table: TableName }; partition: Record<never, never>; value: TableRecord };
  page: { id: { page: PageId }; partition: { page: PageId }; value: PageHeader };
  /** Partition: the page. Sorted by start key. */
  shard: { id: { page: PageId; startKey: EncodedKey }; partition: { page: PageId }; value: ShardDescriptor };
  /** Partition: the table's root. Sorted by low key. */
  separator: { id: { tableId: TableId; low: EncodedKey }; partition: { tableId: TableId }; value: RootSeparator };
  locator: { id: { shardId: ShardId }; partition: { shardId: ShardId }; value: ShardLocator };
  /** Partition: the node. Sorted by shard id. */
  nodeReplica: { id: { nodeId: NodeId; shardId: ShardId }; partition: { nodeId: NodeId }; value: NodeReplica };
  /** Topology table; partition: all open intents. Sorted by shard id. */
  openIntent: { id: { shardId: ShardId }; partition: Record<never, never>; value: OpenIntent };
  /** Partition: all of the configuration. Sorted by key. */
  config: { id: { configKey: string }; partition: Record<never, never>; value: ConfigRecord };
  /** Partition: all operations. Sorted by operation id, which is time-ordered. */
  operation: { id: { operationId: OperationId }; partition: Record<never, never>; value: OperationRecord };
  /** Operations table; partition: all operations that have not ended. Sorted by operation id. */
  openOperation: { id: { operationId: OperationId }; partition: Record<never, never>; value: OpenOperation };
  /** Operations table; partition: the operation. Sorted by number. */
  operationPart: {
    id: { operationId: OperationId; number: number };
    partition: { operationId: OperationId };
    value: OperationPart;
  };
  /** Operations table; partition: all slots. Sorted by slot. */
  operationSlot: { id: { slot: string }; partition: Record<never, never>; value: OperationSlot };
  /** Topology table; partition: all shards that an operation owns. Sorted by shard id. */
  ownedShard: { id: { shardId: ShardId }; partition: Record<never, never>; value: OwnedShard };
  /** Liveness table; partition: the shard. Sorted by replica id. */
  replicaLog: {
    id: { shardId: ShardId; replicaId: ReplicaId };
    partition: { shardId: ShardId };
    value: ReplicaLogRecord;
  };
  /** Topology table; partition: all shards under recovery. Sorted by shard id. */
  shardRecovery: { id: { shardId: ShardId }; partition: Record<never, never>; value: ShardRecovery };
  /** Liveness table; partition: all nodes. Sorted by node id. Small, and seldom written. */
  nodePace: { id: { nodeId: NodeId }; partition: Record<never, never>; value: NodePaceRecord };
  /** Partition: the node. Sorted by command id, which is time-ordered. */
  command: { id: { nodeId: NodeId; commandId: CommandId }; partition: { nodeId: NodeId }; value: CommandRecord };
  commandBatch: { id: { batchId: string }; partition: { batchId: string }; value: CommandBatch };
  idempotency: {
    id: { scope: string; key: string };
    partition: { scope: string; key: string };
    value: IdempotencyRecord;
  };
  joinToken: { id: { tokenId: string }; partition: Record<never, never>; value: JoinTokenRecord };
  detector: { id: Record<never, never>; partition: Record<never, never>; value: DetectorRecord };
  /** Partition: the entity. Sorted by number. */
  audit: { id: { entity: string; number: number }; partition: { entity: string }; value: AuditEntry };
  /** Partition: one hour (`hour`, ISO, `2026-11-20T20`) and one of EVENT_BUCKETS. Sorted by event id, which is time-ordered. */
  event: {
    id: { createdAtMs: number; eventId: string };
    partition: { hour: string; bucket: number };
    value: EventRecord;
  };
  /** Events table; partition: the shard. Sorted by time, then generation. */
  routeVersion: {
    id: { shardId: ShardId; atMs: number; generation: Generation };
    partition: { shardId: ShardId };
    value: RouteVersion;
  };
  /** Events table. */
  feedHead: { id: { feed: string }; partition: { feed: string }; value: FeedHead };
  /** Events table; partition: the feed. Sorted by number. */
  feedPack: { id: { feed: string; number: number }; partition: { feed: string }; value: FeedPack };
  /** Events table; partition: the entity. Sorted by decision id, which is time-ordered. */
  decision: {
    id: { entity: string; decisionId: string };
    partition: { entity: string };
    value: DecisionRecord;
  };
}
export type EntityKind = keyof Entities;
export type EntityId<K extends EntityKind> = Entities[K]['id'];
export type EntityPartition<K extends EntityKind> = Entities[K]['partition'];
export type EntityValue<K extends EntityKind> = Entities[K]['value'];

/** Partitions of the liveness table: a partition takes 1,000 writes a second; 16 carry 10,000 nodes of every profile. */
export const LIVENESS_BUCKETS = 16;
/** Partitions of one hour of events, for the same reason. */
export const EVENT_BUCKETS = 8;
