import * as z from 'zod';
import {
  jsonSchema,
  counterSchema,
  epochSchema,
  hostSchema,
  keySchema,
  nodeIdSchema,
  portSchema,
  systemIdSchema,
  tableNameSchema,
} from '../primitives.ts';

/**
 * The client protocol of data nodes: `POST /data/{get|put|delete|batch|scan}` with a data token as bearer. Keys are as callers
 * write them (text, or the decimal form of an int64); values are any JSON of at most `VALUE_BYTES_MAX` bytes.
 * `epoch` is the one the caller's route carries: a server below it refuses and fetches the descriptor (R6), a server above it
 * answers STALE_EPOCH with the present route.
 */
export const VALUE_BYTES_MAX = 256 * 1024;
export const BATCH_ROWS_MAX = 500;
export const SCAN_ROWS_MAX = 1000;

const target = { table: tableNameSchema, shard_id: systemIdSchema, epoch: epochSchema };
/** Chosen by the client, one for each logical write; a retry repeats it and gets the first answer (R6). */
const writeId = { write_id: systemIdSchema };

export const getRowRequestSchema = z.strictObject({ ...target, key: keySchema });
export const getRowResponseSchema = z.object({
  found: z.boolean(),
  value: jsonSchema.nullable(),
  /** Hybrid logical timestamp of the version read, as 'wallMs.counter' text; null if not found. */
  timestamp: z.string().nullable(),
  epoch: epochSchema,
});

export const putRowRequestSchema = z.strictObject({ ...target, ...writeId, key: keySchema, value: jsonSchema });
export const deleteRowRequestSchema = z.strictObject({ ...target, ...writeId, key: keySchema });
/** All rows of a batch belong to one shard and become visible together. */
export const batchRequestSchema = z.strictObject({
  ...target,
  ...writeId,
  rows: z
    .array(
      z.discriminatedUnion('op', [
        z.strictObject({ op: z.literal('put'), key: keySchema, value: jsonSchema }),
        z.strictObject({ op: z.literal('delete'), key: keySchema }),
      ]),
    )
    .min(1)
    .max(BATCH_ROWS_MAX),
});
export const writeResponseSchema = z.object({
  status: z.literal('success'),
  timestamp: z.string(),
  epoch: epochSchema,
});

export const scanRequestSchema = z.strictObject({
  ...target,
  /** Inclusive; null = from the start of the shard. */
  start_key: keySchema.nullable(),
  /** Exclusive; null = to the end of the shard. */
  end_key: keySchema.nullable(),
  limit: z.int().min(1).max(SCAN_ROWS_MAX),
});
export const scanResponseSchema = z.object({
  rows: z.array(z.object({ key: z.string(), value: jsonSchema, timestamp: z.string() })),
  /** Where the next page starts; null when the shard's part of the range is done. */
  next_key: z.string().nullable(),
  /** End of the shard as the server knows it (exclusive, as callers write keys); null = end of the table. */
  shard_end_key: z.string().nullable(),
  epoch: epochSchema,
});

/** A route as data nodes and `GET /routes` give it. Keys as callers write them; `start_key` '' is the start of the table. */
export const routeSchema = z.object({
  table: tableNameSchema,
  shard_id: systemIdSchema,
  key_type: z.enum(['string', 'int64']),
  start_key: z.string(),
  end_key: z.string().nullable(),
  epoch: epochSchema,
  generation: counterSchema,
  leader: z.object({ node_id: nodeIdSchema, host: hostSchema, port: portSchema, node_epoch: epochSchema }),
  replicas: z.array(
    z.object({
      node_id: nodeIdSchema,
      host: hostSchema,
      port: portSchema,
      sync_status: z.enum(['IN_SYNC', 'LAGGING', 'OFFLINE']),
    }),
  ),
});
export type Route = z.infer<typeof routeSchema>;

/**
 * Refusals. A refusal says that nothing was applied by this attempt, except UNKNOWN_OUTCOME: the write was not
 * acknowledged in time and may or may not survive; repeat it with the same write id.
 */
export const dataErrorCodeSchema = z.enum([
  'STALE_EPOCH', // 409; `route` is the present one if the node knows it
  'NOT_LEADER', // 409; `route` hints at the leader if the node knows it
  'KEY_OUT_OF_RANGE', // 409
  'SHARD_UNKNOWN', // 404; the node holds no replica of the shard
  'NOT_ENOUGH_REPLICAS', // 503
  'UNKNOWN_OUTCOME', // 503
  'THROTTLED', // 429
  'NO_LEASE', // 503; the node can't renew its lease and has stopped serving
  'INVALID_REQUEST', // 400
  'WRITE_ID_REUSED', // 409; the write id was used for another write
  'UNAUTHENTICATED', // 401
  'FORBIDDEN', // 403
  'STORAGE', // 507; the node's disk refuses writes
]);
export type DataErrorCode = z.infer<typeof dataErrorCodeSchema>;
export const dataErrorSchema = z.object({
  code: dataErrorCodeSchema,
  message: z.string(),
  route: routeSchema.nullable(),
  /** Milliseconds after which a retry makes sense; null: at once. */
  retry_after_ms: z.int().nullable(),
});
export type DataError = z.infer<typeof dataErrorSchema>;
export const DATA_ERROR_STATUS: Readonly<Record<DataErrorCode, number>> = {
  STALE_EPOCH: 409,
  NOT_LEADER: 409,
  KEY_OUT_OF_RANGE: 409,
  SHARD_UNKNOWN: 404,
  NOT_ENOUGH_REPLICAS: 503,
  UNKNOWN_OUTCOME: 503,
  THROTTLED: 429,
  NO_LEASE: 503,
  INVALID_REQUEST: 400,
  WRITE_ID_REUSED: 409,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  STORAGE: 507,
};

export type GetRowRequest = z.infer<typeof getRowRequestSchema>;
export type GetRowResponse = z.infer<typeof getRowResponseSchema>;
export type PutRowRequest = z.infer<typeof putRowRequestSchema>;
export type DeleteRowRequest = z.infer<typeof deleteRowRequestSchema>;
export type BatchRequest = z.infer<typeof batchRequestSchema>;
export type WriteResponse = z.infer<typeof writeResponseSchema>;
export type ScanRequest = z.infer<typeof scanRequestSchema>;
export type ScanResponse = z.infer<typeof scanResponseSchema>;
