import { sequenceChangesHandler } from '../shared/runtime/feed-stream.ts';
import { lambdaRuntime } from '../shared/runtime/lambda-runtime.ts';

/** Stream of the events table -> feeds: routes that changed, decisions that were made (ADR 13). */
export const create = sequenceChangesHandler;

export const handler = create(lambdaRuntime);
