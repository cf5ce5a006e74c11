import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { Json } from '../../shared/domain/records.ts';
import type { ControlPlaneTransport } from '../agent/ports.ts';
import type { PeerNetwork } from '../ports.ts';

/** JSON over HTTP with connections that are kept: to the control plane and to peers. */

/** Below the server's keep-alive time (30 s), so that this side ends an idle connection first. */
const IDLE_SOCKET_MS = 20_000;
/** Connections to one peer: replication of many shards runs side by side. */
const SOCKETS_PER_HOST_MAX = 64;
/** Answers are cut off beyond this. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

const agentOptions = { keepAlive: true, maxSockets: SOCKETS_PER_HOST_MAX, timeout: IDLE_SOCKET_MS, noDelay: true };

interface JsonCall {
  readonly url: URL;
  readonly method: string;
  readonly bearer: string | null;
  readonly body: unknown;
  readonly timeoutMs: number;
}

interface JsonAnswer {
  readonly status: number;
  readonly body: unknown;
  readonly retryAfterSeconds: number | null;
}

type Unreachable = { readonly code: 'UNREACHABLE'; readonly message: string };

export function createHttpClient(): {
  readonly controlPlane: (baseUrl: string) => ControlPlaneTransport;
  readonly peers: (credential: () => string | null) => PeerNetwork;
  readonly close: () => void;
} {
  const http = new HttpAgent(agentOptions);
  const https = new HttpsAgent(agentOptions);
  const call = (request: JsonCall): Promise<Result<JsonAnswer, Unreachable>> => exchange(request, { http, https });
  return {
    controlPlane: (baseUrl) => ({
      call: ({ method, path, bearer, body, timeoutMs }) =>
        call({ url: new URL(baseUrl.replace(/\/$/, '') + path), method, bearer, body, timeoutMs }),
    }),
    peers: (credential) => ({
      call: async (address, path, body, { timeoutMs }) => {
        const host = address.host.includes(':') ? `[${address.host}]` : address.host;
        const url = new URL(`http://${host}:${address.port}${path}`);
        const answer = await call({ url, method: 'POST', bearer: credential(), body, timeoutMs });
        // What came off the wire was parsed from JSON, so it is `Json`.
        return answer.ok ? ok({ status: answer.value.status, body: answer.value.body as Json }) : answer;
      },
    }),
    close: () => {
      http.destroy();
      https.destroy();
    },
  };
}

function exchange(
  call: JsonCall,
  agents: { readonly http: HttpAgent; readonly https: HttpsAgent },
): Promise<Result<JsonAnswer, Unreachable>> {
  return new Promise((resolve) => {
    const secure = call.url.protocol === 'https:';
    const payload = call.body === null || call.body === undefined ? null : Buffer.from(JSON.stringify(call.body));
    const request = (secure ? httpsRequest : httpRequest)(call.url, {
      method: call.method,
      agent: secure ? agents.https : agents.http,
      headers: {
        accept: 'application/json',
        ...(call.bearer === null ? {} : { authorization: `Bearer ${call.bearer}` }),
        ...(payload === null ? {} : { 'content-type': 'application/json', 'content-length': payload.length }),
      },
    });
    const fail = (message: string): void => {
      clearTimeout(deadline);
      resolve(err({ code: 'UNREACHABLE', message }));
      request.destroy();
    };
    const deadline = setTimeout(() => {
      fail(`no answer from ${call.url.host} within ${call.timeoutMs} ms`);
    }, call.timeoutMs);
    request.on('error', (error) => {
      fail(`${call.url.host}: ${error.message}`);
    });
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > ANSWER_BYTES_MAX) fail(`the answer of ${call.url.host} is longer than ${ANSWER_BYTES_MAX} bytes`);
        else chunks.push(chunk);
      });
      response.on('error', (error) => {
        fail(`${call.url.host}: ${error.message}`);
      });
      response.on('end', () => {
        clearTimeout(deadline);
        const retryAfter = Number(response.headers['retry-after'] ?? Number.NaN);
        resolve(
          ok({
            status: response.statusCode ?? 0,
            body: parsed(Buffer.concat(chunks).toString('utf8')),
            retryAfterSeconds: Number.isFinite(retryAfter) ? retryAfter : null,
          }),
        );
      });
    });
    request.end(payload ?? undefined);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
