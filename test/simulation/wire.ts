import type { ClientNetwork } from '../../client/ports.ts';
import type { ControlPlaneTransport } from '../../data-node/agent/ports.ts';
import type { PeerNetwork } from '../../data-node/ports.ts';
import { pushResponseSchema } from '../../shared/contracts/node/commands.ts';
import type { Json } from '../../shared/domain/records.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { NodeClient } from '../../shared/ports.ts';
import { contentOf } from './network.ts';
import type { NetworkAnswer, SimulatedNetwork } from './network.ts';
import type { SimulatedProcess } from './virtual-time.ts';

/** The HTTP ports of data nodes, clients and the control plane, over the simulated network. */

/** Who sends: a process on a host. */
export interface Sender {
  readonly host: string;
  readonly process: SimulatedProcess;
}

export const CONTROL_PLANE = { host: 'control-plane', port: 8080 } as const;
/** Milliseconds for one push to a node, as the HTTP adapter of the control plane gives it. */
const PUSH_TIMEOUT_MS = 500;

const retryAfter = (answer: NetworkAnswer): number | null => {
  const seconds = Number(answer.headers['retry-after'] ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds : null;
};
const JSON_HEADERS = { 'content-type': 'application/json' } as const;

/** Headers of one sender's requests. They bear the same credential again and again: the text is made once. */
function headersOfSender(): (
  bearer: string | null,
  more?: Readonly<Record<string, string>>,
) => Readonly<Record<string, string>> {
  let last: { readonly bearer: string; readonly headers: Readonly<Record<string, string>> } | null = null;
  return (bearer, more) => {
    if (bearer !== null && last?.bearer !== bearer)
      last = { bearer, headers: { ...JSON_HEADERS, authorization: `Bearer ${bearer}` } };
    const headers = bearer === null || last === null ? JSON_HEADERS : last.headers;
    return more === undefined ? headers : { ...headers, ...more };
  };
}
const bodyOf = (body: unknown): string | null => (body === null || body === undefined ? null : JSON.stringify(body));

export function controlPlaneTransport(network: SimulatedNetwork, from: Sender): ControlPlaneTransport {
  const headersOf = headersOfSender();
  return {
    call: async ({ method, path, bearer, body, timeoutMs }) => {
      const request = { method, path, headers: headersOf(bearer), body: bodyOf(body) };
      const answer = await network.request(from, CONTROL_PLANE, request, timeoutMs);
      if (!answer.ok) return answer;
      const { status } = answer.value;
      return ok({ status, body: contentOf(answer.value), retryAfterSeconds: retryAfter(answer.value) });
    },
  };
}

export function peerNetwork(network: SimulatedNetwork, from: Sender, credential: () => string | null): PeerNetwork {
  const headersOf = headersOfSender();
  return {
    call: async (address, path, body, { timeoutMs }) => {
      const request = { method: 'POST', path, headers: headersOf(credential()), body: bodyOf(body) };
      const answer = await network.request(from, address, request, timeoutMs);
      return answer.ok ? ok({ status: answer.value.status, body: contentOf(answer.value) as Json }) : answer;
    },
  };
}

export const nodeClient = (network: SimulatedNetwork, from: Sender): NodeClient => ({
  push: async (node, commands) => {
    const request = { method: 'POST', path: '/node/commands', headers: JSON_HEADERS, body: bodyOf({ commands }) };
    const answer = await network.request(from, node, request, PUSH_TIMEOUT_MS);
    if (!answer.ok) return err({ code: 'NODE_UNREACHABLE', message: answer.error.message });
    const acks = pushResponseSchema.safeParse(contentOf(answer.value));
    if (answer.value.status !== 200 || !acks.success)
      return err({ code: 'NODE_UNREACHABLE', message: `status ${answer.value.status}` });
    return ok(acks.data.acks as readonly Json[]);
  },
});

export function clientNetwork(network: SimulatedNetwork, from: Sender): ClientNetwork {
  const headersOf = headersOfSender();
  return {
    call: async ({ method, url, bearer, body, timeoutMs, headers, signal }) => {
      const { hostname, port, pathname, search } = new URL(url);
      const request = { method, path: `${pathname}${search}`, headers: headersOf(bearer, headers), body: bodyOf(body) };
      const given = new Promise<'GIVEN_UP'>((resolve) => {
        signal?.addEventListener('abort', () => resolve('GIVEN_UP'), { once: true });
      });
      const outcome = await Promise.race([
        network.request(from, { host: hostname, port: Number(port) }, request, timeoutMs),
        given,
      ]);
      if (outcome === 'GIVEN_UP') return { kind: 'UNREACHABLE', processed: 'UNKNOWN', message: 'given up' };
      if (!outcome.ok)
        return { kind: 'UNREACHABLE', processed: outcome.error.processed, message: outcome.error.message };
      return {
        kind: 'ANSWERED',
        status: outcome.value.status,
        body: contentOf(outcome.value),
        retryAfterSeconds: retryAfter(outcome.value),
      };
    },
  };
}
