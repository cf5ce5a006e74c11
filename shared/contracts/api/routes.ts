import * as z from 'zod';
import { routeSchema } from '../data/rows.ts';
import {
  counterSchema,
  keySchema,
  millisSchema,
  pageAnswer,
  pageQuery,
  systemIdSchema,
  tableNameSchema,
  timestampSchema,
} from '../primitives.ts';
import type { Call } from './call.ts';

const tableParams = z.strictObject({ table: tableNameSchema });
/** Keys looked up by one call: each costs one store request. */
export const ROUTE_BATCH_KEYS_MAX = 100;

export const routeCalls = {
  getRoute: {
    method: 'GET',
    path: '/routes/{table}',
    resource: 'routes',
    summary: 'The route of a key, now or at a time that has passed',
    callers: ['admin', 'node'],
    params: tableParams,
    query: z.strictObject({ key: keySchema, at: timestampSchema.optional() }),
    /** With `at`: the route as it was then. Addresses are those that the nodes have now; `sync_status` is that of the last change of the route. */
    response: routeSchema.extend({
      at: timestampSchema.optional(),
      leader_since: timestampSchema.optional(),
      /** When the route changed next; null: it is still so. */
      until: timestampSchema.nullable().optional(),
    }),
  },
  batchRoutes: {
    method: 'POST',
    path: '/routes/{table}/batch',
    resource: 'routes',
    summary: "Routes of several keys, or a page of the table's routes in key order",
    callers: ['admin', 'node'],
    params: tableParams,
    body: z.union([
      z.strictObject({ keys: z.array(keySchema).min(1).max(ROUTE_BATCH_KEYS_MAX) }),
      z.strictObject({ from_key: keySchema.nullable(), limit: pageQuery.limit }),
    ]),
    /** For `keys`: the distinct routes, in key order. */
    response: z.object({ routes: z.array(routeSchema), ...pageAnswer }),
  },
  routeChanges: {
    method: 'GET',
    path: '/routes/{table}/changes',
    resource: 'routes',
    summary: "All of a table's routes, then each change of them: pass next_cursor again and again",
    callers: ['admin', 'node'],
    params: tableParams,
    /** `start`, without a cursor: 'snapshot' if left out; 'latest' leaves the snapshot out and tells what changes from now on. */
    query: z.strictObject({ ...pageQuery, start: z.enum(['snapshot', 'latest']).optional() }),
    response: z.object({
      /** SNAPSHOT: routes in key order, a page of all. DELTAS: routes that changed. */
      phase: z.enum(['SNAPSHOT', 'DELTAS']),
      /** In DELTAS lowest generation first. For each key the route with the highest generation is the newest; others are out of date. */
      routes: z.array(routeSchema),
      /** Shards that went into a merge; the route that took their place has this generation. */
      gone: z.array(z.object({ shard_id: systemIdSchema, generation: counterSchema })),
      /** Good for a week; then CURSOR_EXPIRED. */
      next_cursor: z.string(),
      /** True: ask again at once. */
      more: z.boolean(),
      /** Milliseconds after which asking again makes sense. */
      poll_after_ms: millisSchema,
    }),
  },
} as const satisfies Record<string, Call>;
