import { calls } from '../shared/contracts/api/index.ts';
import type { ControlPlane } from './control-plane.ts';
import { ClientError } from './errors.ts';
import type { ClientEnvironment } from './ports.ts';

/** The token that data nodes check: fetched when first needed, renewed before it expires, one request at a time. */
const LIFETIME_SECONDS = 3_600;
/** Renewed after this share of its life, counted from before the request, so that skew of wall clocks does no harm. */
const RENEW_AFTER = 0.8;
const TIMEOUT_MS = 5_000;

export class DataToken {
  private readonly controlPlane: ControlPlane;
  private readonly clock: ClientEnvironment['clock'];
  private current: { readonly token: string; readonly renewAtMs: number } | null = null;
  private fetching: Promise<string> | null = null;

  constructor(controlPlane: ControlPlane, clock: ClientEnvironment['clock']) {
    this.controlPlane = controlPlane;
    this.clock = clock;
  }

  /** Throws `ClientError`: RETRYABLE when the control plane did not answer. */
  async get(): Promise<string> {
    if (this.current !== null && this.clock.monotonicMs() < this.current.renewAtMs) return this.current.token;
    this.fetching ??= this.fetch().finally(() => {
      this.fetching = null;
    });
    return this.fetching;
  }

  /** A node refused `token`: the next `get` fetches another one. */
  refused(token: string): void {
    if (this.current?.token === token) this.current = null;
  }

  private async fetch(): Promise<string> {
    const askedAtMs = this.clock.monotonicMs();
    const outcome = await this.controlPlane.call({
      method: calls.createToken.method,
      path: calls.createToken.path,
      body: { scope: 'data', tables: ['*'], access: 'read-write', lifetime_seconds: LIFETIME_SECONDS },
      timeoutMs: TIMEOUT_MS,
    });
    if (outcome.kind === 'UNREACHABLE') throw new ClientError('RETRYABLE', outcome.message);
    if (outcome.kind === 'REFUSED') {
      const { status, problem } = outcome;
      const code = status === 401 ? 'UNAUTHENTICATED' : status === 403 ? 'FORBIDDEN' : 'RETRYABLE';
      throw new ClientError(code, problem.detail);
    }
    const parsed = calls.createToken.response.safeParse(outcome.body);
    if (!parsed.success) throw new ClientError('RETRYABLE', 'the answer holds no data token');
    this.current = { token: parsed.data.token, renewAtMs: askedAtMs + LIFETIME_SECONDS * 1000 * RENEW_AFTER };
    return parsed.data.token;
  }
}
