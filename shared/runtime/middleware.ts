import type { Context } from 'aws-lambda';
import type { MiddlewareObj, Request } from '@middy/core';
import type { Call } from '../contracts/api/call.ts';
import { unauthenticated } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { assertNever } from '../domain/result.ts';
import type { Deps } from '../ports.ts';
import { principalName } from '../usecases/principal.ts';
import { authenticate } from './authenticate.ts';
import { readEvent, toResult } from './http-event.ts';
import type { ApiEvent, ApiResult, HttpRequest } from './http-event.ts';
import { faultOf, problemAnswer, Refusal, statusOf } from './problem.ts';
import { forbiddenKind, forbiddenNode, fromContext } from './principal.ts';
import type { OutsidePrincipal } from './principal.ts';
import type { Match, Router } from './router.ts';
import type { Runtime, RuntimeSource } from './runtime.ts';
import { validateInput } from './validation.ts';
import type { ValidInput } from './validation.ts';

/** The steps of every API request, in the order in which api-handler.ts stacks them. */

/** What the steps of one request learn and pass on. */
export interface Exchange extends Record<string, unknown> {
  runtime?: Runtime;
  startedMs?: number;
  request?: HttpRequest;
  match?: Match;
  principal?: OutsidePrincipal;
  input?: ValidInput;
  /** Code of the refusal that the use case answered with. */
  refusal?: string;
}

type Step = MiddlewareObj<ApiEvent, ApiResult, Error, Context, Exchange>;
type ApiRequest = Request<ApiEvent, ApiResult, Error, Context, Exchange>;

/** A value that an earlier step has put there. */
export function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('middleware is stacked in the wrong order');
  return value;
}

/** Outermost: composes the dependencies, reads the event, turns every failure into problem details, writes one log line. */
export function envelope(source: RuntimeSource): Step {
  const finish = (request: ApiRequest, code: string | null): void => {
    const { runtime, startedMs, request: http, match, principal } = request.internal;
    runtime?.deps.log.info('request', {
      request_id: http?.requestId,
      method: http?.method,
      call: match?.name ?? null,
      // Paths of calls only: a path nobody serves may hold anything.
      path: match?.call.path ?? null,
      status: request.response?.statusCode,
      code,
      caller: principal === undefined ? null : principalName(principal),
      duration_ms: Math.round(runtime.deps.clock.monotonicMs() - known(startedMs)),
    });
  };
  return {
    before: async (request) => {
      const runtime = await source();
      request.internal.runtime = runtime;
      request.internal.startedMs = runtime.deps.clock.monotonicMs();
      request.internal.request = readEvent(request.event);
    },
    after: (request) => finish(request, request.internal.refusal ?? null),
    onError: (request) => {
      const { runtime, request: http } = request.internal;
      const requestId = http?.requestId ?? 'none';
      const fault = faultOf(request.error);
      if (statusOf(fault) >= 500 || !(request.error instanceof Refusal)) {
        runtime?.deps.log.error('request-failed', { request_id: requestId, error: request.error });
      }
      request.response = toResult(problemAnswer(fault, requestId), requestId);
      finish(request, fault.code);
    },
  };
}

export function routing(router: Router): Step {
  return {
    before: (request) => {
      const http = known(request.internal.request);
      request.internal.match = router(http.method, http.path);
    },
  };
}

/** Learns the caller from the authorizer, or checks the token itself behind a Function URL, and refuses kinds that may not call. */
export function authorization(): Step {
  return {
    before: async (request) => {
      const { call } = known(request.internal.match);
      if (call.callers.includes('public')) return;
      const runtime = known(request.internal.runtime);
      const principal = await callerOf(runtime, known(request.internal.request));
      const refused = forbiddenKind(call, principal) ?? (await voidCredential(runtime.deps, call, principal));
      if (refused !== null) throw new Refusal(refused);
      request.internal.principal = principal;
    },
  };
}

/**
 * A node's credential lasts a day, its membership may not. What nodes do for themselves (heartbeats, reports) looks at their lease, which a
 * decommission ends; what they only read looks at their record here, with one strong read. Null: the credential counts.
 */
async function voidCredential(deps: Deps, call: Call, principal: OutsidePrincipal): Promise<Fault | null> {
  if (principal.kind !== 'node' || !call.callers.includes('admin')) return null;
  const { nodeId } = principal;
  const stored = await deps.records.get('node', { nodeId });
  if (stored !== null && stored.value.membership !== 'DECOMMISSIONED') return null;
  return unauthenticated('UNAUTHENTICATED', `Node ${nodeId} has left the cluster: its credential is void.`);
}

async function callerOf(runtime: Runtime, http: HttpRequest): Promise<OutsidePrincipal> {
  switch (http.origin) {
    case 'function-url': {
      const caller = await authenticate(runtime.deps, http.headers.get('authorization'));
      if (!caller.ok) throw new Refusal(caller.error);
      return caller.value;
    }
    case 'rest-api': {
      const caller = http.authorizer === null ? null : fromContext(http.authorizer);
      if (caller === null) throw new Refusal(unauthenticated('UNAUTHENTICATED', 'This call needs a token.'));
      return caller;
    }
    default:
      return assertNever(http.origin);
  }
}

export function validation(): Step {
  return {
    before: (request) => {
      const { call, params } = known(request.internal.match);
      const input = validateInput(call, params, known(request.internal.request));
      const { principal } = request.internal;
      const refused = principal === undefined ? null : forbiddenNode(call, principal, input);
      if (refused !== null) throw new Refusal(refused);
      request.internal.input = input;
    },
  };
}
