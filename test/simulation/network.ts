import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { SeededRandom } from './random.ts';
import type { Trace } from './trace.ts';
import type { SimulatedProcess, VirtualTime } from './virtual-time.ts';

/**
 * In-memory network between simulated processes: HTTP-like requests with seeded latency, loss of the request or of the
 * answer, late duplicates, delay spikes and one-way partitions. Bodies travel as JSON text, so that no object is shared.
 */
export interface NetworkRequest {
  readonly method: string;
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

export interface NetworkAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What a message says, put there by who asks first: a table beside the messages costs as much as parsing them. */
const CONTENT = Symbol('content of the body');

/** What a message says: its JSON, parsed once for its receiver and for whoever watches the wire. Undefined without a body, null for what is no JSON. */
export function contentOf(message: { readonly body: string | null; [CONTENT]?: unknown }): unknown {
  if (message.body === null) return undefined;
  const known = message[CONTENT];
  if (known !== undefined) return known;
  let content: unknown;
  try {
    content = JSON.parse(message.body);
  } catch {
    content = null;
  }
  message[CONTENT] = content;
  return content;
}

export interface Unreachable {
  readonly code: 'UNREACHABLE';
  readonly message: string;
  /** NOT_SENT: the other side can't have seen it. */
  readonly processed: 'NOT_SENT' | 'UNKNOWN';
}

/** What answers at an address: a process, and the code that runs inside it. A rejected promise answers nothing. */
export interface Endpoint {
  readonly process: SimulatedProcess;
  readonly handle: (request: NetworkRequest) => Promise<NetworkAnswer>;
}

/** How messages fare, for one direction of one message. Probabilities are 0 to 1. */
export interface Weather {
  readonly latencyMsMin: number;
  readonly latencyMsMax: number;
  readonly lossProbability: number;
  readonly spikeProbability: number;
  /** Longest extra delay of a spike, in ms. */
  readonly spikeMsMax: number;
  /** Probability that a request arrives a second time, up to `spikeMsMax` later. */
  readonly duplicateProbability: number;
}

export const FAIR_WEATHER: Weather = {
  latencyMsMin: 0.2,
  latencyMsMax: 2,
  lossProbability: 0,
  spikeProbability: 0,
  spikeMsMax: 0,
  duplicateProbability: 0,
};

/** Every host has one name; processes that follow each other on a host share it. `*` in a cut stands for every host. */
export class SimulatedNetwork {
  private readonly endpoints = new Map<string, { host: string; endpoint: Endpoint }>();
  private readonly cuts = new Set<string>();
  private readonly time: VirtualTime;
  private readonly random: SeededRandom;
  private readonly trace: Trace;
  weather: Weather = FAIR_WEATHER;
  /** Requests to paths that match are lost besides, with this probability; null: none. */
  lossyPath: { readonly pattern: RegExp; readonly lossProbability: number } | null = null;
  /** Sees each answer in the moment in which it leaves its server. */
  onAnswer: (host: string, request: NetworkRequest, answer: NetworkAnswer) => void = () => undefined;
  /** Sees each request in the moment in which it leaves its sender. */
  onRequest: (from: string, to: string, request: NetworkRequest) => void = () => undefined;
  /** Messages of both directions that were sent, lost on the way, and delivered twice. */
  readonly counts = { sent: 0, lost: 0, duplicated: 0 };

  constructor(time: VirtualTime, random: SeededRandom, trace: Trace) {
    this.time = time;
    this.random = random;
    this.trace = trace;
  }

  /** Puts `endpoint` at `host:port`, in place of what answered there before. */
  listen(host: string, port: number, endpoint: Endpoint): void {
    this.endpoints.set(`${host}:${port}`, { host, endpoint });
  }

  /** Cuts messages from one host to another, in this direction only. */
  cut(from: string, to: string): void {
    this.cuts.add(`${from}>${to}`);
  }

  mend(from: string, to: string): void {
    this.cuts.delete(`${from}>${to}`);
  }

  heal(): void {
    this.cuts.clear();
    this.weather = FAIR_WEATHER;
    this.lossyPath = null;
  }

  /** Never throws. The request may or may not have been processed when the answer is UNREACHABLE. */
  request(
    from: { readonly host: string; readonly process: SimulatedProcess },
    to: { readonly host: string; readonly port: number },
    request: NetworkRequest,
    timeoutMs: number,
  ): Promise<Result<NetworkAnswer, Unreachable>> {
    return new Promise((resolve) => {
      const timer = from.process.timers.after(timeoutMs, () => {
        resolve(
          err({
            code: 'UNREACHABLE',
            processed: 'UNKNOWN',
            message: `no answer from ${to.host}:${to.port} within ${timeoutMs} ms`,
          }),
        );
      });
      const answer = (result: Result<NetworkAnswer, Unreachable>): void => {
        if (this.lost(to.host, from.host)) return;
        from.process.deliver(this.latencyMs(), () => {
          timer.cancel();
          resolve(result);
        });
      };
      this.onRequest(from.host, to.host, request);
      if (this.lost(from.host, to.host)) return;
      const lossy = this.lossyPath;
      if (lossy?.pattern.test(request.path) === true && this.random.chance(lossy.lossProbability)) return;
      this.time.after(this.latencyMs(), () => this.arrive(to, request, answer));
      // Rows apart: their attempts have no effect after a refusal, and TCP delivers once.
      if (this.random.chance(this.weather.duplicateProbability) && !request.path.startsWith('/data/')) {
        this.counts.duplicated++;
        const laterMs = this.latencyMs() + this.random.between(0, this.weather.spikeMsMax);
        this.time.after(laterMs, () => this.arrive(to, request, () => undefined));
      }
    });
  }

  private arrive(
    to: { readonly host: string; readonly port: number },
    request: NetworkRequest,
    answer: (result: Result<NetworkAnswer, Unreachable>) => void,
  ): void {
    const found = this.endpoints.get(`${to.host}:${to.port}`);
    if (found === undefined || found.endpoint.process.state() === 'DEAD') {
      answer(
        err({
          code: 'UNREACHABLE',
          processed: 'NOT_SENT',
          message: `connection to ${to.host}:${to.port} refused`,
        }),
      );
      return;
    }
    const { endpoint } = found;
    endpoint.process.enter(() => {
      endpoint.handle(request).then(
        (result) => {
          // A process that died meanwhile answers nothing; what it had sent before stays sent.
          if (endpoint.process.state() === 'DEAD') return;
          this.onAnswer(found.host, request, result);
          answer(ok(result));
        },
        (error: unknown) => {
          this.trace.add(found.host, `no answer to ${request.method} ${request.path}: ${String(error)}`);
        },
      );
    });
  }

  private lost(from: string, to: string): boolean {
    this.counts.sent++;
    const lost = this.isCut(from, to) || this.random.chance(this.weather.lossProbability);
    if (lost) this.counts.lost++;
    return lost;
  }

  private isCut(from: string, to: string): boolean {
    if (this.cuts.size === 0) return false;
    return this.cuts.has(`${from}>${to}`) || this.cuts.has(`*>${to}`) || this.cuts.has(`${from}>*`);
  }

  private latencyMs(): number {
    const { latencyMsMin, latencyMsMax, spikeProbability, spikeMsMax } = this.weather;
    const baseMs = this.random.between(latencyMsMin, latencyMsMax);
    return this.random.chance(spikeProbability) ? baseMs + this.random.between(0, spikeMsMax) : baseMs;
  }
}
