import * as z from 'zod';
import { PAUSE_MS_MAX } from '../../domain/operation.ts';
import { OPERATION_TYPES } from '../../domain/records.ts';
import { counterSchema, jsonSchema, pageAnswer, pageQuery, systemIdSchema, timestampSchema } from '../primitives.ts';
import type { Call } from './call.ts';

export const operationTypeSchema = z.enum(OPERATION_TYPES);
export const operationStatusSchema = z.enum(['PENDING', 'RUNNING', 'PAUSED', 'SUCCEEDED', 'FAILED', 'CANCELLED']);

export const operationSchema = z.object({
  operation_id: systemIdSchema,
  type: operationTypeSchema,
  status: operationStatusSchema,
  outcome: z.enum(['APPLIED', 'ROLLED_BACK']).nullable(),
  progress: z.object({ done: counterSchema, total: counterSchema, unit: z.string() }),
  eta_seconds: z.number().nullable(),
  waiting_on: z.string().nullable(),
  /** When a pause that was asked for ends by itself; null: it is not to pause. */
  paused_until: timestampSchema.nullable().optional(),
  plan: jsonSchema,
  /** What was asked of it: it obeys at the next boundary of a step. */
  control: z.enum(['RUN', 'PAUSE', 'CANCEL']),
  /** Number of its execution. */
  run: counterSchema,
  parent_id: systemIdSchema.nullable(),
  /** Nodes, shards and tables that the request named; none: the whole cluster. */
  resources: z.array(z.string()).optional(),
  cancellable: z.boolean(),
  steps: z.array(z.object({ name: z.string(), at: timestampSchema, detail: z.string() })),
  created_by: z.string(),
  created_at: timestampSchema,
  updated_at: timestampSchema,
  execution_arn: z.string().nullable(),
  /** `step`: the step that kept failing, where one did. */
  error: z.object({ code: z.string(), message: z.string(), step: z.string().optional() }).nullable(),
});

export const operationPartSchema = z.object({
  number: counterSchema,
  value: jsonSchema,
  status: z.enum(['PLANNED', 'RUNNING', 'DONE', 'SKIPPED', 'FAILED']),
  child_id: systemIdSchema.nullable(),
  reason: z.string().nullable(),
  updated_at: timestampSchema,
});

/** Shorter than a minute a pause would be over before the step that it waits for. */
export const PAUSE_SECONDS_MIN = 60;
export const PAUSE_SECONDS_MAX = PAUSE_MS_MAX / 1000;

const operationParams = z.strictObject({ operation_id: systemIdSchema });

/** A request that an operation obeys at the next boundary of a step; the answer is the operation as it is now. */
const control = <P extends string>(path: P, summary: string) =>
  ({
    method: 'POST',
    path,
    resource: 'operations',
    revisionOf: 'operation',
    summary,
    callers: ['admin'],
    params: operationParams,
    response: operationSchema,
    idempotent: true,
  }) as const satisfies Call;

export const operationCalls = {
  listOperations: {
    method: 'GET',
    path: '/operations',
    resource: 'operations',
    summary: 'List operations, newest first',
    callers: ['admin'],
    query: z.strictObject({
      ...pageQuery,
      status: operationStatusSchema.optional(),
      type: operationTypeSchema.optional(),
      /** Parts of this operation that are operations themselves. */
      parent_id: systemIdSchema.optional(),
      /** About this node, shard or table: the id of one, or a table's name. */
      resource: systemIdSchema.optional(),
    }),
    response: z.object({ operations: z.array(operationSchema), ...pageAnswer }),
  },
  getOperation: {
    method: 'GET',
    path: '/operations/{operation_id}',
    resource: 'operations',
    revisionOf: 'operation',
    summary: 'One operation',
    callers: ['admin'],
    params: operationParams,
    response: operationSchema,
  },
  listOperationParts: {
    method: 'GET',
    path: '/operations/{operation_id}/parts',
    resource: 'operations',
    summary: 'The parts of a large operation, in the order of execution',
    callers: ['admin'],
    params: operationParams,
    query: z.strictObject(pageQuery),
    response: z.object({ parts: z.array(operationPartSchema), ...pageAnswer }),
  },
  pauseOperation: {
    ...control(
      '/operations/{operation_id}/pause',
      'Stop an operation at the next boundary of a step, for a time; of one that is paused, set when it goes on by itself',
    ),
    /** Missing: a day, and a pause that is on stays as it is. */
    body: z.strictObject({ seconds: z.int().min(PAUSE_SECONDS_MIN).max(PAUSE_SECONDS_MAX).optional() }).optional(),
  },
  resumeOperation: control('/operations/{operation_id}/resume', 'Let a paused operation go on'),
  cancelOperation: control(
    '/operations/{operation_id}/cancel',
    'Undo an operation and end it; refused once it can no longer be undone',
  ),
  redriveOperation: control(
    '/operations/{operation_id}/redrive',
    'Let a failed operation go on from what stands; one that was rolled back starts anew',
  ),
} as const satisfies Record<string, Call>;
