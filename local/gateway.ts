import type { APIGatewayProxyEvent, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import * as auth from '../functions/api/auth.ts';
import * as cluster from '../functions/api/cluster.ts';
import * as config from '../functions/api/config.ts';
import * as heartbeat from '../functions/api/heartbeat.ts';
import * as meta from '../functions/api/meta.ts';
import * as nodes from '../functions/api/nodes.ts';
import * as operations from '../functions/api/operations.ts';
import * as recovery from '../functions/api/recovery.ts';
import * as routes from '../functions/api/routes.ts';
import * as shards from '../functions/api/shards.ts';
import * as tables from '../functions/api/tables.ts';
import * as authorizer from '../functions/authorizer.ts';
import { frontDoor } from '../infra/front-door.ts';
import type { ApiEntry, FrontDoorPath } from '../infra/front-door.ts';
import { unauthenticated, unavailable } from '../shared/domain/faults.ts';
import type { FaultCode } from '../shared/domain/faults.ts';
import type { ApiHandler } from '../shared/runtime/api-handler.ts';
import { parseQuery, toResult } from '../shared/runtime/http-event.ts';
import type { ApiResult } from '../shared/runtime/http-event.ts';
import { faultOf, problemAnswer } from '../shared/runtime/problem.ts';
import type { RuntimeSource } from '../shared/runtime/runtime.ts';

/**
 * API Gateway on one machine: true REST proxy events (version 1, with a stage), the authorizer's handler, then the handler of
 * the entry that serves the path. No socket: the HTTP server, tests and the simulation call `handle`.
 */
export interface GatewayRequest {
  readonly method: string;
  /** Path as it came, percent-encoded, without query. */
  readonly path: string;
  /** Without `?`; empty if there is none. */
  readonly query?: string;
  /** Name and value pairs as they came. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** Text; null or missing: no body. */
  readonly body?: string | null;
  readonly sourceIp?: string;
}

export interface Gateway {
  handle(request: GatewayRequest): Promise<ApiResult>;
}

const AUTHORIZER_FAILURE = unavailable('STORE_UNAVAILABLE', 'The token could not be checked.', {
  retryAfterSeconds: 1,
});

const STAGE = 'local';
const API_ID = 'local';
const ACCOUNT = '000000000000';

export function createGateway(source: RuntimeSource): Gateway {
  const entries: Readonly<Record<ApiEntry, ApiHandler>> = {
    nodes: nodes.create(source),
    heartbeat: heartbeat.create(source),
    shards: shards.create(source),
    tables: tables.create(source),
    routes: routes.create(source),
    config: config.create(source),
    operations: operations.create(source),
    auth: auth.create(source),
    cluster: cluster.create(source),
    recovery: recovery.create(source),
    meta: meta.create(source),
  };
  const authorize = authorizer.create(source);

  return {
    handle: async (request) => {
      const { deps } = await source();
      const requestId = deps.random.hex(16);
      const door = matchFrontDoor(request.path);
      let event: APIGatewayProxyEvent;
      try {
        event = proxyEvent(request, door, requestId, deps.clock.wallMs());
      } catch (error) {
        return toResult(problemAnswer(faultOf(error), requestId), requestId);
      }
      if (door.authorizer === 'none') return entries[door.entry](event);
      try {
        const refused = await authorizeEvent(authorize, event, requestId);
        if (refused !== null) return refused;
      } catch (error) {
        deps.log.error('authorizer-failed', { request_id: requestId, error });
        return toResult(problemAnswer(AUTHORIZER_FAILURE, requestId), requestId);
      }
      return entries[door.entry](event);
    },
  };
}

/** Puts the authorizer's context into the event, or answers as the gateway's UNAUTHORIZED and ACCESS_DENIED responses do (infra/api-stack). */
async function authorizeEvent(
  authorize: authorizer.Handler,
  event: APIGatewayProxyEvent,
  requestId: string,
): Promise<ApiResult | null> {
  const refuse = (code: FaultCode, message: string): ApiResult =>
    toResult(problemAnswer(unauthenticated(code, message), requestId), requestId);
  // The authorizer's identity source: without it the gateway does not even ask.
  const named = Object.keys(event.headers).some((name) => name.toLowerCase() === 'authorization');
  if (!named) return refuse('UNAUTHENTICATED', 'Send a token: `Authorization: Bearer <token>`.');
  const answer = await authorize(authorizerEvent(event));
  const context = answer.context ?? {};
  const allowed = answer.policyDocument.Statement.every((statement) => statement.Effect === 'Allow');
  if (!allowed) return refuse((context['code'] ?? 'UNAUTHENTICATED') as FaultCode, String(context['message'] ?? ''));
  event.requestContext.authorizer = { ...context, principalId: answer.principalId, integrationLatency: 0 };
  return null;
}

const segmentsOf = (path: string): readonly string[] => path.split('/').slice(1);

/** API Gateway's choice: literal before variable before `{proxy+}`, segment by segment. */
export function matchFrontDoor(path: string): FrontDoorPath {
  const known = doorsByPath.get(path);
  if (known !== undefined) return known;
  const door = doorOf(segmentsOf(path));
  if (doorsByPath.size >= PATHS_KEPT_MAX) doorsByPath.clear();
  doorsByPath.set(path, door);
  return door;
}

/** Paths whose doors are remembered: nodes ask for the same few again and again. Beyond it all are forgotten. */
const PATHS_KEPT_MAX = 1_024;
const doorsByPath = new Map<string, FrontDoorPath>();

function doorOf(segments: readonly string[]): FrontDoorPath {
  let best: { readonly door: FrontDoorPath; readonly rank: string } | null = null;
  for (const { door, pattern } of DOORS) {
    const rank = rankOf(pattern, segments);
    if (rank !== null && (best === null || rank < best.rank)) best = { door, rank };
  }
  return best?.door ?? { path: '/{proxy+}', entry: 'meta', authorizer: 'none' };
}

const DOORS = frontDoor.map((door) => ({ door, pattern: segmentsOf(door.path) }));

/** One digit for each segment, lower is more specific; null if the pattern does not match. */
function rankOf(pattern: readonly string[], segments: readonly string[]): string | null {
  let rank = '';
  for (const [index, part] of pattern.entries()) {
    if (part === '{proxy+}') return segments.length > index ? `${rank}2` : null;
    const segment = segments[index];
    if (segment === undefined) return null;
    if (part === segment) rank += '0';
    else if (part.startsWith('{')) rank += '1';
    else return null;
  }
  return segments.length === pattern.length ? rank : null;
}

function proxyEvent(
  request: GatewayRequest,
  door: FrontDoorPath,
  requestId: string,
  nowMs: number,
): APIGatewayProxyEvent {
  const headers = groupPairs(request.headers ?? []);
  const query = groupPairs(parseQuery(request.query ?? ''));
  const empty = request.body === undefined || request.body === null || request.body === '';
  return {
    resource: door.path,
    path: request.path,
    httpMethod: request.method,
    headers: lastOf(headers),
    multiValueHeaders: headers,
    queryStringParameters: Object.keys(query).length === 0 ? null : lastOf(query),
    multiValueQueryStringParameters: Object.keys(query).length === 0 ? null : query,
    pathParameters: door.path.includes('{proxy+}') ? { proxy: request.path.slice(1) } : null,
    stageVariables: null,
    requestContext: {
      accountId: ACCOUNT,
      apiId: API_ID,
      authorizer: null,
      protocol: 'HTTP/1.1',
      httpMethod: request.method,
      identity: {
        ...NO_IDENTITY,
        sourceIp: request.sourceIp ?? '127.0.0.1',
        userAgent: headers['user-agent']?.at(-1) ?? null,
      },
      path: `/${STAGE}${request.path}`,
      stage: STAGE,
      requestId,
      requestTimeEpoch: nowMs,
      resourceId: door.path,
      resourcePath: door.path,
    },
    body: empty ? null : (request.body ?? null),
    isBase64Encoded: false,
  };
}

const NO_IDENTITY = {
  accessKey: null,
  accountId: null,
  apiKey: null,
  apiKeyId: null,
  caller: null,
  clientCert: null,
  cognitoAuthenticationProvider: null,
  cognitoAuthenticationType: null,
  cognitoIdentityId: null,
  cognitoIdentityPoolId: null,
  principalOrgId: null,
  user: null,
  userArn: null,
} as const;

function authorizerEvent(event: APIGatewayProxyEvent): APIGatewayRequestAuthorizerEvent {
  const arn = `arn:aws:execute-api:local:${ACCOUNT}:${API_ID}/${STAGE}/${event.httpMethod}${event.path}`;
  return {
    type: 'REQUEST',
    methodArn: arn,
    resource: event.resource,
    path: event.path,
    httpMethod: event.httpMethod,
    headers: event.headers,
    multiValueHeaders: event.multiValueHeaders,
    pathParameters: event.pathParameters,
    queryStringParameters: event.queryStringParameters,
    multiValueQueryStringParameters: event.multiValueQueryStringParameters,
    stageVariables: event.stageVariables,
    requestContext: { ...event.requestContext, authorizer: undefined },
  };
}

function groupPairs(pairs: readonly (readonly [string, string])[]): Record<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const [name, value] of pairs) {
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [value]);
    else group.push(value);
  }
  // `fromEntries` defines properties: a name like `__proto__` stays a name.
  return Object.fromEntries(groups);
}

const lastOf = (groups: Readonly<Record<string, string[]>>): Record<string, string> =>
  Object.fromEntries(Object.entries(groups).map(([name, values]) => [name, values.at(-1) ?? '']));
