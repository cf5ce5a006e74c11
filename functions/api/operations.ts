import {
  cancelOperation,
  getOperation,
  listOperationParts,
  listOperations,
  pauseOperation,
  redriveOperation,
  resumeOperation,
} from '../../shared/usecases/operations.ts';
import { apiHandler } from '../../shared/runtime/api-handler.ts';
import { lambdaRuntime } from '../../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../../shared/runtime/runtime.ts';

/** `/operations`. */
export const create = (source: RuntimeSource) =>
  apiHandler(
    'operations',
    {
      listOperations,
      getOperation,
      listOperationParts,
      pauseOperation,
      resumeOperation,
      cancelOperation,
      redriveOperation,
    },
    source,
  );

export const handler = create(lambdaRuntime);
