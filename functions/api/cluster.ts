import { clusterHealth } from '../../shared/usecases/cluster-health.ts';
import { apiHandler } from '../../shared/runtime/api-handler.ts';
import { lambdaRuntime } from '../../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../../shared/runtime/runtime.ts';

/** `/cluster/health`. */
export const create = (source: RuntimeSource) => apiHandler('cluster', { clusterHealth }, source);

export const handler = create(lambdaRuntime);
