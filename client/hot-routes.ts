import { clusterEndpointsSchema } from '../shared/contracts/api/system.ts';
import type { ClientEnvironment, HttpCall, HttpOutcome } from './ports.ts';

/**
 * Where routes are asked for besides the API: a client knows one address, and learns of the cheaper one in the background. Nothing
 * waits for it, and nothing depends on it: without it, and whenever it does not answer, the API's own address serves.
 */

/** Milliseconds until the addresses are asked for again, after an answer or a failure. */
const LEARNED_FOR_MS = 600_000;
const RETRY_AFTER_MS = 30_000;
const ASK_TIMEOUT_MS = 5_000;

export interface HotRoutesOptions {
  /** Of the API, without a slash at the end. */
  readonly baseUrl: string;
  readonly clock: ClientEnvironment['clock'];
  ask(call: Omit<HttpCall, 'bearer'>): Promise<HttpOutcome>;
}

export class HotRoutes {
  private readonly options: HotRoutesOptions;
  private learned: string | null = null;
  private askAtMs = -Infinity;

  constructor(options: HotRoutesOptions) {
    this.options = options;
  }

  /** The present address, without a slash at the end; null: the API's own. Starts to ask when it is time. */
  url(): string | null {
    const nowMs = this.options.clock.monotonicMs();
    if (nowMs >= this.askAtMs) {
      this.askAtMs = nowMs + RETRY_AFTER_MS;
      void this.learn();
    }
    return this.learned;
  }

  /** The address did not answer: the API's own serves until the addresses are asked for again. */
  failed(): void {
    this.learned = null;
    this.askAtMs = this.options.clock.monotonicMs() + RETRY_AFTER_MS;
  }

  private async learn(): Promise<void> {
    const { baseUrl, clock } = this.options;
    const url = `${baseUrl}/cluster/endpoints`;
    const outcome = await this.options.ask({ method: 'GET', url, body: null, timeoutMs: ASK_TIMEOUT_MS });
    if (outcome.kind !== 'ANSWERED' || outcome.status !== 200) return;
    const endpoints = clusterEndpointsSchema.safeParse(outcome.body);
    if (!endpoints.success) return;
    this.askAtMs = clock.monotonicMs() + LEARNED_FOR_MS;
    const { routes } = endpoints.data;
    // A token that travels under TLS must not be asked for without it.
    const downgraded = baseUrl.startsWith('https:') && routes?.startsWith('https:') === false;
    this.learned = routes === null || downgraded ? null : routes.replace(/\/+$/, '');
  }
}
