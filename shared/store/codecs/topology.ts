import * as z from 'zod';
import type {
  EncodedKey,
  Epoch,
  Generation,
  NodeEpoch,
  NodeId,
  OperationId,
  PageId,
  ReplicaId,
  ShardId,
  StoreUuid,
  TableId,
  TableName,
} from '../../domain/ids.ts';
import { counter, count, id, key, keyType, wallMs } from './primitives.ts';

/** Tables, shards, and the directory that finds them. */

export const table = z.object({
  table: id<TableName>(),
  tableId: id<TableId>(),
  keyType,
  state: z.enum(['CREATING', 'ACTIVE', 'DELETING']),
  replicationFactor: z.int().min(1),
  replicationFactorIsOwn: z.boolean(),
  shardCount: count,
  operationId: id<OperationId>(),
  createdAtMs: wallMs,
});

export const page = z.object({
  page: id<PageId>(),
  tableId: id<TableId>(),
  low: key<EncodedKey>(),
  high: key<EncodedKey>().nullable(),
  generation: count,
  count,
  right: id<PageId>().nullable(),
});

export const separator = z.object({ tableId: id<TableId>(), low: key<EncodedKey>(), page: id<PageId>() });

export const locator = z.object({
  shardId: id<ShardId>(),
  tableId: id<TableId>(),
  table: id<TableName>(),
  startKey: key<EncodedKey>(),
});

export const nodeReplica = z.object({
  nodeId: id<NodeId>(),
  shardId: id<ShardId>(),
  replicaId: id<ReplicaId>(),
  tableId: id<TableId>(),
  startKey: key<EncodedKey>(),
});

export const openIntent = z.object({ shardId: id<ShardId>(), sinceMs: wallMs });

export const ownedShard = z.object({ shardId: id<ShardId>(), operationId: id<OperationId>(), sinceMs: wallMs });

const replica = z.object({
  replicaId: id<ReplicaId>(),
  nodeId: id<NodeId>(),
  nodeEpoch: counter<NodeEpoch>(),
  storeUuid: id<StoreUuid>(),
  syncStatus: z.enum(['IN_SYNC', 'LAGGING', 'OFFLINE']),
});

const logEnd = z.object({ epoch: count, seq: count });

export const shard = z.object({
  shardId: id<ShardId>(),
  tableId: id<TableId>(),
  table: id<TableName>(),
  keyType,
  startKey: key<EncodedKey>(),
  endKey: key<EncodedKey>().nullable(),
  epoch: counter<Epoch>(),
  generation: counter<Generation>(),
  leader: z.object({ replicaId: id<ReplicaId>(), nodeId: id<NodeId>(), nodeEpoch: counter<NodeEpoch>() }),
  minInSync: z.int().min(1),
  replicas: z.array(replica).min(1),
  intent: z
    .object({
      kind: z.literal('TRANSFER'),
      targetReplicaId: id<ReplicaId>(),
      sinceGeneration: counter<Generation>(),
    })
    .nullable(),
  state: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('ACTIVE') }),
    z.object({ kind: z.literal('DELETING'), operationId: id<OperationId>() }),
    z.object({ kind: z.literal('CHANGING_REPLICAS'), operationId: id<OperationId>() }),
    z.object({
      kind: z.literal('SPLITTING'),
      operationId: id<OperationId>(),
      splitKey: key<EncodedKey>().nullable(),
      child: z.object({
        shardId: id<ShardId>(),
        replicas: z.array(z.object({ parentReplicaId: id<ReplicaId>(), replicaId: id<ReplicaId>() })),
      }),
    }),
    z.object({
      kind: z.literal('MERGING'),
      operationId: id<OperationId>(),
      side: z.enum(['LEFT', 'RIGHT']),
      otherShardId: id<ShardId>(),
      seal: z
        .object({
          replicaId: id<ReplicaId>(),
          epoch: counter<Epoch>(),
          generation: counter<Generation>(),
          sealed: logEnd,
        })
        .exactOptional(),
    }),
  ]),
  dataLoss: z.boolean(),
  createdAtMs: wallMs,
  leaderSinceMs: wallMs,
  boundsSinceMs: wallMs.default(0),
  mergedFrom: z
    .object({
      rightShardId: id<ShardId>(),
      borderKey: key<EncodedKey>(),
      endKey: key<EncodedKey>().nullable(),
      sealed: z.object({ left: logEnd, right: logEnd }),
    })
    .exactOptional(),
});
