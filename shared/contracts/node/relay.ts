import * as z from 'zod';
import { epochSchema, nodeIdSchema, systemIdSchema } from '../primitives.ts';
import { heartbeatRequestSchema, heartbeatResponseSchema } from './heartbeat.ts';

/**
 * Heartbeats through a relay (L1, L3): a node collects the beats of up to 100 others and sends them as one request. A relay speaks for
 * nobody: each beat carries its own node's credential, and each renewal comes back under the control plane's signature.
 */

/** Beats of one message. */
export const RELAYED_BEATS_MAX = 100;
/** Characters of a credential; an ES256 token with its certificate has about a thousand. */
const CREDENTIAL_CHARS_MAX = 8_192;

/** One node's beat, from the node to its relay and on to the control plane. */
export const relayedBeatSchema = z.strictObject({
  node_id: nodeIdSchema,
  /** The node's own bearer token (I-8). */
  credential: z.string().min(1).max(CREDENTIAL_CHARS_MAX),
  /** `lease_pack` of the node's registration: a hint where to look first. */
  lease_pack: systemIdSchema.nullable(),
  beat: heartbeatRequestSchema,
});
export type RelayedBeat = z.infer<typeof relayedBeatSchema>;

export const heartbeatsRequestSchema = z.strictObject({
  beats: z.array(relayedBeatSchema).min(1).max(RELAYED_BEATS_MAX),
});
export type HeartbeatsRequest = z.infer<typeof heartbeatsRequestSchema>;

export const beatResultSchema = z.discriminatedUnion('outcome', [
  z.object({ outcome: z.literal('RENEWED'), answer: heartbeatResponseSchema }),
  z.object({ outcome: z.literal('REFUSED'), code: z.string(), message: z.string() }),
]);
export type BeatResult = z.infer<typeof beatResultSchema>;

/** Names what is signed, so that no signature of one kind of document passes for another. */
export const RENEWALS_DOCUMENT = 'lease-renewals';

/** What was committed, under the control plane's signature: a node counts its lease by this alone, not by the word of its relay (L3). */
export const renewalsSchema = z.object({
  document: z.literal(RENEWALS_DOCUMENT),
  renewed: z
    .array(
      z.object({
        node_id: nodeIdSchema,
        node_epoch: epochSchema,
        incarnation: systemIdSchema,
        sequence: z.int(),
      }),
    )
    .max(RELAYED_BEATS_MAX),
});
export const receiptSchema = z.object({
  renewals: renewalsSchema,
  signature: z.string(),
  certificate: z.string(),
});
export type RenewalReceipt = z.infer<typeof receiptSchema>;

export const heartbeatsResponseSchema = z.object({
  /** One for each beat, in order. */
  results: z.array(beatResultSchema),
  /** Null if nothing was renewed, or if the signing key did not answer: the nodes beat directly then. */
  receipt: receiptSchema.nullable(),
});
export type HeartbeatsResponse = z.infer<typeof heartbeatsResponseSchema>;

/** Relay to node: the answer to one beat. */
export const relayAnswerSchema = z.object({
  result: beatResultSchema,
  receipt: receiptSchema.nullable(),
  /** Milliseconds until the relay collects again: a beat that comes then goes with all the others. */
  next_in_ms: z.number().min(0),
});
