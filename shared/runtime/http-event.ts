import type { APIGatewayProxyEvent, APIGatewayProxyEventV2, APIGatewayProxyResult } from 'aws-lambda';
import { invalid } from '../domain/faults.ts';
import { Refusal } from './problem.ts';
import type { HttpAnswer } from './problem.ts';

/** A REST proxy event (version 1, with a stage) or a Function URL event (version 2, without): one shape for both. */
export type ApiEvent = APIGatewayProxyEvent | APIGatewayProxyEventV2;
export type ApiResult = APIGatewayProxyResult;

export interface HttpRequest {
  readonly method: string;
  /** Without the stage, as the caller wrote it (percent-encoding kept). */
  readonly path: string;
  /** Names in lower case; the last value of a repeated header. */
  readonly headers: ReadonlyMap<string, string>;
  /** Decoded name and value pairs, in order; a name may repeat. */
  readonly query: readonly (readonly [name: string, value: string])[];
  /** Body as text; null if there is none. */
  readonly body: string | null;
  readonly requestId: string;
  /** What the authorizer said; null if none ran: a public path, or a Function URL, where the token is checked inside. */
  readonly authorizer: Readonly<Record<string, unknown>> | null;
  readonly origin: 'rest-api' | 'function-url';
}

/** Reads an event. Throws `Refusal` (400) for a body that is no UTF-8 text or a query that is no percent-encoding. */
export function readEvent(event: ApiEvent): HttpRequest {
  return 'version' in event && event.version === '2.0'
    ? fromVersion2(event)
    : fromVersion1(event as APIGatewayProxyEvent);
}

function fromVersion1(event: APIGatewayProxyEvent): HttpRequest {
  // An emulator or a test may leave fields out that AWS always sends: the type promises more than the wire keeps.
  const sparse: Partial<APIGatewayProxyEvent> = event;
  const headers = new Map<string, string>();
  for (const [name, value] of Object.entries(sparse.headers ?? {})) if (value) headers.set(name.toLowerCase(), value);
  for (const [name, values] of Object.entries(sparse.multiValueHeaders ?? {})) {
    const last = values?.at(-1);
    if (last !== undefined) headers.set(name.toLowerCase(), last);
  }
  return {
    method: event.httpMethod.toUpperCase(),
    path: event.path,
    headers,
    query: queryOfVersion1(sparse),
    body: readBody(sparse.body ?? null, sparse.isBase64Encoded === true),
    requestId: requestIdOf(headers, sparse.requestContext?.requestId),
    authorizer: sparse.requestContext?.authorizer ?? null,
    origin: 'rest-api',
  };
}

function queryOfVersion1(event: Partial<APIGatewayProxyEvent>): [string, string][] {
  const multi = Object.entries(event.multiValueQueryStringParameters ?? {});
  if (multi.length > 0)
    return multi.flatMap(([name, values]) => (values ?? []).map((v): [string, string] => [name, v]));
  return Object.entries(event.queryStringParameters ?? {}).map(([name, value]) => [name, value ?? '']);
}

function fromVersion2(event: APIGatewayProxyEventV2): HttpRequest {
  const headers = new Map<string, string>();
  for (const [name, value] of Object.entries(event.headers)) if (value) headers.set(name.toLowerCase(), value);
  return {
    method: event.requestContext.http.method.toUpperCase(),
    path: event.rawPath,
    headers,
    query: parseQuery(event.rawQueryString),
    body: readBody(event.body ?? null, event.isBase64Encoded),
    requestId: requestIdOf(headers, event.requestContext.requestId),
    authorizer: null,
    origin: 'function-url',
  };
}

/** Splits a raw query string. Throws `Refusal` (400, field `query`) if it is not percent-encoded UTF-8. */
export function parseQuery(raw: string): [string, string][] {
  if (raw === '') return [];
  try {
    const pairs = raw.split('&').filter((pair) => pair !== '');
    return pairs.map((pair) => {
      const equals = pair.indexOf('=');
      const decode = (text: string): string => decodeURIComponent(text.replaceAll('+', ' '));
      return equals < 0 ? [decode(pair), ''] : [decode(pair.slice(0, equals)), decode(pair.slice(equals + 1))];
    });
  } catch {
    throw new Refusal(invalid('INVALID_REQUEST', 'The query string is not percent-encoded UTF-8.', { field: 'query' }));
  }
}

function readBody(body: string | null, isBase64: boolean): string | null {
  if (body === null || body === '') return null;
  if (!isBase64) return body;
  try {
    // A byte order mark stays, as in a body that came as text: it is no JSON, whichever door it came by.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(body, 'base64'));
  } catch {
    throw new Refusal(invalid('INVALID_REQUEST', 'The body is not UTF-8 text.', { field: 'body' }));
  }
}

/** Characters of a caller's own request id that are echoed. */
const REQUEST_ID_PATTERN = /^[A-Za-z0-9._:-]{1,128}$/;

function requestIdOf(headers: ReadonlyMap<string, string>, given: string | undefined): string {
  const own = headers.get('x-request-id');
  if (own !== undefined && REQUEST_ID_PATTERN.test(own)) return own;
  return given ?? 'none';
}

/** The answer as API Gateway takes it, with the request id echoed. */
export function toResult(answer: HttpAnswer, requestId: string): ApiResult {
  const text = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body);
  return {
    statusCode: answer.status,
    headers: {
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...answer.headers,
      'x-request-id': requestId,
    },
    body: text,
    isBase64Encoded: false,
  };
}
