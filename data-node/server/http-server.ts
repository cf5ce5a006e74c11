import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import { BODY_BYTES_MAX, errorBody } from './dispatch.ts';
import type { NodeRequest, NodeResponse } from './dispatch.ts';

/** HTTP/1.1 in front of the dispatcher: bodies, limits, keep-alive. */
export interface NodeServer {
  /** Where it listens. */
  readonly port: number;
  /** Accepts nothing new, ends idle connections, lets the answers under way go out. */
  close(): Promise<void>;
}

export interface ListenRefusal {
  readonly code: 'PORT_TAKEN' | 'LISTEN_FAILED';
  readonly message: string;
}

/** A request must have arrived whole within this time. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Idle connections are kept longer than the peers' own limit (20 s), so that the caller's side closes first. */
const KEEP_ALIVE_TIMEOUT_MS = 30_000;
const CLOSE_GRACE_MS = 1_000;

export async function listen(
  handle: (request: NodeRequest) => Promise<NodeResponse>,
  where: { readonly host: string; readonly port: number },
): Promise<Result<NodeServer, ListenRefusal>> {
  const server = createServer({ noDelay: true, keepAlive: true }, (request, response) => {
    void serve(handle, request, response);
  });
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.headersTimeout = REQUEST_TIMEOUT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS;
  const refusal = await bound(server, where);
  if (refusal !== null) return err(refusal);
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : where.port;
  return ok({ port, close: () => close(server) });
}

function bound(server: Server, where: { host: string; port: number }): Promise<ListenRefusal | null> {
  return new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      resolve(
        error.code === 'EADDRINUSE'
          ? { code: 'PORT_TAKEN', message: `port ${where.port} on ${where.host} is taken by another program` }
          : { code: 'LISTEN_FAILED', message: `can't listen on ${where.host}:${where.port}: ${error.message}` },
      );
    });
    server.listen(where.port, where.host, () => {
      resolve(null);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const forced = AbortSignal.timeout(CLOSE_GRACE_MS);
    forced.addEventListener('abort', () => {
      server.closeAllConnections();
    });
    server.close(() => {
      resolve();
    });
    server.closeIdleConnections();
  });
}

async function serve(
  handle: (request: NodeRequest) => Promise<NodeResponse>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await readJson(request);
  const answer = body.ok
    ? await handle({
        method: request.method ?? 'GET',
        path: (request.url ?? '/').split('?', 1)[0] ?? '/',
        headers: { authorization: request.headers.authorization },
        body: body.value,
      })
    : { status: body.error.status, body: errorBody('INVALID_REQUEST', body.error.message) };
  if (response.destroyed) return;
  const text = Buffer.from(JSON.stringify(answer.body));
  response.writeHead(answer.status, { 'content-type': 'application/json', 'content-length': text.length });
  response.end(text);
  // What is left of a body that was too long is not read.
  if (!body.ok && body.error.status === 413) request.destroy();
}

/** Reads a JSON body. Undefined when there is none. */
export async function readJson(
  request: AsyncIterable<unknown>,
): Promise<Result<unknown, { readonly status: number; readonly message: string }>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request) {
      const buffer = chunk as Buffer;
      bytes += buffer.length;
      if (bytes > BODY_BYTES_MAX) return err({ status: 413, message: `a body has at most ${BODY_BYTES_MAX} bytes` });
      chunks.push(buffer);
    }
    if (bytes === 0) return ok(undefined);
    return ok(JSON.parse(Buffer.concat(chunks).toString('utf8')));
  } catch (error) {
    return err({ status: 400, message: error instanceof SyntaxError ? 'the body is not JSON' : 'the body broke off' });
  }
}
