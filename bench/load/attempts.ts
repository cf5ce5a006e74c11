import { AsyncLocalStorage } from 'node:async_hooks';
import { dataErrorSchema } from '../../shared/contracts/data/rows.ts';
import type { ClientNetwork, HttpOutcome } from '../../client/index.ts';

/** What one attempt of a request at a data node came to: 'OK', the code of the refusal, or 'UNREACHABLE'. */
export interface Attempt {
  readonly code: string;
  readonly tookMs: number;
}

/**
 * A client's network that notes the attempts of each request. The client library tells its callers only how a request ended, as
 * it should; a benchmark wants to know how often the first attempt was refused, and why.
 */
export class AttemptRecorder implements ClientNetwork {
  private readonly network: ClientNetwork;
  private readonly running = new AsyncLocalStorage<Attempt[]>();

  constructor(network: ClientNetwork) {
    this.network = network;
  }

  /** Runs one request of the client; its attempts are added to `into`. */
  during<T>(into: Attempt[], request: () => Promise<T>): Promise<T> {
    return this.running.run(into, request);
  }

  async call(call: Parameters<ClientNetwork['call']>[0]): Promise<HttpOutcome> {
    const attempts = this.running.getStore();
    if (attempts === undefined || !new URL(call.url).pathname.startsWith('/data/')) return this.network.call(call);
    const startMs = performance.now();
    const outcome = await this.network.call(call);
    attempts.push({ code: codeOf(outcome), tookMs: performance.now() - startMs });
    return outcome;
  }
}

function codeOf(outcome: HttpOutcome): string {
  if (outcome.kind === 'UNREACHABLE') return 'UNREACHABLE';
  if (outcome.status === 200) return 'OK';
  return dataErrorSchema.safeParse(outcome.body).data?.code ?? `HTTP_${outcome.status}`;
}
