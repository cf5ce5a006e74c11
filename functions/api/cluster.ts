import { clusterHealth } from '../../shared/usecases/cluster-health.ts';
import { clusterEndpoints } from '../../shared/usecases/cluster-endpoints.ts';
import { apiHandler } from '../../shared/runtime/api-handler.ts';
import { lambdaRuntime } from '../../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../../shared/runtime/runtime.ts';

/** `/cluster/health`, `/cluster/endpoints`. */
export const create = (source: RuntimeSource) => apiHandler('cluster', { clusterHealth, clusterEndpoints }, source);

export const handler = create(lambdaRuntime);
