import { problemSchema } from '../shared/contracts/api/problem.ts';
import type { Problem } from '../shared/contracts/api/problem.ts';
import { HotRoutes } from './hot-routes.ts';
import type { ClientEnvironment, ClientNetwork, HttpCall, HttpOutcome } from './ports.ts';

/** Calls to the REST API with the administrator's token. */
export type ApiOutcome =
  /** `etag`: revision of what is shown, for `ifMatch`; null: it has none. */
  | { readonly kind: 'OK'; readonly body: unknown; readonly etag: string | null }
  | { readonly kind: 'REFUSED'; readonly status: number; readonly problem: Problem }
  | { readonly kind: 'UNREACHABLE'; readonly message: string };

const ROUTES_PREFIX = '/routes/';

export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
  readonly timeoutMs: number;
  readonly idempotencyKey?: string;
  /** The change is made only if its resource still has this revision, as `etag` showed it. */
  readonly ifMatch?: string;
}

export class ControlPlane {
  private readonly baseUrl: string;
  private readonly token: string;
  private readonly network: ClientNetwork;
  private readonly hotRoutes: HotRoutes;

  constructor(options: {
    readonly url: string;
    readonly token: string;
    readonly network: ClientNetwork;
    readonly environment: Pick<ClientEnvironment, 'clock'>;
  }) {
    this.baseUrl = options.url.replace(/\/+$/, '');
    this.token = options.token;
    this.network = options.network;
    this.hotRoutes = new HotRoutes({
      baseUrl: this.baseUrl,
      clock: options.environment.clock,
      ask: (call) => this.network.call({ ...call, bearer: this.token }),
    });
  }

  async call(call: ApiCall): Promise<ApiOutcome> {
    const query = Object.entries(call.query ?? {})
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`)
      .join('&');
    const outcome = await this.send(call.path, {
      method: call.method,
      url: `${call.path}${query === '' ? '' : `?${query}`}`,
      bearer: this.token,
      body: call.body ?? null,
      timeoutMs: call.timeoutMs,
      headers: {
        ...(call.idempotencyKey === undefined ? {} : { 'idempotency-key': call.idempotencyKey }),
        ...(call.ifMatch === undefined ? {} : { 'if-match': call.ifMatch }),
      },
    });
    if (outcome.kind === 'UNREACHABLE') return { kind: 'UNREACHABLE', message: outcome.message };
    if (outcome.status >= 200 && outcome.status < 300)
      return { kind: 'OK', body: outcome.body, etag: outcome.etag ?? null };
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

  /** To the Function URL of routes where there is one; to the API when that does not answer. */
  private async send(path: string, call: HttpCall): Promise<HttpOutcome> {
    const hotUrl = path.startsWith(ROUTES_PREFIX) ? this.hotRoutes.url() : null;
    if (hotUrl !== null) {
      const outcome = await this.network.call({ ...call, url: `${hotUrl}${call.url}` });
      if (outcome.kind === 'ANSWERED') return outcome;
      this.hotRoutes.failed();
    }
    return this.network.call({ ...call, url: `${this.baseUrl}${call.url}` });
  }
}
