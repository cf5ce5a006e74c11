import * as z from 'zod';
import {
  counterSchema,
  epochSchema,
  hostSchema,
  keySchema,
  leaseProfileSchema,
  nodeIdSchema,
  portSchema,
  syncStatusSchema,
  systemIdSchema,
  zoneSchema,
} from '../primitives.ts';
import { capacityWeightSchema, labelsSchema } from '../placement.ts';
import { COMMANDS_PER_MESSAGE_MAX, commandAckSchema, signedCommandSchema, stepDownReceiptSchema } from './commands.ts';
import { wireDescriptorSchema } from './descriptor.ts';

/** The calls by which a node joins, keeps its lease and speaks for itself. */

export const jwkSchema = z.record(z.string().max(32), z.string().max(512));

/** Only the first four fields are required: a node without a key of its own can join with a join token. */
export const registerRequestSchema = z.strictObject({
  node_id: nodeIdSchema,
  host: hostSchema,
  port: portSchema,
  zone: zoneSchema,
  /** This process start (L4); made up by the control plane when missing. */
  incarnation: systemIdSchema.optional(),
  /** Identity of the data directory (L4); made up by the control plane when missing (a node new to the cluster). */
  store_uuid: systemIdSchema.optional(),
  /** Public key (JWK, P-256) by which the node proves itself when it registers again. */
  public_key: jwkSchema.optional(),
  /** What the data directory last persisted: behind the store's values, the directory was rolled back (L4). */
  attestation: z.strictObject({ node_epoch: epochSchema, counter: counterSchema }).optional(),
  version: z.string().max(64).optional(),
  /** Node id of the relay through which the node means to beat: its lease is kept with those of the relay's other nodes (L1). */
  relay: nodeIdSchema.optional(),
  /** What the node is good for (placement rules). Missing: as it said before. Void once an operator has set it. */
  labels: labelsSchema.optional(),
  capacity_weight: capacityWeightSchema.optional(),
});
export type RegisterRequest = z.infer<typeof registerRequestSchema>;

export const registerResponseSchema = z.object({
  status: z.literal('success'),
  message: z.literal('Node registered'),
  node_id: nodeIdSchema,
  node_epoch: epochSchema,
  incarnation: systemIdSchema,
  store_uuid: systemIdSchema,
  /** The pack that holds the lease, for beats through a relay; null: the lease is the node's alone. */
  lease_pack: systemIdSchema.nullable().default(null),
  /** Bearer token by which the node speaks for itself under this node epoch. */
  credential: z.string(),
  settings: z.object({
    lease_profile: leaseProfileSchema,
    lease_ms: z.int(),
    renew_ms: z.int(),
    drift_bound_ms: z.int(),
    /** JWKS of the control plane: tokens and commands are checked against it. */
    public_keys: z.object({ keys: z.array(jwkSchema) }),
  }),
});
export type RegisterResponse = z.infer<typeof registerResponseSchema>;

/** Bytes of shards, as a node tells: at most 1 PiB, more than any node holds. */
const bytesSchema = z
  .int()
  .min(0)
  .max(2 ** 50);
/** What a node measures: a rate or a time; no larger than the store holds exactly. */
const measureSchema = z.number().min(0).max(Number.MAX_SAFE_INTEGER);
/**
 * Epoch of a log entry, as its holder tells. A leader that is elected by such a word gets a higher one (E4, S5): half of the range
 * is left for the leaders after it, whatever a node says.
 */
const loggedEpochSchema = z
  .int()
  .min(0)
  .max(2 ** 52);

const shardStatsSchema = z.strictObject({
  shard_id: systemIdSchema,
  role: z.enum(['LEADER', 'FOLLOWER']),
  /** True if the node serves clients for the shard now. */
  serving: z.boolean(),
  bytes: bytesSchema,
  rows: counterSchema,
  /** Log entries that the slowest other replica is behind; 0 for followers. */
  lag_entries: counterSchema,
  /** Requests of clients a second since the last statistics, by kind. */
  reads_per_second: measureSchema.optional(),
  writes_per_second: measureSchema.optional(),
  /** Milliseconds a second that the node's thread worked on them, commits to disk apart as writes share those: 1,000 is all of it. */
  busy_ms_per_second: measureSchema.optional(),
  /** A key that would divide the load, and its share left of it, by a sample of the keys asked for. Missing: no such key, or few requests. */
  load_split: z.strictObject({ key: keySchema, left_share: z.number().min(0).max(1) }).optional(),
});

/** Shards named in one heartbeat: the busiest and the changed (DESIGN section 5). */
export const HEARTBEAT_SHARDS_MAX = 50;

