import { listAudit } from '../../shared/usecases/audit.ts';
import { createToken } from '../../shared/usecases/tokens.ts';
import { apiHandler } from '../../shared/runtime/api-handler.ts';
import { lambdaRuntime } from '../../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../../shared/runtime/runtime.ts';

/** `/auth` and `/audit`. */
export const create = (source: RuntimeSource) => apiHandler('auth', { createToken, listAudit }, source);

export const handler = create(lambdaRuntime);
