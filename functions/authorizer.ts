import { authorizerHandler } from '../shared/runtime/authorizer.ts';
import { lambdaRuntime } from '../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../shared/runtime/runtime.ts';

/** Checks the bearer token of every request to a call that is not public. */
export const create = (source: RuntimeSource) => authorizerHandler(source);

export type Handler = ReturnType<typeof create>;

export const handler = create(lambdaRuntime);
