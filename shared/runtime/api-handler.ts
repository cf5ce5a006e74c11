import type { Context } from 'aws-lambda';
import middy from '@middy/core';
import type { Call, Resource } from '../contracts/api/call.ts';
import type { CallName, Calls } from '../contracts/api/index.ts';
import type { Problem } from '../contracts/api/problem.ts';
import type { Fault } from '../domain/faults.ts';
import type { Result } from '../domain/result.ts';
import { Bug } from '../domain/result.ts';
import type { Deps, Principal } from '../ports.ts';
import { principalName } from '../usecases/principal.ts';
import type { UseCase } from '../usecases/types.ts';
import type { ApiEvent, ApiResult } from './http-event.ts';
import { toResult } from './http-event.ts';
import { idempotencyKeyOf, JSON_HEADERS, requestHash, withIdempotency } from './idempotency.ts';
import { currentRevision, etagOf, expectedRevision, subjectOf, withIfMatch } from './if-match.ts';
import { authorization, envelope, known, routing, validation } from './middleware.ts';
import type { Exchange } from './middleware.ts';
import { problemAnswer } from './problem.ts';
import type { HttpAnswer } from './problem.ts';
import { createRouter } from './router.ts';
import type { RuntimeSource } from './runtime.ts';
import type { ValidInput } from './validation.ts';

/** Calls that one Lambda entry serves. */
type CallsOf<R extends Resource> = { [N in CallName]: Calls[N]['resource'] extends R ? N : never }[CallName];
/** A use case for every call of the resource, no more and no fewer. */
export type UseCasesOf<R extends Resource> = { readonly [N in CallsOf<R>]: UseCase<N> };

export type ApiHandler = (event: ApiEvent, context?: unknown) => Promise<ApiResult>;

/** A use case, seen without the types of its call: what goes in was validated against that call's contract. */
type AnyUseCase = (deps: Deps, principal: Principal, input: ValidInput) => Promise<Result<unknown, Fault>>;

/** Who makes a call that needs no token. */
const ANONYMOUS: Principal = { kind: 'system', name: 'anonymous' };

type Carrier = Context & { exchange?: Exchange };

/** The handler of one resource: normalise, route, authorize, validate, idempotency, If-Match, use case, answer. */
export function apiHandler<R extends Resource>(
  resource: R,
  useCases: UseCasesOf<R>,
  source: RuntimeSource,
): ApiHandler {
  const byName = useCases as unknown as Readonly<Record<string, AnyUseCase>>;
  const base = async (_event: ApiEvent, context: Context): Promise<ApiResult> => {
    const exchange = known((context as Carrier).exchange);
    const answer = await answerCall(byName, exchange);
    if (answer.status !== 200) exchange.refusal = (answer.body as Problem).code;
    return toResult(answer, known(exchange.request).requestId);
  };
  // Lambda's own timeout ends a request that hangs; an early answer of middy's would leave its effect running behind it.
  const handler = middy<ApiEvent, ApiResult, Error, Context, Exchange>(base, { timeoutEarlyInMillis: 0 })
    .use(envelope(source))
    .use(routing(createRouter(resource)))
    .use(authorization())
    .use(validation())
    // middy hands the event and the context to the base handler, but not what the steps have noted.
    .before(({ context, internal }) => {
      (context as Carrier).exchange = internal;
    });
  return handler as unknown as ApiHandler;
}

async function answerCall(useCases: Readonly<Record<string, AnyUseCase>>, exchange: Exchange): Promise<HttpAnswer> {
  const { name, call } = known(exchange.match);
  const { deps, answers } = known(exchange.runtime);
  const { headers, requestId } = known(exchange.request);
  const input = known(exchange.input);
  const principal = exchange.principal ?? ANONYMOUS;
  const useCase = useCases[name];
  if (useCase === undefined) throw new Bug(`no use case for ${name}`);

  const subject = subjectOf(call, input.params);
  const work = async (depsOfWork: Deps): Promise<HttpAnswer> => {
    // Nodes change nothing by what they read of a resource: they need no revision, and the read.
    const isShown = subject !== null && call.method === 'GET' && principal.kind === 'admin';
    const revision = isShown ? await currentRevision(depsOfWork, subject) : null;
    const result = await useCase(depsOfWork, principal, input);
    if (!result.ok) return problemAnswer(result.error, requestId);
    if (answers === 'checked') checkAnswer(name, call, result.value);
    const etag = revision === null ? {} : { etag: etagOf(revision) };
    return { status: 200, headers: { ...JSON_HEADERS, ...etag }, body: result.value };
  };
  const expected = expectedRevision(call, headers);
  const run = (depsOfRun: Deps): Promise<HttpAnswer> =>
    expected === null || subject === null
      ? work(depsOfRun)
      : withIfMatch(depsOfRun, { subject, expected, requestId }, work);

  const key = call.idempotent === true ? idempotencyKeyOf(headers) : null;
  if (key === null) return run(deps);
  const scope = `${principalName(principal)}:${name}`;
  const asked = expected === null ? input : { ...input, ifMatch: expected };
  return withIdempotency(deps, { scope, key, requestHash: requestHash(asked) }, requestId, run);
}

function checkAnswer(name: string, call: Call, value: unknown): void {
  const parsed = call.response.safeParse(value);
  if (!parsed.success) throw new Bug(`the answer of ${name} breaks its contract: ${parsed.error.message}`);
}
