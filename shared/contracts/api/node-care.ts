import * as z from 'zod';
import { counterSchema, nodeIdSchema, systemIdSchema, timestampSchema } from '../primitives.ts';
import type { Call } from './call.ts';

/** Nodes out of service: cordoned, drained, decommissioned, under maintenance. */

const nodeParams = z.strictObject({ node_id: nodeIdSchema });

/** Longest maintenance: what takes longer is no maintenance of a node but its loss; drain it. */
export const MAINTENANCE_SECONDS_MAX = 86_400;

/** A drain that has a deadline gets at least the time of a few copies, at most a week. */
export const DRAIN_DEADLINE_SECONDS_MIN = 60;
export const DRAIN_DEADLINE_SECONDS_MAX = 604_800;
const deadlineSeconds = z.int().min(DRAIN_DEADLINE_SECONDS_MIN).max(DRAIN_DEADLINE_SECONDS_MAX);
/** With `deadline_seconds` alone, a node that is not empty in time is put back to what it was; `keep_cordon` leaves it cordoned. */
const onDeadline = z.enum(['put_back', 'keep_cordon']).optional();

/** Would everything on the node fit elsewhere? */
export const drainCheckSchema = z.object({
  fits: z.boolean(),
  replicas: counterSchema,
  bytes: counterSchema,
  /** Replicas that have to wait for something that passes by itself. */
  waiting: counterSchema,
  /** Replicas that no node takes. */
  refused: counterSchema,
  /** Why, for some of them, the nearest miss first. */
  obstacles: z.array(
    z.object({
      shard_id: systemIdSchema.nullable(),
      reasons: z.array(z.object({ reason: z.string(), count: counterSchema })),
    }),
  ),
});

export type DrainCheckAnswer = z.infer<typeof drainCheckSchema>;

const started = z.object({
  status: z.literal('success'),
  message: z.string(),
  node_id: nodeIdSchema,
  /** Null for a dry run. */
  operation_id: systemIdSchema.nullable(),
  check: drainCheckSchema,
});
const changed = z.object({
  status: z.literal('success'),
  message: z.string(),
  node_id: nodeIdSchema,
  cordoned: z.boolean(),
});

export const nodeCareCalls = {
  decommissionNode: {
    method: 'DELETE',
    path: '/cluster/nodes/{node_id}',
    resource: 'nodes',
    revisionOf: 'node',
    summary: 'Move everything off a node, then take it out of the cluster for good (an operation)',
    callers: ['admin'],
    idempotent: true,
    params: nodeParams,
    /** `dry_run=true` answers the check and changes nothing. */
    query: z.strictObject({
      dry_run: z.enum(['true', 'false']).optional(),
      deadline_seconds: z.coerce
        .number()
        .int()
        .min(DRAIN_DEADLINE_SECONDS_MIN)
        .max(DRAIN_DEADLINE_SECONDS_MAX)
        .optional(),
      on_deadline: onDeadline,
    }),
    response: started,
  },
  drainNode: {
    method: 'POST',
    path: '/cluster/nodes/{node_id}/drain',
    resource: 'nodes',
    revisionOf: 'node',
    summary: 'Cordon a node and move everything off it (an operation)',
    callers: ['admin'],
    idempotent: true,
    params: nodeParams,
    body: z
      .strictObject({
        dry_run: z.boolean().optional(),
        /** Missing: it takes as long as it takes. */
        deadline_seconds: deadlineSeconds.optional(),
        on_deadline: onDeadline,
      })
      .optional(),
    response: started,
  },
  cordonNode: {
    method: 'POST',
    path: '/cluster/nodes/{node_id}/cordon',
    resource: 'nodes',
    revisionOf: 'node',
    summary: 'Let a node take no new replicas',
    callers: ['admin'],
    idempotent: true,
    params: nodeParams,
    response: changed,
  },
  uncordonNode: {
    method: 'POST',
    path: '/cluster/nodes/{node_id}/uncordon',
    resource: 'nodes',
    revisionOf: 'node',
    summary: 'Let a node take new replicas again; ends a maintenance',
    callers: ['admin'],
    idempotent: true,
    params: nodeParams,
    response: changed,
  },
  maintainNode: {
    method: 'POST',
    path: '/cluster/nodes/{node_id}/maintenance',
    resource: 'nodes',
    revisionOf: 'node',
    summary: 'Cordon a node, move its leaders away, and replace none of its replicas until the time is over',
    callers: ['admin'],
    idempotent: true,
    params: nodeParams,
    body: z.strictObject({ seconds: z.int().min(1).max(MAINTENANCE_SECONDS_MAX) }),
    response: changed.extend({
      /** Moves the leaders away; null if the node leads nothing. */
      operation_id: systemIdSchema.nullable(),
      until: timestampSchema,
    }),
  },
} as const satisfies Record<string, Call>;
