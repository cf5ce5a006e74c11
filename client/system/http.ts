import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import type { ClientRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { ClientNetwork, HttpCall, HttpOutcome } from '../ports.ts';

/** JSON over HTTP/1.1 with connections that are kept. */

/** Below the nodes' keep-alive time (30 s), so that this side ends an idle connection first. */
const IDLE_SOCKET_MS = 20_000;
const SOCKETS_PER_HOST_MAX = 128;
const ANSWER_BYTES_MAX = 512 * 1024 * 1024;

export interface SystemNetwork extends ClientNetwork {
  /** Ends idle connections, so that the process can end. */
  close(): void;
}

export function systemNetwork(): SystemNetwork {
  const options = { keepAlive: true, maxSockets: SOCKETS_PER_HOST_MAX, timeout: IDLE_SOCKET_MS, noDelay: true };
  const http = new HttpAgent(options);
  const https = new HttpsAgent(options);
  return {
    call: (call) => exchange(call, { http, https }),
    close: () => {
      http.destroy();
      https.destroy();
    },
  };
}

function exchange(call: HttpCall, agents: { http: HttpAgent; https: HttpsAgent }): Promise<HttpOutcome> {
  return new Promise((resolve) => {
    const payload = call.body === null || call.body === undefined ? null : Buffer.from(JSON.stringify(call.body));
    const request = open(call, payload, agents);
    if (request === null) {
      resolve({ kind: 'UNREACHABLE', processed: 'NOT_SENT', message: `${call.url} is no address` });
      return;
    }
    // A connection that carried nothing yet proves that the other side saw nothing; once it stands, nothing is proved.
    let connected = false;
    const settle = (outcome: HttpOutcome): void => {
      clearTimeout(deadline);
      call.signal?.removeEventListener('abort', onAbort);
      resolve(outcome);
    };
    const fail = (message: string): void => {
      settle({ kind: 'UNREACHABLE', processed: connected ? 'UNKNOWN' : 'NOT_SENT', message });
      request.destroy();
    };
    const onAbort = (): void => {
      fail('given up');
    };
    const deadline = setTimeout(() => {
      fail(`no answer from ${new URL(call.url).host} within ${Math.round(call.timeoutMs)} ms`);
    }, call.timeoutMs);
    call.signal?.addEventListener('abort', onAbort, { once: true });
    request.on('socket', (socket) => {
      if (!socket.connecting) connected = true;
      else
        socket.once('connect', () => {
          connected = true;
        });
    });
    request.on('error', (error) => {
      fail(`${new URL(call.url).host}: ${error.message === '' ? error.name : error.message}`);
    });
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > ANSWER_BYTES_MAX) fail(`the answer is longer than ${ANSWER_BYTES_MAX} bytes`);
        else chunks.push(chunk);
      });
      response.on('error', (error) => {
        fail(error.message);
      });
      response.on('end', () => {
        const retryAfter = Number(response.headers['retry-after'] ?? Number.NaN);
        settle({
          kind: 'ANSWERED',
          status: response.statusCode ?? 0,
          body: parsed(Buffer.concat(chunks).toString('utf8')),
          retryAfterSeconds: Number.isFinite(retryAfter) ? retryAfter : null,
          etag: response.headers.etag ?? null,
        });
      });
    });
    request.end(payload ?? undefined);
  });
}

function open(
  call: HttpCall,
  payload: Buffer | null,
  agents: { http: HttpAgent; https: HttpsAgent },
): ClientRequest | null {
  if (!URL.canParse(call.url)) return null;
  const url = new URL(call.url);
  const secure = url.protocol === 'https:';
  return (secure ? httpsRequest : httpRequest)(url, {
    method: call.method,
    agent: secure ? agents.https : agents.http,
    headers: {
      accept: 'application/json',
      ...call.headers,
      ...(call.bearer === null ? {} : { authorization: `Bearer ${call.bearer}` }),
      ...(payload === null ? {} : { 'content-type': 'application/json', 'content-length': payload.length }),
    },
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
