import * as z from 'zod';
import { wireDescriptorSchema } from '../node/descriptor.ts';
import {
  counterSchema,
  epochSchema,
  nodeIdSchema,
  pageAnswer,
  pageQuery,
  syncStatusSchema,
  systemIdSchema,
  tableNameSchema,
  timestampSchema,
} from '../primitives.ts';
import type { Call } from './call.ts';

const shardParams = z.strictObject({ shard_id: systemIdSchema });

export const shardSchema = z.object({
  shard_id: systemIdSchema,
  table: tableNameSchema,
  /** Node that leads. */
  leader: nodeIdSchema,
  /** Nodes that hold a replica. */
  replicas: z.array(nodeIdSchema),
  replica_details: z.array(
    z.object({
      replica_id: systemIdSchema,
      node_id: nodeIdSchema,
      node_epoch: epochSchema,
      sync_status: syncStatusSchema,
      is_leader: z.boolean(),
    }),
  ),
  /** As callers write keys; '' is the start of the table, null its end. */
  data_range_start: z.string(),
  data_range_end: z.string().nullable(),
  epoch: epochSchema,
  generation: counterSchema,
  leader_node_epoch: epochSchema,
  min_in_sync: counterSchema,
  state: z.enum(['ACTIVE', 'DELETING', 'CHANGING_REPLICAS', 'SPLITTING', 'MERGING']),
  /** The operation that owns the shard; null if none does. */
  operation_id: systemIdSchema.nullable(),
  transfer_to: nodeIdSchema.nullable(),
  data_loss: z.boolean(),
  created_at: timestampSchema,
});

/** What a move will do, made from the shard at `generation`; a start that is given it applies exactly this, or is refused. */
export const movePlanSchema = z.strictObject({
  shard_id: systemIdSchema,
  generation: counterSchema,
  source_node_id: nodeIdSchema,
  source_replica_id: systemIdSchema,
  target_node_id: nodeIdSchema,
  /** True if the leaving replica leads: the leadership is transferred first. */
  transfers_leader: z.boolean(),
  /** Bytes to copy, as the leader told last; null if it did not. */
  bytes: counterSchema.nullable(),
});
export type MovePlan = z.infer<typeof movePlanSchema>;

export const shardCalls = {
  listShards: {
    method: 'GET',
    path: '/shards',
    resource: 'shards',
    summary: 'List shards: of a table in key order, of a node by shard id, or of all tables',
    callers: ['admin', 'node'],
    query: z.strictObject({ ...pageQuery, table: tableNameSchema.optional(), node: nodeIdSchema.optional() }),
    response: z.object({ shards: z.array(shardSchema), ...pageAnswer }),
  },
  getShard: {
    method: 'GET',
    path: '/shards/{shard_id}',
    resource: 'shards',
    revisionOf: 'shard',
    summary: 'One shard; `descriptor` is what nodes work with',
    callers: ['admin', 'node'],
    params: shardParams,
    response: shardSchema.extend({ descriptor: wireDescriptorSchema }),
  },
  setLeader: {
    method: 'POST',
    path: '/shards/{shard_id}/leader',
    resource: 'shards',
    revisionOf: 'shard',
    summary: 'Transfer leadership to a node with an IN_SYNC replica',
    callers: ['admin'],
    idempotent: true,
    params: shardParams,
    body: z.strictObject({ new_leader_node_id: nodeIdSchema }),
    response: z.object({
      status: z.literal('success'),
      message: z.string(),
      shard_id: systemIdSchema,
      epoch: epochSchema,
      generation: counterSchema,
    }),
  },
  moveShard: {
    method: 'POST',
    path: '/shards/{shard_id}/move',
    resource: 'shards',
    revisionOf: 'shard',
    summary: 'Move one replica of a shard to another node',
    callers: ['admin'],
    idempotent: true,
    params: shardParams,
    body: z.strictObject({
      target_node_id: nodeIdSchema,
      /** Node whose replica leaves. Default: the one in the target's zone, else on a dead or leaving node, else a follower on the fullest node. */
      source_node_id: nodeIdSchema.optional(),
      /** Precondition: the shard's generation. */
      generation: counterSchema.optional(),
      /** Answers the plan and changes nothing. */
      dry_run: z.boolean().optional(),
      /** Applies exactly this plan of a dry run; refused with PLAN_STALE when the shard has changed since. */
      plan: movePlanSchema.optional(),
    }),
    response: z.object({
      status: z.literal('success'),
      message: z.string(),
      shard_id: systemIdSchema,
      /** Null for a dry run. */
      operation_id: systemIdSchema.nullable(),
      plan: movePlanSchema,
    }),
  },
} as const satisfies Record<string, Call>;
