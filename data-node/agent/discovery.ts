import { clusterEndpointsSchema } from '../../shared/contracts/api/system.ts';
import type { Clock, Logger } from '../../shared/domain/environment.ts';
import type { ControlPlaneTransport } from './ports.ts';

/**
 * A node knows one address of the control plane, and learns of the one for heartbeats in the background. Nothing waits for it:
 * until it is known, and whenever it does not answer, the first address serves, so that a lease never hangs on it.
 */

/** Milliseconds until the addresses are asked for again, after an answer or a failure. */
const LEARNED_FOR_MS = 600_000;
const RETRY_AFTER_MS = 30_000;
const ASK_TIMEOUT_MS = 5_000;
/** Calls of the function that serves heartbeats, one node's and batches. */
const HOT_PATHS = /^\/cluster\/(?:nodes\/[^/]+\/(?:heartbeat|release|reports)|heartbeats)$/;

export interface DiscoveryOptions {
  readonly baseUrl: string;
  readonly transportTo: (baseUrl: string) => ControlPlaneTransport;
  readonly clock: Clock;
  readonly log: Logger;
}

type Call = Parameters<ControlPlaneTransport['call']>[0];

export function discoveringTransport({ baseUrl, transportTo, clock, log }: DiscoveryOptions): ControlPlaneTransport {
  const base = transportTo(baseUrl);
  let hot: { readonly url: string; readonly transport: ControlPlaneTransport } | null = null;
  let askAtMs = -Infinity;

  const learn = async (bearer: string): Promise<void> => {
    const answer = await base.call({
      method: 'GET',
      path: '/cluster/endpoints',
      bearer,
      body: null,
      timeoutMs: ASK_TIMEOUT_MS,
    });
    if (!answer.ok || answer.value.status !== 200) return;
    const endpoints = clusterEndpointsSchema.safeParse(answer.value.body);
    if (!endpoints.success) return;
    askAtMs = clock.monotonicMs() + LEARNED_FOR_MS;
    const url = endpoints.data.heartbeats;
    // A credential that travels under TLS must not be asked for without it.
    const usable = url !== null && (!baseUrl.startsWith('https:') || url.startsWith('https:'));
    if (!usable) hot = null;
    else if (hot?.url !== url) {
      hot = { url, transport: transportTo(url) };
      log.info('heartbeats_by', { url });
    }
  };

  const callHot = async (call: Call): ReturnType<ControlPlaneTransport['call']> => {
    const nowMs = clock.monotonicMs();
    if (nowMs >= askAtMs) {
      askAtMs = nowMs + RETRY_AFTER_MS;
      void learn(call.bearer);
    }
    const used = hot;
    if (used === null) return base.call(call);
    const answer = await used.transport.call(call);
    if (!answer.ok && hot === used) {
      // Not repeated here: the next beat is due within a third of the lease, and goes the other way.
      log.warn('heartbeat_address_lost', { url: used.url, message: answer.error.message });
      hot = null;
      askAtMs = clock.monotonicMs() + RETRY_AFTER_MS;
    }
    return answer;
  };

  return { call: (call) => (HOT_PATHS.test(call.path) ? callHot(call) : base.call(call)) };
}
