import { healthz, openapi } from '../../shared/runtime/describe-api.ts';
import { apiHandler } from '../../shared/runtime/api-handler.ts';
import { lambdaRuntime } from '../../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../../shared/runtime/runtime.ts';

/** `/healthz` and `/openapi.json`: public. */
export const create = (source: RuntimeSource) => apiHandler('meta', { healthz, openapi }, source);

export const handler = create(lambdaRuntime);
