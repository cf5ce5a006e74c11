import * as z from 'zod';
import { systemIdSchema, tableNameSchema } from '../primitives.ts';
import type { Call } from './call.ts';
import { REPLICATION_FACTOR_MAX } from './tables.ts';

/** The replication factor, of the cluster and of single tables. */

const body = z.strictObject({
  replication_factor: z.int().min(1).max(REPLICATION_FACTOR_MAX),
  /** Checks the request and changes nothing. */
  dry_run: z.boolean().optional(),
});
const response = z.object({
  status: z.literal('success'),
  message: z.string(),
  replication_factor: z.int(),
  /** Shards that are going to change, as far as tables tell. */
  shards: z.int(),
  /** Null for a dry run. */
  operation_id: systemIdSchema.nullable(),
});

export const replicationCalls = {
  setReplicationConfig: {
    method: 'PUT',
    path: '/config/replication',
    resource: 'config',
    revisionOf: 'config',
    summary: 'Replication factor of new tables and of those without one of their own (an operation)',
    callers: ['admin'],
    idempotent: true,
    body,
    response,
  },
  setTableReplication: {
    method: 'PUT',
    path: '/tables/{table}/replication',
    resource: 'tables',
    revisionOf: 'table',
    summary: 'Give a table a replication factor of its own (an operation)',
    callers: ['admin'],
    idempotent: true,
    params: z.strictObject({ table: tableNameSchema }),
    body,
    response,
  },
} as const satisfies Record<string, Call>;
