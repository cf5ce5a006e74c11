import * as z from 'zod';
import { counterSchema, epochSchema, keySchema, nodeIdSchema, systemIdSchema } from '../primitives.ts';
import { wireDescriptorSchema } from './descriptor.ts';

/**
 * Replication between data nodes: `POST /replication/{open|append|snapshot}`, leader to follower, with the leader's node
 * credential as bearer. A session binds one leadership (shard, epoch) to one follower replica under one node epoch of the
 * follower (R2); it lives in the follower's memory and ends with either process, registration or leadership.
 */

/** Log entries in one append. */
export const APPEND_ENTRIES_MAX = 1_000;
/** Bytes of content in one append, beyond the first entry: 1 MiB. */
export const APPEND_BYTES_MAX = 1024 * 1024;
/** Row changes in one log entry; at least BATCH_ROWS_MAX of the client protocol. */
export const ENTRY_CHANGES_MAX = 1_000;
/** Rows, and write ids, in one chunk of a snapshot. */
export const SNAPSHOT_CHUNK_ITEMS_MAX = 1_000;
/** Bytes of content in one chunk, beyond the first row: 512 KiB. */
export const SNAPSHOT_CHUNK_BYTES_MAX = 512 * 1024;

const positionSchema = z.strictObject({ epoch: epochSchema, seq: counterSchema });
const hybridTimestampSchema = z.strictObject({ wall_ms: counterSchema, counter: counterSchema });
/** SHA-256 in hex of a write's content; '' for a no-op. */
const fingerprintSchema = z.string().max(64);
/** JSON text of a row's value; null deletes the row. */
const valueTextSchema = z.string().nullable();

export const wireLogEntrySchema = z.strictObject({
  seq: z.int().min(1),
  epoch: epochSchema,
  /** Null for a new leader's no-op (R5). */
  write_id: systemIdSchema.nullable(),
  fingerprint: fingerprintSchema,
  changes: z.array(z.strictObject({ key: keySchema, value: valueTextSchema })).max(ENTRY_CHANGES_MAX),
  at: hybridTimestampSchema,
});
export type WireLogEntry = z.infer<typeof wireLogEntrySchema>;

/** Asks a follower to promise the epoch, durably, before it answers. */
export const openSessionRequestSchema = z.strictObject({
  /** Chosen by the leader, random. */
  session_id: systemIdSchema,
  shard_id: systemIdSchema,
  /** Addressee (R4): a node that holds another replica of the shard refuses. */
  replica_id: systemIdSchema,
  epoch: epochSchema,
  generation: counterSchema,
  leader: z.strictObject({ node_id: nodeIdSchema, node_epoch: epochSchema }),
  /** The leader's descriptor, by which the follower catches up with what it missed. */
  descriptor: wireDescriptorSchema,
  /** The other half of a recent split, which the follower may not have heard of (S1). */
  related: wireDescriptorSchema.optional(),
});
export type OpenSessionRequest = z.infer<typeof openSessionRequestSchema>;

export const openSessionResponseSchema = z.object({
  /** The follower's present node epoch: IN_SYNC is proposed for it (R2). */
  node_epoch: epochSchema,
  store_uuid: systemIdSchema,
  /** False: the copy can't be trusted (its directory lost its identity, L4) and needs a snapshot. */
  intact: z.boolean(),
  log_end: positionSchema,
  commit_seq: counterSchema,
  /** First sequence that the follower's log still keeps. */
  first_seq: counterSchema,
});
export type OpenSessionResponse = z.infer<typeof openSessionResponseSchema>;

const sessionFields = { session_id: systemIdSchema, shard_id: systemIdSchema, epoch: epochSchema };

/** Entries after `prev`, which the follower must hold; a heartbeat when empty. Answered when the entries are durable. */
export const appendRequestSchema = z.strictObject({
  ...sessionFields,
  prev: positionSchema,
  entries: z.array(wireLogEntrySchema).max(APPEND_ENTRIES_MAX),
  commit_seq: counterSchema,
});
export type AppendRequest = z.infer<typeof appendRequestSchema>;

export const appendResponseSchema = z.object({
  /** The follower's log equals the leader's up to here, durably. */
  match_seq: counterSchema,
});
export type AppendResponse = z.infer<typeof appendResponseSchema>;

/** One chunk of the state at `at`. Chunk 0 starts a new copy beside the old one, the last chunk puts it in the old one's place. */
export const snapshotRequestSchema = z.strictObject({
  ...sessionFields,
  snapshot_id: systemIdSchema,
  chunk: counterSchema,
  last: z.boolean(),
  at: positionSchema,
  at_time: hybridTimestampSchema,
  rows: z
    .array(z.strictObject({ key: keySchema, seq: counterSchema, at: hybridTimestampSchema, value: valueTextSchema }))
    .max(SNAPSHOT_CHUNK_ITEMS_MAX),
  /** Write ids remembered at `at` (R6). */
  writes: z
    .array(
      z.strictObject({
        write_id: systemIdSchema,
        seq: counterSchema,
        fingerprint: fingerprintSchema,
        at: hybridTimestampSchema,
      }),
    )
    .max(SNAPSHOT_CHUNK_ITEMS_MAX),
});
export type SnapshotRequest = z.infer<typeof snapshotRequestSchema>;
export const snapshotResponseSchema = z.object({ next_chunk: counterSchema });

export const replicationErrorCodeSchema = z.enum([
  'INVALID_REQUEST', // 400
  'NOT_THE_LEADER', // 403; the caller is not the leader that the request names
  'REPLICA_UNKNOWN', // 404; the node does not hold the replica named (R4)
  'STALE_EPOCH', // 409; the follower promised `max_epoch` (I-5)
  'SESSION_UNKNOWN', // 409; open a session first
  'BOUNDS_MISMATCH', // 409; the follower knows of a split that the leader does not (S1): read the descriptor
  'LOG_MISMATCH', // 409; try again from `hint_seq`
  'LOG_DIVERGED', // 409; the logs differ below the follower's commit: never repaired automatically
  'SNAPSHOT_OUT_OF_ORDER', // 409; start the snapshot again
  'NOT_REGISTERED', // 503; the follower has no valid registration at present
  'STORAGE', // 507; the follower's disk refuses writes
]);
export type ReplicationErrorCode = z.infer<typeof replicationErrorCodeSchema>;
export const replicationErrorSchema = z.object({
  code: replicationErrorCodeSchema,
  message: z.string(),
  /** With STALE_EPOCH. */
  max_epoch: epochSchema.nullable(),
  /** With LOG_MISMATCH: the highest sequence at which the logs may agree. */
  hint_seq: counterSchema.nullable(),
});
export type ReplicationError = z.infer<typeof replicationErrorSchema>;
export const REPLICATION_ERROR_STATUS: Readonly<Record<ReplicationErrorCode, number>> = {
  INVALID_REQUEST: 400,
  NOT_THE_LEADER: 403,
  REPLICA_UNKNOWN: 404,
  STALE_EPOCH: 409,
  SESSION_UNKNOWN: 409,
  BOUNDS_MISMATCH: 409,
  LOG_MISMATCH: 409,
  LOG_DIVERGED: 409,
  SNAPSHOT_OUT_OF_ORDER: 409,
  NOT_REGISTERED: 503,
  STORAGE: 507,
};
