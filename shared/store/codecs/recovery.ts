import * as z from 'zod';
import type { Generation, NodeEpoch, NodeId, ReplicaId, ShardId, StoreUuid, TableName } from '../../domain/ids.ts';
import { counter, count, id, json, text, wallMs } from './primitives.ts';

/** Log positions of shards without a leader, shards under recovery, and what nodes' statistics were judged to be. */

export const replicaLog = z.object({
  shardId: id<ShardId>(),
  replicaId: id<ReplicaId>(),
  nodeId: id<NodeId>(),
  nodeEpoch: counter<NodeEpoch>(),
  storeUuid: id<StoreUuid>(),
  lastEpoch: count,
  lastSeq: count,
  intact: z.boolean(),
  atMs: wallMs,
});

export const shardRecovery = z.object({
  shardId: id<ShardId>(),
  table: id<TableName>(),
  kind: z.enum(['UNCLEAN', 'SHRINK']),
  minInSync: z.int().min(1),
  generation: counter<Generation>(),
  startedBy: text,
  atMs: wallMs,
  plan: json,
});

export const nodePace = z.object({
  nodeId: id<NodeId>(),
  pace: z.enum(['NORMAL', 'SLOW']),
  against: count,
  judgedAtMs: wallMs,
  disk: z.enum(['OK', 'FULL']),
  reason: z.string().nullable(),
});
