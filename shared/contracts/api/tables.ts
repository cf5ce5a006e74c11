import * as z from 'zod';
import {
  counterSchema,
  keySchema,
  keyTypeSchema,
  pageAnswer,
  pageQuery,
  systemIdSchema,
  tableNameSchema,
  timestampSchema,
} from '../primitives.ts';
import type { Call } from './call.ts';

const tableParams = z.strictObject({ table: tableNameSchema });
/** Replicas of a shard: odd counts make sense, even ones are allowed. */
export const REPLICATION_FACTOR_MAX = 9;
/** Keys in one create-table request. Ten times as many shards come from splitting later. */
export const PRE_SPLIT_KEYS_MAX = 10_000;

export const tableSchema = z.object({
  table: tableNameSchema,
  table_id: systemIdSchema,
  key_type: keyTypeSchema,
  state: z.enum(['CREATING', 'ACTIVE', 'DELETING']),
  replication_factor: z.int(),
  shards: counterSchema,
  operation_id: systemIdSchema,
  created_at: timestampSchema,
});

export const tableCalls = {
  createTable: {
    method: 'POST',
    path: '/tables',
    resource: 'tables',
    summary: 'Create a table (an operation)',
    callers: ['admin'],
    idempotent: true,
    body: z.strictObject({
      table: tableNameSchema,
      key_type: keyTypeSchema.optional(),
      pre_split: z.array(keySchema).max(PRE_SPLIT_KEYS_MAX).optional(),
      replication_factor: z.int().min(1).max(REPLICATION_FACTOR_MAX).optional(),
    }),
    response: z.object({
      status: z.literal('initiated'),
      message: z.string(),
      table: tableNameSchema,
      operation_id: systemIdSchema,
    }),
  },
  listTables: {
    method: 'GET',
    path: '/tables',
    resource: 'tables',
    summary: 'List tables by name',
    callers: ['admin', 'node'],
    query: z.strictObject(pageQuery),
    response: z.object({ tables: z.array(tableSchema), ...pageAnswer }),
  },
  getTable: {
    method: 'GET',
    path: '/tables/{table}',
    resource: 'tables',
    revisionOf: 'table',
    summary: 'One table',
    callers: ['admin', 'node'],
    params: tableParams,
    response: tableSchema,
  },
  deleteTable: {
    method: 'DELETE',
    path: '/tables/{table}',
    resource: 'tables',
    revisionOf: 'table',
    summary: 'Delete a table and its rows (an operation)',
    callers: ['admin'],
    idempotent: true,
    params: tableParams,
    response: z.object({
      status: z.literal('initiated'),
      message: z.string(),
      table: tableNameSchema,
      operation_id: systemIdSchema,
    }),
  },
} as const satisfies Record<string, Call>;
