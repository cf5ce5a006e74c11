import { problemSchema } from '../shared/contracts/api/problem.ts';
import type { Problem } from '../shared/contracts/api/problem.ts';
import type { ClientNetwork } from './ports.ts';

/** Calls to the REST API with the administrator's token. */
export type ApiOutcome =
  | { readonly kind: 'OK'; readonly body: unknown }
  | { readonly kind: 'REFUSED'; readonly status: number; readonly problem: Problem }
  | { readonly kind: 'UNREACHABLE'; readonly message: string };

export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
  readonly timeoutMs: number;
  readonly idempotencyKey?: string;
}

export class ControlPlane {
  private readonly baseUrl: string;
  private readonly token: string;
  private readonly network: ClientNetwork;

  constructor(options: { readonly url: string; readonly token: string; readonly network: ClientNetwork }) {
    this.baseUrl = options.url.replace(/\/+$/, '');
    this.token = options.token;
    this.network = options.network;
  }

  async call(call: ApiCall): Promise<ApiOutcome> {
    const query = Object.entries(call.query ?? {})
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`)
      .join('&');
    const outcome = await this.network.call({
      method: call.method,
      url: `${this.baseUrl}${call.path}${query === '' ? '' : `?${query}`}`,
      bearer: this.token,
      body: call.body ?? null,
      timeoutMs: call.timeoutMs,
      ...(call.idempotencyKey === undefined ? {} : { headers: { 'idempotency-key': call.idempotencyKey } }),
    });
    if (outcome.kind === 'UNREACHABLE') return { kind: 'UNREACHABLE', message: outcome.message };
    if (outcome.status >= 200 && outcome.status < 300) return { kind: 'OK', body: outcome.body };
    const problem = problemSchema.safeParse(outcome.body);
    return {
      kind: 'REFUSED',
      status: outcome.status,
      problem: problem.success
        ? problem.data
        : {
            type: 'about:blank',
            title: `HTTP ${outcome.status}`,
            status: outcome.status,
            code: `HTTP_${outcome.status}`,
            detail: `The server answered ${outcome.status} without saying why.`,
          },
    };
  }
}
