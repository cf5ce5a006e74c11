import { apiHandler } from '../../shared/runtime/api-handler.ts';
import { lambdaRuntime } from '../../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../../shared/runtime/runtime.ts';
import { closeRecovery, listRecoveries, recoverShards } from '../../shared/usecases/recovery.ts';

/** `/recovery`. */
export const create = (source: RuntimeSource) =>
  apiHandler('recovery', { recoverShards, listRecoveries, closeRecovery }, source);

export const handler = create(lambdaRuntime);
