import * as z from 'zod';
import { CERTIFICATE_CHARS_MAX } from '../certificates.ts';
import { counterSchema, epochSchema, millisSchema, nodeIdSchema, systemIdSchema } from '../primitives.ts';
import { wireDescriptorSchema } from './descriptor.ts';

/**
 * Commands of the control plane to a node: pushed to `POST /node/commands`, or carried by a heartbeat's answer. Every one
 * names shard, replica, epoch and generation, is signed, and is idempotent: a node checks epoch and generation before it
 * looks at `command_id` (E2) and acts only if `replica_id` is the copy it holds (R4).
 */
export const commandTypeSchema = z.enum([
  /** Create an empty replica (`descriptor` tells of which shard). Done when it is durable. */
  'create_replica',
  /** Destroy the replica named, and only it (R4). */
  'remove_replica',
  /** Lead under `epoch`. Acknowledged ACCEPTED when the epoch is durable, DONE (by a report) when the shard is served. */
  'become_leader',
  /** Take note of a newer generation of the descriptor. */
  'apply_descriptor',
  /** Stop leading; answer with a persisted step-down receipt (E2). */
  'step_down',
  /** Get ready to fork the child that the descriptor's SPLITTING state names. Done when the fork needs no more than a moment (S1). */
  'prepare_split',
  /** A split committed: `descriptor` is the shrunk parent, `related` its child. Done when the copy is forked, durably (S1). */
  'apply_split',
  /** `step_down` of a side of a merge: nothing is taken any more, every member's log is equal and committed; the receipt tells where it ends (S2). */
  'seal_merge',
  /** A merge committed: `descriptor` is the merged shard. Done when this node's copies of both parts are one, or given up (S2). */
  'apply_merge',
]);
export type CommandType = z.infer<typeof commandTypeSchema>;

export const nodeCommandSchema = z.object({
  command_id: systemIdSchema,
  type: commandTypeSchema,
  /** Addressee: a node refuses commands for others. */
  node_id: nodeIdSchema,
  shard_id: systemIdSchema,
  replica_id: systemIdSchema,
  epoch: epochSchema,
  generation: counterSchema,
  issued_at_ms: millisSchema,
  /** Null for remove_replica only. */
  descriptor: wireDescriptorSchema.nullable(),
  /** A descriptor that changed in the same commit, where the command is about two shards; else null. */
  related: wireDescriptorSchema.nullable().default(null),
});
export type NodeCommand = z.infer<typeof nodeCommandSchema>;

export const signedCommandSchema = nodeCommandSchema.extend({
  /** ES256 over the canonical JSON (RFC 8785) of the command without this field and the next one, base64url of r || s. */
  signature: z.string().min(1).max(256),
  /** Certificate (contracts/certificates.ts, purpose `command`) of the key that signed. */
  certificate: z.string().min(1).max(CERTIFICATE_CHARS_MAX),
});
export type SignedCommand = z.infer<typeof signedCommandSchema>;

/** Commands in one push or one heartbeat answer. */
export const COMMANDS_PER_MESSAGE_MAX = 100;

/** A leader's promise, persisted before it is given: it will never again lead this shard at any epoch up to `epoch` (E2). */
export const stepDownReceiptSchema = z.object({
  shard_id: systemIdSchema,
  replica_id: systemIdSchema,
  epoch: epochSchema,
  /** Highest generation of the descriptor that the leader had applied. */
  generation: counterSchema,
  /** With seal_merge: the last entry of the log, which every IN_SYNC copy holds as committed; nothing follows at this epoch (S2). */
  sealed: z.object({ epoch: epochSchema, seq: counterSchema }).exactOptional(),
});
export type StepDownReceipt = z.infer<typeof stepDownReceiptSchema>;

export const commandAckSchema = z.object({
  command_id: systemIdSchema,
  /** ACCEPTED: under way, DONE or REFUSED follows by a report. */
  outcome: z.enum(['ACCEPTED', 'DONE', 'REFUSED']),
  /** With REFUSED: STALE_EPOCH, STALE_GENERATION, REPLICA_UNKNOWN, NODE_EPOCH_MISMATCH, BAD_SIGNATURE, NOT_ADDRESSEE, STORAGE ... */
  code: z.string().max(64).nullable(),
  message: z.string().max(1000).nullable(),
  /** With step_down DONE. */
  receipt: stepDownReceiptSchema.nullable(),
});
export type CommandAck = z.infer<typeof commandAckSchema>;

export const pushRequestSchema = z.object({
  commands: z.array(signedCommandSchema).min(1).max(COMMANDS_PER_MESSAGE_MAX),
});
export const pushResponseSchema = z.object({ acks: z.array(commandAckSchema).max(COMMANDS_PER_MESSAGE_MAX) });
