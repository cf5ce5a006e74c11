import { ResponseType } from 'aws-cdk-lib/aws-apigateway';
import type { RestApi } from 'aws-cdk-lib/aws-apigateway';

/**
 * The gateway's own answers as problem details (RFC 9457), as the functions spell them. Every kind that a caller can meet is
 * named: under a default kind the gateway picks the status, and the body could not tell it.
 */
export interface GatewayAnswer {
  readonly id: string;
  readonly type: ResponseType;
  readonly status: 400 | 401 | 403 | 404 | 413 | 429 | 500 | 503;
  /** Code of the problem; '$...': a variable of the gateway, then `kind` stands in the type and title. */
  readonly code: string;
  readonly kind?: string;
  /** Text or, starting with '$', a variable of the gateway. */
  readonly detail: string;
}

const unknownOutcome = 'The function did not answer; whether the request took effect is unknown. Look, then retry.';

export const gatewayAnswers: readonly GatewayAnswer[] = [
  {
    id: 'NoToken',
    type: ResponseType.UNAUTHORIZED,
    status: 401,
    code: 'UNAUTHENTICATED',
    detail: 'Send a token: `Authorization: Bearer <token>`.',
  },
  {
    // The authorizer denies only whom it can't authenticate, and says why in its context: a denial is 401 here.
    id: 'Denied',
    type: ResponseType.ACCESS_DENIED,
    status: 401,
    code: '$context.authorizer.code',
    kind: 'UNAUTHENTICATED',
    // Escaped by the authorizer: the gateway has no function for it, and puts in what it finds, letter by letter.
    detail: '$context.authorizer.message_in_json',
  },
  {
    id: 'AuthorizerFailed',
    type: ResponseType.AUTHORIZER_FAILURE,
    status: 503,
    code: 'STORE_UNAVAILABLE',
    detail: 'The token could not be checked.',
  },
  {
    id: 'AuthorizerMisconfigured',
    type: ResponseType.AUTHORIZER_CONFIGURATION_ERROR,
    status: 503,
    code: 'STORE_UNAVAILABLE',
    detail: 'The token could not be checked.',
  },
  {
    // What the gateway says for a path that it does not know: the root, as `{proxy+}` takes all the others.
    id: 'UnknownPath',
    type: ResponseType.MISSING_AUTHENTICATION_TOKEN,
    status: 404,
    code: 'NOT_FOUND',
    detail: 'There is no such path. GET /openapi.json lists all of them.',
  },
  {
    id: 'NotFound',
    type: ResponseType.RESOURCE_NOT_FOUND,
    status: 404,
    code: 'NOT_FOUND',
    detail: 'There is no such path. GET /openapi.json lists all of them.',
  },
  {
    id: 'Filtered',
    type: ResponseType.WAF_FILTERED,
    status: 403,
    code: 'FORBIDDEN',
    detail: 'A filter of this deployment refused the request.',
  },
  {
    id: 'Throttled',
    type: ResponseType.THROTTLED,
    status: 429,
    code: 'OVERLOADED',
    detail: 'Too many requests; retry later.',
  },
  {
    id: 'OverQuota',
    type: ResponseType.QUOTA_EXCEEDED,
    status: 429,
    code: 'OVERLOADED',
    detail: 'The quota of requests is used up; retry later.',
  },
  {
    id: 'TooLarge',
    type: ResponseType.REQUEST_TOO_LARGE,
    status: 413,
    code: 'PAYLOAD_TOO_LARGE',
    detail: 'The request is too large.',
  },
  {
    id: 'TimedOut',
    type: ResponseType.INTEGRATION_TIMEOUT,
    status: 503,
    code: 'STORE_UNAVAILABLE',
    detail: unknownOutcome,
  },
  {
    id: 'Failed',
    type: ResponseType.INTEGRATION_FAILURE,
    status: 503,
    code: 'STORE_UNAVAILABLE',
    detail: unknownOutcome,
  },
  {
    id: 'Default4xx',
    type: ResponseType.DEFAULT_4XX,
    status: 400,
    code: 'INVALID_REQUEST',
    detail: '$context.error.messageString',
  },
  {
    id: 'Default5xx',
    type: ResponseType.DEFAULT_5XX,
    status: 500,
    code: 'INTERNAL',
    detail: 'The request failed inside the control plane; the log has the cause.',
  },
];

/** `NOT_FOUND` -> `not-found`, as in the functions' own problems. */
const urnPart = (code: string): string => code.toLowerCase().replaceAll('_', '-');
/** `NOT_FOUND` -> `Not found`. */
const title = (code: string): string => {
  const words = code.toLowerCase().replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
};

/** JSON of the answer. Variables are put in as they are, so that each must be safe there: ids and codes are, `message_in_json` is escaped. The gateway's `messageString` variables bring their quotes with them; others are plain text. */
export function problemTemplate({ status, code, kind, detail }: GatewayAnswer): string {
  const quoted = detail.endsWith('messageString') ? detail : JSON.stringify(detail);
  const named = kind ?? code;
  return (
    `{"type":"urn:shardkeeper:problem:${urnPart(named)}","title":"${title(named)}","status":${status},` +
    `"code":"${code}","detail":${quoted},"request_id":"$context.requestId"}`
  );
}

export function addGatewayResponses(api: RestApi): void {
  for (const answer of gatewayAnswers) {
    api.addGatewayResponse(answer.id, {
      type: answer.type,
      statusCode: String(answer.status),
      responseHeaders: {
        ...(answer.status === 429 || answer.status === 503 ? { 'Retry-After': "'1'" } : {}),
        ...(answer.status === 401 ? { 'WWW-Authenticate': "'Bearer'" } : {}),
        'Cache-Control': "'no-store'",
      },
      templates: { 'application/problem+json': problemTemplate(answer) },
    });
  }
}