export const heartbeatRequestSchema = z.strictObject({
  node_epoch: epochSchema,
  incarnation: systemIdSchema,
  /** Raised by 1 at every heartbeat of an incarnation, from 1. */
  sequence: z.int().min(1),
  /** Counter that the node fsynced just before (L4). */
  attestation: counterSchema,
  /** `mail` of the last answer whose commands the node took. */
  mail_seen: counterSchema.optional(),
  /** On the slower beat. */
  stats: z
    .strictObject({
      shards: z.int().min(0),
      leaders: z.int().min(0),
      bytes: bytesSchema,
      requests_per_second: measureSchema,
      fsync_ms_p99: measureSchema,
      /** Where its data lies; missing while the node can't tell. */
      disk: z.strictObject({ capacity_bytes: counterSchema, used_bytes: counterSchema }).optional(),
      /** Slowest hundredth of the clients' requests, from arrival to answer, since the last statistics. */
      client_ms_p99: measureSchema.optional(),
      /** True while the node's disk refuses writes. */
      disk_full: z.boolean().optional(),
      /** Critical section of the last forks (S1), the shared commit's fsync apart; missing before the first. */
      split_lock_ms_p99: measureSchema.optional(),
      split_lock_ms_max: measureSchema.optional(),
      busiest: z.array(shardStatsSchema).max(HEARTBEAT_SHARDS_MAX),
    })
    .optional(),
  acks: z.array(commandAckSchema).max(COMMANDS_PER_MESSAGE_MAX).optional(),
});
export type HeartbeatRequest = z.infer<typeof heartbeatRequestSchema>;

export const heartbeatResponseSchema = z.object({
  status: z.literal('success'),
  /** The sequence that is now stored: the lease counts from the first send of this one (L3). */
  sequence: z.int(),
  node_epoch: epochSchema,
  mail: counterSchema,
  commands: z.array(signedCommandSchema).max(COMMANDS_PER_MESSAGE_MAX),
  /** A fresh credential, when the presented one is past half of its life; else null. */
  credential: z.string().nullable(),
});
export type HeartbeatResponse = z.infer<typeof heartbeatResponseSchema>;

/** A clean stop: the incarnation gives up its lease, so that registration need not wait for it to expire (L4). */
export const releaseRequestSchema = z.strictObject({ node_epoch: epochSchema, incarnation: systemIdSchema });

/** What a node proposes or reports about shards it holds. Each carries the epoch and generation that it was seen under. */
export const nodeReportSchema = z.discriminatedUnion('type', [
  /** The leader proposes a status for one replica (R1, R2, R3). `node_epoch`: of the replication session. */
  z.strictObject({
    type: z.literal('replica_status'),
    shard_id: systemIdSchema,
    epoch: epochSchema,
    generation: counterSchema,
    replica_id: systemIdSchema,
    node_epoch: epochSchema,
    store_uuid: systemIdSchema,
    sync_status: syncStatusSchema,
  }),
  /** A follower hears nothing from its leader (R3). `log`: what it holds; the proof of E4. */
  z.strictObject({
    type: z.literal('silent_leader'),
    shard_id: systemIdSchema,
    replica_id: systemIdSchema,
    epoch: epochSchema,
    generation: counterSchema,
    store_uuid: systemIdSchema,
    /** Milliseconds since the follower last heard its leader, on the follower's monotonic clock. */
    silent_ms: counterSchema.optional(),
    /** Where the copy's range begins: what became of a shard that is not there any more shows in who holds that key by now. */
    begins: z.strictObject({ table_id: systemIdSchema, start_key: keySchema }).optional(),
    log: z.strictObject({ last_epoch: loggedEpochSchema, last_seq: counterSchema, intact: z.boolean() }),
  }),
  z.strictObject({ type: z.literal('step_down_receipt'), ...stepDownReceiptSchema.shape }),
  /** The leader found that a node does not hold the replica that the descriptor lists (wiped directory). */
  z.strictObject({
    type: z.literal('missing_replica'),
    shard_id: systemIdSchema,
    epoch: epochSchema,
    generation: counterSchema,
    replica_id: systemIdSchema,
    node_epoch: epochSchema,
    store_uuid: systemIdSchema,
  }),
  z.strictObject({ type: z.literal('command_ack'), ...commandAckSchema.shape }),
  /**
   * The leader of a SPLITTING shard without a split key proposes one: the middle of its rows by bytes, or of its load. Null: there
   * is no key that would leave rows on both sides.
   */
  z.strictObject({
    type: z.literal('split_key'),
    shard_id: systemIdSchema,
    epoch: epochSchema,
    generation: counterSchema,
    operation_id: systemIdSchema,
    split_key: keySchema.nullable(),
  }),
]);
export type NodeReport = z.infer<typeof nodeReportSchema>;

export const REPORTS_PER_MESSAGE_MAX = 100;
export const reportsRequestSchema = z.strictObject({
  node_epoch: epochSchema,
  incarnation: systemIdSchema,
  reports: z.array(nodeReportSchema).min(1).max(REPORTS_PER_MESSAGE_MAX),
});
export type ReportsRequest = z.infer<typeof reportsRequestSchema>;

export const reportsResponseSchema = z.object({
  /** One for each report, in order. */
  results: z.array(
    z.object({
      outcome: z.enum(['APPLIED', 'NOTHING_TO_DO', 'REFUSED']),
      code: z.string().nullable(),
      message: z.string().nullable(),
      /** The shard as it is now, whatever the outcome; null if it does not exist or the report names none. */
      descriptor: wireDescriptorSchema.nullable(),
    }),
  ),
});
export type ReportsResponse = z.infer<typeof reportsResponseSchema>;
