import type { Result } from '../../shared/domain/result.ts';

/** What the agent kit needs of its surroundings besides data-node/ports.ts. */

export interface ControlPlaneAnswer {
  readonly status: number;
  /** Parsed JSON; null when the body was none. */
  readonly body: unknown;
  /** Seconds of the header `Retry-After`; null without one. */
  readonly retryAfterSeconds: number | null;
}

/** One HTTP call to the control plane: JSON over HTTP in production, a function call in the simulation. */
export interface ControlPlaneTransport {
  /** Never throws. UNREACHABLE: no answer within `timeoutMs`; the request may or may not have been processed. */
  call(request: {
    readonly method: 'GET' | 'POST';
    readonly path: string;
    readonly bearer: string;
    /** JSON-serialisable; null for no body. */
    readonly body: unknown;
    readonly timeoutMs: number;
  }): Promise<Result<ControlPlaneAnswer, { readonly code: 'UNREACHABLE'; readonly message: string }>>;
}

/** Keeps the node's private key (PKCS #8, PEM) beside its data, readable by its owner alone. */
export interface NodeKeyStore {
  load(): string | null;
  /** Returns after the fsync. */
  save(pem: string): void;
}

/** The stable code of a refusal (RFC 9457), or a stand-in when the answer is no problem document. */
export function refusalOf(answer: ControlPlaneAnswer): { code: string; message: string } {
  const body = answer.body;
  if (typeof body === 'object' && body !== null && 'code' in body && typeof body.code === 'string') {
    const detail = 'detail' in body && typeof body.detail === 'string' ? body.detail : body.code;
    return { code: body.code, message: detail };
  }
  return { code: `HTTP_${answer.status}`, message: `the control plane answered ${answer.status}` };
}
