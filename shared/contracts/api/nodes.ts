import * as z from 'zod';
import {
  heartbeatRequestSchema,
  heartbeatResponseSchema,
  registerRequestSchema,
  registerResponseSchema,
  releaseRequestSchema,
  reportsRequestSchema,
  reportsResponseSchema,
} from '../node/heartbeat.ts';
import { heartbeatsRequestSchema, heartbeatsResponseSchema } from '../node/relay.ts';
import {
  counterSchema,
  epochSchema,
  hostSchema,
  leaseProfileSchema,
  nodeIdSchema,
  pageAnswer,
  pageQuery,
  portSchema,
  systemIdSchema,
  timestampSchema,
  zoneSchema,
} from '../primitives.ts';
import { capacityWeightSchema, labelsSchema } from '../placement.ts';
import type { Call } from './call.ts';

const nodeParams = z.strictObject({ node_id: nodeIdSchema });

export const nodeSchema = z.object({
  node_id: nodeIdSchema,
  host: hostSchema,
  port: portSchema,
  zone: zoneSchema,
  /** UNHEALTHY: fenced, or its lease was observed expired. */
  status: z.enum(['HEALTHY', 'UNHEALTHY', 'DECOMMISSIONING']),
  /** Replicas on the node. */
  shards: counterSchema,
  cordoned: z.boolean(),
  /** Slow against its peers although it is alive (gray failure): its leaders are moved away. */
  slow: z.boolean().default(false),
  /** Its disk refuses writes: its leaders are moved away, and it gets no new replicas. */
  disk_full: z.boolean().default(false),
  node_epoch: epochSchema,
  last_heartbeat: timestampSchema,
  lease_profile: leaseProfileSchema,
  version: z.string(),
  labels: labelsSchema.default({}),
  capacity_weight: capacityWeightSchema.default(1),
  /** Who has the last word on labels and weight: the node when it registers, or an operator who set them. */
  placement_set_by: z.enum(['registration', 'operator']).default('registration'),
});

export const nodeCalls = {
  registerNode: {
    method: 'POST',
    path: '/cluster/nodes/register',
    resource: 'nodes',
    summary: 'Register a node (or a restarted one) and get its credential',
    callers: ['joiner', 'nodeKey', 'admin'],
    body: registerRequestSchema,
    response: registerResponseSchema,
  },
  listNodes: {
    method: 'GET',
    path: '/cluster/nodes',
    resource: 'nodes',
    summary: 'List nodes by id',
    callers: ['admin', 'node'],
    query: z.strictObject(pageQuery),
    response: z.object({ nodes: z.array(nodeSchema), ...pageAnswer }),
  },
  getNode: {
    method: 'GET',
    path: '/cluster/nodes/{node_id}',
    resource: 'nodes',
    revisionOf: 'node',
    summary: 'One node',
    callers: ['admin', 'node'],
    params: nodeParams,
    response: nodeSchema.extend({
      incarnation: systemIdSchema.nullable(),
      store_uuid: systemIdSchema,
      leaders: counterSchema,
      fence_open: z.boolean(),
      registered_at: timestampSchema,
    }),
  },
  heartbeat: {
    method: 'POST',
    path: '/cluster/nodes/{node_id}/heartbeat',
    resource: 'heartbeat',
    summary: 'Renew the lease of the calling node',
    callers: ['node'],
    params: nodeParams,
    body: heartbeatRequestSchema,
    response: heartbeatResponseSchema,
  },
  heartbeats: {
    method: 'POST',
    path: '/cluster/heartbeats',
    resource: 'heartbeat',
    summary: 'Renew the leases of up to 100 nodes through the calling relay, each under its own credential',
    callers: ['node'],
    body: heartbeatsRequestSchema,
    response: heartbeatsResponseSchema,
  },
  releaseNode: {
    method: 'POST',
    path: '/cluster/nodes/{node_id}/release',
    resource: 'heartbeat',
    summary: 'Give up the lease of the calling node (clean stop)',
    callers: ['node'],
    params: nodeParams,
    body: releaseRequestSchema,
    response: z.object({ status: z.literal('success') }),
  },
  report: {
    method: 'POST',
    path: '/cluster/nodes/{node_id}/reports',
    resource: 'heartbeat',
    summary: 'Replica proposals, silent leaders, receipts and acknowledgements of the calling node',
    callers: ['node'],
    params: nodeParams,
    body: reportsRequestSchema,
    response: reportsResponseSchema,
  },
  createJoinToken: {
    method: 'POST',
    path: '/cluster/join-tokens',
    resource: 'nodes',
    summary: 'Issue a single-use join token',
    callers: ['admin'],
    idempotent: true,
    body: z.strictObject({ lifetime_seconds: z.int().min(60).max(604_800).optional() }),
    response: z.object({
      status: z.literal('success'),
      token_id: systemIdSchema,
      join_token: z.string(),
      expires_at: timestampSchema,
    }),
  },
} as const satisfies Record<string, Call>;

export const clusterCalls = {
  clusterHealth: {
    method: 'GET',
    path: '/cluster/health',
    resource: 'cluster',
    summary: 'Health of the cluster: nodes, detector, brake, open fences',
    callers: ['admin', 'node'],
    response: z.object({
      status: z.enum(['HEALTHY', 'DEGRADED', 'CRITICAL']),
      nodes: z.object({
        total: counterSchema,
        healthy: counterSchema,
        unhealthy: counterSchema,
        decommissioning: counterSchema,
      }),
      tables: counterSchema,
      open_fences: z.array(z.object({ node_id: nodeIdSchema, node_epoch: epochSchema })),
      detector: z.object({
        holder: z.string().nullable(),
        beat: counterSchema,
        braked: z.boolean(),
        brake_reason: z.string().nullable(),
      }),
      /** What is wrong and what to do, in words; empty when healthy. */
      problems: z.array(z.string()),
    }),
  },
} as const satisfies Record<string, Call>;
