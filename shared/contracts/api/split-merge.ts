import * as z from 'zod';
import { counterSchema, keySchema, nodeIdSchema, systemIdSchema, tableNameSchema } from '../primitives.ts';
import type { Call } from './call.ts';

/** Calls that change the bounds of shards. Keys are as callers write them. */

const shardParams = z.strictObject({ shard_id: systemIdSchema });

/** What a split will do, made from the shard at `generation`; a start that is given it applies exactly this, or is refused. */
export const splitPlanSchema = z.strictObject({
  shard_id: systemIdSchema,
  generation: counterSchema,
  /** First key of the new shard; null: the leader chooses the middle of its rows. */
  split_key: keySchema.nullable(),
  /** Nodes of both parts. */
  nodes: z.array(nodeIdSchema),
});
export type SplitPlan = z.infer<typeof splitPlanSchema>;

/** What a merge will do, made from both shards at these generations; a start that is given it applies to exactly these, or is refused. */
export const mergePlanSchema = z.strictObject({
  /** The left one, which stays. */
  shard_id: systemIdSchema,
  /** The right one, which is absorbed. */
  with_shard_id: systemIdSchema,
  generation: counterSchema,
  with_generation: counterSchema,
  /** Nodes of the merged shard. */
  nodes: z.array(nodeIdSchema),
  /** What is moved first, so that both are on the same nodes. */
  moves: z.array(
    z.strictObject({ shard_id: systemIdSchema, add: z.array(nodeIdSchema), remove: z.array(nodeIdSchema) }),
  ),
  /** One of the leaderships goes to the other's node first. */
  transfers_leader: z.boolean(),
});
export type MergePlan = z.infer<typeof mergePlanSchema>;

const started = {
  status: z.literal('success'),
  message: z.string(),
  shard_id: systemIdSchema,
  /** Null for a dry run. */
  operation_id: systemIdSchema.nullable(),
};

/** Size at which a shard is split, bytes: 1 MiB to 64 GiB. */
const splitBytesSchema = z
  .int()
  .min(2 ** 20)
  .max(2 ** 36);
const switchSchema = z.enum(['on', 'off']);

/** Whether and when shards split and merge by themselves. */
export const structureConfigSchema = z.strictObject({
  split: switchSchema,
  merge: switchSchema,
  split_bytes: splitBytesSchema,
  /** Splits and merges that may be under way when another one is started. */
  splits_max: z.int().min(1).max(100),
  merges_max: z.int().min(1).max(100),
  /** Tables that have settings of their own; at most 1,000. */
  tables: z
    .record(
      tableNameSchema,
      z.strictObject({
        split: switchSchema.optional(),
        merge: switchSchema.optional(),
        split_bytes: splitBytesSchema.optional(),
      }),
    )
    .refine((tables) => Object.keys(tables).length <= 1_000, 'at most 1,000 tables'),
});
export type StructureConfig = z.infer<typeof structureConfigSchema>;

export const splitMergeCalls = {
  getStructureConfig: {
    method: 'GET',
    path: '/config/structure',
    resource: 'config',
    revisionOf: 'config',
    summary: 'Whether and when shards split and merge by themselves',
    callers: ['admin'],
    response: structureConfigSchema,
  },
  setStructureConfig: {
    method: 'PUT',
    path: '/config/structure',
    resource: 'config',
    revisionOf: 'config',
    summary: 'Change it; what is left out stays',
    callers: ['admin'],
    idempotent: true,
    body: structureConfigSchema.partial(),
    response: structureConfigSchema,
  },
  splitShard: {
    method: 'POST',
    path: '/shards/{shard_id}/split',
    resource: 'shards',
    revisionOf: 'shard',
    summary: 'Split a shard in two, at a key or at the middle of its rows',
    callers: ['admin'],
    idempotent: true,
    params: shardParams,
    body: z.strictObject({
      split_key: keySchema.optional(),
      /** Precondition: the shard's generation. */
      generation: counterSchema.optional(),
      /** Answers the plan and changes nothing. */
      dry_run: z.boolean().optional(),
      /** Applies exactly this plan of a dry run; refused with PLAN_STALE when the shard has changed since. */
      plan: splitPlanSchema.optional(),
    }),
    response: z.object({ ...started, plan: splitPlanSchema }),
  },
  mergeShards: {
    method: 'POST',
    path: '/shards/{shard_id}/merge',
    resource: 'shards',
    revisionOf: 'shard',
    summary: 'Merge a shard with a neighbour: copies brought to the same nodes, then one commit',
    callers: ['admin'],
    idempotent: true,
    params: shardParams,
    body: z.strictObject({
      /** A neighbour on either side; the right one when it is left out. */
      with_shard_id: systemIdSchema.optional(),
      /** Precondition: the generation of the shard in the path. */
      generation: counterSchema.optional(),
      /** Answers the plan and changes nothing. */
      dry_run: z.boolean().optional(),
      /** Applies exactly this plan of a dry run; refused with PLAN_STALE when one of the shards has changed since. */
      plan: mergePlanSchema.optional(),
    }),
    response: z.object({ ...started, with_shard_id: systemIdSchema, plan: mergePlanSchema }),
  },
} as const satisfies Record<string, Call>;
