import * as z from 'zod';
import { counterSchema, nodeIdSchema, systemIdSchema, tableNameSchema } from '../primitives.ts';
import type { Call } from './call.ts';

/** Even load over the nodes: the plan, its execution, and the limits that it keeps. */

/** Entries of each list of a plan that an answer holds; all of them are counted in its summary. */
export const PLAN_ENTRIES_SHOWN_MAX = 1_000;

export const replicaMoveSchema = z.strictObject({
  shard_id: systemIdSchema,
  generation: counterSchema,
  from: nodeIdSchema,
  to: nodeIdSchema,
  /** ZONE_RULE, LABEL_RULE, DRAIN, DISK_WATERMARK or BALANCE. */
  reason: z.string().max(64),
  bytes: counterSchema,
});
export const leaderMoveSchema = z.strictObject({
  shard_id: systemIdSchema,
  generation: counterSchema,
  from: nodeIdSchema,
  to: nodeIdSchema,
  /** NODE_LEAVING, NODE_SLOW, PREFERENCE or BALANCE. */
  reason: z.string().max(64),
});
const spreadSchema = z.object({ least: z.number(), most: z.number() });

/** What a rebalance will do; given back as `plan`, exactly this is applied, or PLAN_STALE. */
export const rebalancePlanSchema = z.strictObject({
  moves: z.array(replicaMoveSchema).max(PLAN_ENTRIES_SHOWN_MAX),
  leader_moves: z.array(leaderMoveSchema).max(PLAN_ENTRIES_SHOWN_MAX),
});
export type RebalancePlanBody = z.infer<typeof rebalancePlanSchema>;

export const shownPlanSchema = rebalancePlanSchema.extend({
  /** Why nodes and replicas stay that a goal wants moved; each with its reasons, the nearest miss first. */
  rejected: z.array(
    z.object({
      goal: z.string(),
      node_id: nodeIdSchema,
      shard_id: systemIdSchema.nullable(),
      reasons: z.array(z.object({ reason: z.string(), count: counterSchema })),
    }),
  ),
  summary: z.object({
    shards: counterSchema,
    nodes: counterSchema,
    moves: counterSchema,
    leader_moves: counterSchema,
    bytes_to_move: counterSchema,
    /** Shares of a node's fair share that any node holds, by dimension; 1 is perfect. */
    before: z.record(z.string(), spreadSchema),
    after: z.record(z.string(), spreadSchema),
    zone_violations_before: counterSchema,
    zone_violations_after: counterSchema,
    rejected_by_reason: z.array(z.object({ reason: z.string(), count: counterSchema })),
  }),
});
export type ShownPlan = z.infer<typeof shownPlanSchema>;

const perNode = z.int().min(1).max(100);

export const rebalanceConfigSchema = z.object({
  tick: z.enum(['on', 'off']),
  check_every_seconds: z.int().min(5).max(86_400),
  moves_per_hour: z.int().min(1).max(1_000_000),
  moves_in_per_node: perNode,
  moves_out_per_node: perNode,
  moves_per_cluster: z.int().min(1).max(1_000),
  bytes_per_second: z.int().min(1_000_000).max(1_000_000_000_000),
  transfers_per_node: perNode,
  transfers_per_cluster: z.int().min(1).max(1_000),
  latency_ratio_max: z.number().min(1.1).max(100),
  repair: z.enum(['on', 'off']),
  repair_after_seconds: z.int().min(10).max(604_800),
  repairs_per_cluster: z.int().min(1).max(1_000),
});
export type RebalanceConfig = z.infer<typeof rebalanceConfigSchema>;

export const rebalanceCalls = {
  rebalanceShards: {
    method: 'POST',
    path: '/shards/rebalance',
    resource: 'shards',
    summary: 'Even out replicas, bytes, load and leaders over the nodes (an operation)',
    callers: ['admin'],
    idempotent: true,
    body: z.strictObject({
      /** `all` (default): replicas and leaders; `leaders`: transfers alone; `scatter`: one table spread over all nodes. */
      mode: z.enum(['all', 'leaders', 'scatter']).optional(),
      /** Only shards of this table move; required for `scatter`. */
      table: tableNameSchema.optional(),
      /** Answers the plan and changes nothing. */
      dry_run: z.boolean().optional(),
      plan: z.looseObject({ ...rebalancePlanSchema.shape }).optional(),
    }),
    response: z.object({
      status: z.literal('initiated'),
      /** Shards that the plan moves or gives another leader. */
      rebalanced_shards: counterSchema,
      message: z.string(),
      /** Null for a dry run. */
      operation_id: systemIdSchema.nullable(),
      /** Null where the operation makes the plan by itself: the cluster is too large to plan while the caller waits. */
      plan: shownPlanSchema.nullable(),
    }),
  },
  getRebalanceConfig: {
    method: 'GET',
    path: '/config/rebalance',
    resource: 'config',
    revisionOf: 'config',
    summary: 'Limits that moving data keeps, and what the cluster does by itself',
    callers: ['admin'],
    response: rebalanceConfigSchema,
  },
  setRebalanceConfig: {
    method: 'PUT',
    path: '/config/rebalance',
    resource: 'config',
    revisionOf: 'config',
    summary: 'Change some of these limits; operations under way keep to them from their next step on',
    callers: ['admin'],
    idempotent: true,
    body: rebalanceConfigSchema.partial().strict(),
    response: rebalanceConfigSchema,
  },
} as const satisfies Record<string, Call>;
