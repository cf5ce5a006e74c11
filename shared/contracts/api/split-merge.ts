import * as z from 'zod';
import { counterSchema, keySchema, nodeIdSchema, systemIdSchema } from '../primitives.ts';
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

const started = {
  status: z.literal('success'),
  message: z.string(),
  shard_id: systemIdSchema,
  /** Null for a dry run. */
  operation_id: systemIdSchema.nullable(),
};

export const splitMergeCalls = {
  splitShard: {
    method: 'POST',
    path: '/shards/{shard_id}/split',
    resource: 'shards',
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
} as const satisfies Record<string, Call>;
