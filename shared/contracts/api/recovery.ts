import * as z from 'zod';
import {
  counterSchema,
  epochSchema,
  jsonSchema,
  nodeIdSchema,
  pageAnswer,
  pageQuery,
  systemIdSchema,
  tableNameSchema,
  timestampSchema,
} from '../primitives.ts';
import type { Call } from './call.ts';

/** Recovery after the loss of a quorum (E4): plans, their application, and what stays to be cleared. */

/** Shards of one call: the plans of a dry run have to be read by a person. */
export const RECOVERY_SHARDS_MAX = 500;

const replicaSchema = z.strictObject({ replica_id: systemIdSchema, node_id: nodeIdSchema });

/** What a recovery will do to one shard, made from its descriptor at `generation`; applied exactly as it is, or not at all. */
export const recoveryPlanSchema = z.strictObject({
  shard_id: systemIdSchema,
  table: tableNameSchema,
  /** UNCLEAN: a copy that may lack acknowledged writes becomes the leader. SHRINK: the leader, which lacks none, goes on alone. */
  kind: z.enum(['UNCLEAN', 'SHRINK']),
  generation: counterSchema,
  epoch: epochSchema,
  candidate: replicaSchema,
  /** Where the candidate's log ends; null for SHRINK. */
  log_end: z.strictObject({ epoch: epochSchema, seq: counterSchema }).nullable(),
  /** Replicas that held every acknowledged write and can't help any more. */
  lost: z.array(replicaSchema.extend({ reason: z.enum(['NODE_AWAY', 'DIRECTORY_LOST', 'COPY_DAMAGED']) })).max(15),
  rejected: z
    .array(
      replicaSchema.extend({
        code: z.enum(['NODE_AWAY', 'NOT_REPORTED', 'REPORT_STALE', 'COPY_DAMAGED', 'COPY_EMPTY']),
      }),
    )
    .max(15),
  /** Log entries known to be missing; null: nobody who would know can be asked. */
  behind_entries: counterSchema.nullable(),
  /** Terms of leaders of which the candidate holds nothing. */
  missing_epochs: counterSchema,
  /** The same in words: what may be lost. */
  explanation: z.string().max(2000),
});
export type WireRecoveryPlan = z.infer<typeof recoveryPlanSchema>;

/** A shard that can't serve and for which there is nothing to plan: what it waits for, and what to do, in words. */
const obstacleSchema = z.object({
  shard_id: systemIdSchema,
  table: tableNameSchema,
  code: z.string(),
  explanation: z.string(),
});

export const recoveryCalls = {
  recoverShards: {
    method: 'POST',
    path: '/recovery/unclean-elections',
    resource: 'recovery',
    summary: 'Last resort after the loss of a quorum: plan (dry_run), then apply exactly that plan',
    callers: ['admin'],
    idempotent: true,
    body: z.strictObject({
      shard_id: systemIdSchema.optional(),
      table: tableNameSchema.optional(),
      /** Answers the plans and changes nothing. Default: true, unless `plans` are given. */
      dry_run: z.boolean().optional(),
      /** Plans of a dry run, unchanged. Each is refused on its own when its shard has changed since. */
      plans: z.array(recoveryPlanSchema).min(1).max(RECOVERY_SHARDS_MAX).optional(),
      /** Must be true to apply a plan: acknowledged writes may be lost for good. */
      acknowledge_data_loss: z.boolean().optional(),
    }),
    response: z.object({
      status: z.literal('success'),
      message: z.string(),
      dry_run: z.boolean(),
      plans: z.array(recoveryPlanSchema),
      /** Shards without a plan, and why; with `plans` given: plans that were not applied. */
      refused: z.array(obstacleSchema),
      /** True if more shards are affected than one call looks at: call again after these. */
      more: z.boolean(),
      recovered: z.array(
        z.object({ shard_id: systemIdSchema, leader: nodeIdSchema, epoch: epochSchema, generation: counterSchema }),
      ),
    }),
  },
  listRecoveries: {
    method: 'GET',
    path: '/recovery/shards',
    resource: 'recovery',
    summary: 'Shards that were recovered and not closed yet: data_loss, and min_in_sync to be brought back',
    callers: ['admin'],
    query: z.strictObject(pageQuery),
    response: z.object({
      shards: z.array(
        z.object({
          shard_id: systemIdSchema,
          table: tableNameSchema,
          kind: z.enum(['UNCLEAN', 'SHRINK']),
          generation: counterSchema,
          min_in_sync: z.object({ present: counterSchema, wanted: counterSchema }),
          started_by: z.string(),
          at: timestampSchema,
          plan: jsonSchema,
        }),
      ),
      ...pageAnswer,
    }),
  },
  closeRecovery: {
    method: 'POST',
    path: '/recovery/shards/{shard_id}/close',
    resource: 'recovery',
    summary: 'Take the data_loss mark off a shard whose loss was dealt with',
    callers: ['admin'],
    idempotent: true,
    params: z.strictObject({ shard_id: systemIdSchema }),
    body: z.strictObject({
      /** How the loss was dealt with; kept in the audit log. */
      note: z.string().min(1).max(500),
    }),
    response: z.object({ status: z.literal('success'), message: z.string(), shard_id: systemIdSchema }),
  },
} as const satisfies Record<string, Call>;
