import * as z from 'zod';
import { pageAnswer, pageQuery, tableNameSchema, timestampSchema } from '../primitives.ts';
import type { Call } from './call.ts';

const httpUrlSchema = z.url({ protocol: /^https?$/ }).max(2048);

/**
 * Base URLs under which the hot calls are served besides the REST API, with the same paths, tokens and answers; null: at the
 * address that was asked, and nowhere else.
 */
export const clusterEndpointsSchema = z.object({
  /** `/cluster/nodes/{node_id}/heartbeat`, `.../release`, `.../reports`, and batches of heartbeats. */
  heartbeats: httpUrlSchema.nullable(),
  /** `/routes/...` */
  routes: httpUrlSchema.nullable(),
});
export type ClusterEndpoints = z.infer<typeof clusterEndpointsSchema>;

/** Configuration, tokens, audit, and the calls that describe the API itself. */
export const systemCalls = {
  getReplicationConfig: {
    method: 'GET',
    path: '/config/replication',
    resource: 'config',
    revisionOf: 'config',
    summary: 'Replication factor and strategy',
    callers: ['admin', 'node'],
    response: z.object({ replication_factor: z.int(), strategy: z.literal('rack-aware') }),
  },
  createToken: {
    method: 'POST',
    path: '/auth/token',
    resource: 'auth',
    summary: 'Issue a data token, which data nodes check',
    callers: ['admin'],
    body: z.strictObject({
      scope: z.literal('data'),
      tables: z
        .array(z.union([tableNameSchema, z.literal('*')]))
        .min(1)
        .max(100),
      access: z.enum(['read', 'read-write']),
      lifetime_seconds: z.int().min(60).max(86_400).optional(),
    }),
    response: z.object({ status: z.literal('success'), token: z.string(), expires_at: timestampSchema }),
  },
  listAudit: {
    method: 'GET',
    path: '/audit',
    resource: 'auth',
    summary: 'Audit entries of one entity, newest first',
    callers: ['admin'],
    query: z.strictObject({ ...pageQuery, entity: z.string().min(1).max(200) }),
    response: z.object({
      entries: z.array(
        z.object({
          entity: z.string(),
          number: z.int(),
          action: z.string(),
          principal: z.string(),
          at: timestampSchema,
          detail: z.json(),
        }),
      ),
      ...pageAnswer,
    }),
  },
  clusterEndpoints: {
    method: 'GET',
    path: '/cluster/endpoints',
    resource: 'cluster',
    summary: 'Addresses of the hot calls, for whoever knows this one',
    callers: ['admin', 'node'],
    response: clusterEndpointsSchema,
  },
  healthz: {
    method: 'GET',
    path: '/healthz',
    resource: 'meta',
    summary: 'True when the control plane can read its store',
    callers: ['public'],
    response: z.object({ status: z.literal('ok'), version: z.string() }),
  },
  openapi: {
    method: 'GET',
    path: '/openapi.json',
    resource: 'meta',
    summary: 'This API, as OpenAPI 3.1',
    callers: ['public'],
    response: z.json(),
  },
} as const satisfies Record<string, Call>;
