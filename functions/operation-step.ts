import { lambdaRuntime } from '../shared/runtime/lambda-runtime.ts';
import { operationStepHandler } from '../shared/runtime/operation-steps.ts';
import type { RuntimeSource } from '../shared/runtime/runtime.ts';

/** Every Task of every state machine: `{operation_id, step, task_token?}` -> `{next}`. */
export const create = (source: RuntimeSource) => operationStepHandler(source);

export const handler = create(lambdaRuntime);
