import { listAudit } from '../../shared/usecases/audit.ts';
import { listDecisions } from '../../shared/usecases/decisions.ts';
import { createToken } from '../../shared/usecases/tokens.ts';
import { apiHandler } from '../../shared/runtime/api-handler.ts';
import { lambdaRuntime } from '../../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../../shared/runtime/runtime.ts';

/** `/auth`, `/audit` and `/decisions`. */
export const create = (source: RuntimeSource) => apiHandler('auth', { createToken, listAudit, listDecisions }, source);

export const handler = create(lambdaRuntime);
