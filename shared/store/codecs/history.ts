import * as z from 'zod';
import type {
  EncodedKey,
  Epoch,
  Generation,
  NodeEpoch,
  NodeId,
  ShardId,
  TableId,
  TableName,
} from '../../domain/ids.ts';
import { counter, count, id, json, key, keyType, text, wallMs } from './primitives.ts';

/** What was: versions of routes, feeds, decisions. */

const routeState = z.object({
  startKey: key<EncodedKey>(),
  endKey: key<EncodedKey>().nullable(),
  epoch: counter<Epoch>(),
  generation: counter<Generation>(),
  leader: z.object({ nodeId: id<NodeId>(), nodeEpoch: counter<NodeEpoch>() }),
  replicas: z.array(
    z.object({
      nodeId: id<NodeId>(),
      nodeEpoch: counter<NodeEpoch>(),
      syncStatus: z.enum(['IN_SYNC', 'LAGGING', 'OFFLINE']),
    }),
  ),
  leaderSinceMs: wallMs,
  boundsSinceMs: wallMs,
});

export const routeVersion = z.object({
  shardId: id<ShardId>(),
  tableId: id<TableId>(),
  table: id<TableName>(),
  keyType,
  atMs: z.int().min(0),
  generation: counter<Generation>(),
  before: routeState.nullable(),
  after: routeState.nullable(),
  origin: z
    .object({ shardId: id<ShardId>(), generation: counter<Generation>(), boundsSinceMs: z.int().min(0) })
    .nullable(),
});

export const feedHead = z.object({ feed: id<string>(), number: count, atMs: wallMs });

export const feedPack = z.object({
  feed: id<string>(),
  number: z.int().min(1),
  atMs: wallMs,
  cut: z.boolean(),
  entries: z.array(
    z.discriminatedUnion('kind', [
      z.object({
        kind: z.literal('ROUTE'),
        shardId: id<ShardId>(),
        table: id<TableName>(),
        keyType,
        route: routeState,
      }),
      z.object({ kind: z.literal('GONE'), shardId: id<ShardId>(), generation: counter<Generation>() }),
      z.object({ kind: z.literal('DECISION'), entity: id<string>(), decisionId: id<string>(), code: id<string>() }),
    ]),
  ),
});

export const decision = z.object({
  decisionId: id<string>(),
  entity: id<string>(),
  kind: id<string>(),
  code: id<string>(),
  principal: text,
  atMs: wallMs,
  inputs: json,
  rejected: z.array(z.object({ candidate: text, code: text })),
  outcome: json,
});
