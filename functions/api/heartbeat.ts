import { heartbeat, releaseNode } from '../../shared/usecases/heartbeat.ts';
import { heartbeats } from '../../shared/usecases/heartbeats.ts';
import { report } from '../../shared/usecases/reports.ts';
import { apiHandler } from '../../shared/runtime/api-handler.ts';
import { lambdaRuntime } from '../../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../../shared/runtime/runtime.ts';

/** What nodes say of themselves: heartbeats, releases, reports. */
export const create = (source: RuntimeSource) =>
  apiHandler('heartbeat', { heartbeat, heartbeats, releaseNode, report }, source);

export const handler = create(lambdaRuntime);
