import * as z from 'zod';
import { routeSchema } from '../data/rows.ts';
import { keySchema, pageAnswer, pageQuery, tableNameSchema } from '../primitives.ts';
import type { Call } from './call.ts';

const tableParams = z.strictObject({ table: tableNameSchema });
/** Keys looked up by one call: each costs one store request. */
export const ROUTE_BATCH_KEYS_MAX = 100;

export const routeCalls = {
  getRoute: {
    method: 'GET',
    path: '/routes/{table}',
    resource: 'routes',
    summary: 'The route of a key',
    callers: ['admin', 'node'],
    params: tableParams,
    query: z.strictObject({ key: keySchema }),
    response: routeSchema,
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
} as const satisfies Record<string, Call>;
