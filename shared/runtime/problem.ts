import type { Fault, FaultKind } from '../domain/faults.ts';
import type { Problem } from '../contracts/api/problem.ts';
import { PROBLEM_CONTENT_TYPE } from '../contracts/api/problem.ts';
import { SignerError, StoreError } from '../ports.ts';

/** Failures as RFC 9457 problem details: the one place where a `Fault` becomes HTTP. */

const STATUS_OF_KIND: Readonly<Record<FaultKind, number>> = {
  INVALID: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  CONFLICT: 409,
  PRECONDITION_FAILED: 412,
  OVERLOADED: 429,
  UNAVAILABLE: 503,
};

/** Failures that only HTTP knows. */
export const HTTP_CODES = ['METHOD_NOT_ALLOWED', 'PAYLOAD_TOO_LARGE', 'INTERNAL'] as const;
export type HttpCode = (typeof HTTP_CODES)[number];
const STATUS_OF_HTTP_CODE: Readonly<Record<HttpCode, number>> = {
  METHOD_NOT_ALLOWED: 405,
  PAYLOAD_TOO_LARGE: 413,
  INTERNAL: 500,
};

export interface HttpFault {
  readonly kind: 'HTTP';
  readonly code: HttpCode;
  readonly message: string;
  readonly field?: string;
  /** For METHOD_NOT_ALLOWED. */
  readonly allow?: readonly string[];
}

/** Carries a refusal from a middleware to the one that answers. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly fault: Fault | HttpFault;
  constructor(fault: Fault | HttpFault) {
    super(`${fault.code}: ${fault.message}`);
    this.fault = fault;
  }
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** Seconds after which a refused caller may try again, when the store throttles or is away. */
const STORE_RETRY_AFTER_SECONDS = 1;

/** And when the signing key throttles or is away. */
const SIGNER_RETRY_AFTER_SECONDS = 5;

/** The fault that a failure stands for. Anything unexpected is INTERNAL, without a word of what it was. */
export function faultOf(error: unknown): Fault | HttpFault {
  if (error instanceof Refusal) return error.fault;
  if (error instanceof SignerError) {
    return {
      kind: 'UNAVAILABLE',
      code: error.code,
      message: 'The signing key of the control plane does not answer; retry later.',
      retryAfterSeconds: SIGNER_RETRY_AFTER_SECONDS,
    };
  }
  if (error instanceof StoreError && error.code === 'THROTTLED') {
    return {
      kind: 'OVERLOADED',
      code: 'OVERLOADED',
      message: 'The metadata store limits the request rate; retry later.',
      retryAfterSeconds: STORE_RETRY_AFTER_SECONDS,
    };
  }
  if (error instanceof StoreError && (error.code === 'UNAVAILABLE' || error.code === 'TRANSACTION_CONFLICT')) {
    return {
      kind: 'UNAVAILABLE',
      code: 'STORE_UNAVAILABLE',
      message: 'The metadata store did not complete the request; whether it took effect is unknown. Look, then retry.',
      retryAfterSeconds: STORE_RETRY_AFTER_SECONDS,
    };
  }
  return {
    kind: 'HTTP',
    code: 'INTERNAL',
    message: 'The request failed inside the control plane; the log has the cause.',
  };
}

export function statusOf(fault: Fault | HttpFault): number {
  return fault.kind === 'HTTP' ? STATUS_OF_HTTP_CODE[fault.code] : STATUS_OF_KIND[fault.kind];
}

/** Problem details of a fault. `detail` entries of the fault become members of their own and never replace the standard ones. */
export function problemOf(fault: Fault | HttpFault, requestId: string): Problem {
  const facts = fault.kind === 'HTTP' ? {} : (fault.detail ?? {});
  return {
    ...facts,
    type: `urn:shardkeeper:problem:${fault.code.toLowerCase().replaceAll('_', '-')}`,
    title: titleOf(fault.code),
    status: statusOf(fault),
    code: fault.code,
    detail: fault.message,
    ...(fault.field === undefined ? {} : { field: fault.field }),
    request_id: requestId,
  };
}

export function problemAnswer(fault: Fault | HttpFault, requestId: string): HttpAnswer {
  const headers: Record<string, string> = { 'content-type': PROBLEM_CONTENT_TYPE };
  if (fault.kind === 'HTTP' && fault.allow !== undefined) headers['allow'] = fault.allow.join(', ');
  if (fault.kind === 'UNAUTHENTICATED') headers['www-authenticate'] = 'Bearer';
  if (fault.kind !== 'HTTP' && fault.retryAfterSeconds !== undefined) {
    headers['retry-after'] = String(Math.ceil(fault.retryAfterSeconds));
  }
  return { status: statusOf(fault), headers, body: problemOf(fault, requestId) };
}

/** `TABLE_EXISTS` -> `Table exists`. */
function titleOf(code: string): string {
  const words = code.toLowerCase().replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}
