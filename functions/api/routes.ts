import { routeChanges } from '../../shared/usecases/route-changes.ts';
import { batchRoutes, getRoute } from '../../shared/usecases/routes.ts';
import { apiHandler } from '../../shared/runtime/api-handler.ts';
import { lambdaRuntime } from '../../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../../shared/runtime/runtime.ts';

/** `/routes`. */
export const create = (source: RuntimeSource) => apiHandler('routes', { getRoute, batchRoutes, routeChanges }, source);

export const handler = create(lambdaRuntime);
