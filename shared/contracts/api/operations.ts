import * as z from 'zod';
import { OPERATION_TYPES } from '../../domain/records.ts';
import { counterSchema, pageAnswer, pageQuery, systemIdSchema, timestampSchema } from '../primitives.ts';
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
  plan: z.json().nullable(),
  steps: z.array(z.object({ name: z.string(), at: timestampSchema, detail: z.string() })),
  created_by: z.string(),
  created_at: timestampSchema,
  updated_at: timestampSchema,
  execution_arn: z.string().nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});

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
    }),
    response: z.object({ operations: z.array(operationSchema), ...pageAnswer }),
  },
  getOperation: {
    method: 'GET',
    path: '/operations/{operation_id}',
    resource: 'operations',
    summary: 'One operation',
    callers: ['admin'],
    params: z.strictObject({ operation_id: systemIdSchema }),
    response: operationSchema,
  },
} as const satisfies Record<string, Call>;
