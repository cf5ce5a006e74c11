import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from '../shared/ports.ts';
import { problemAnswer } from '../shared/runtime/problem.ts';
import { toResult } from '../shared/runtime/http-event.ts';
import type { ApiResult } from '../shared/runtime/http-event.ts';
import type { Gateway } from './gateway.ts';
import { StartError } from './options.ts';
import { STATUS_PAGE, STATUS_PAGE_HEADERS } from './status-page.ts';

/** HTTP on one machine: the status page at `/`, everything else to the gateway. */

/** Bytes of one request's body: API Gateway's own limit (10 MB). */
const PAYLOAD_BYTES_MAX = 10 * 1024 * 1024;
/** Milliseconds for one request to arrive in full. API Gateway gives up after 29 s. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than the idle time of the clients here, so that no connection is closed under a request. */
const KEEP_ALIVE_MS = 65_000;

export interface FrontDoorServer {
  readonly url: string;
  readonly port: number;
  /** Lets answers under way finish, then ends every connection. */
  close(): Promise<void>;
}

/** Listens on 127.0.0.1; port 0 takes a free one. Throws `StartError` if the port is taken or not allowed. */
export async function startFrontDoor(gateway: Gateway, port: number, log: Logger): Promise<FrontDoorServer> {
  const server = createServer((request, response) => {
    serve(gateway, request, response).catch((error: unknown) => {
      log.error('front-door-failed', { error });
      if (!response.headersSent)
        writeResult(response, refuse('INTERNAL', 'The request failed; the log has the cause.'));
      response.end();
    });
  });
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  await listen(server, port);
  const address = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
        // Connections that stay busy (a client that never reads) don't hold up the end.
        setTimeout(() => server.closeAllConnections(), 1000).unref();
      }),
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') {
        reject(
          new StartError(
            `Port ${port} is taken by another program.\nChoose another one: npm start -- --port ${port + 1}`,
          ),
        );
      } else if (error.code === 'EACCES') {
        reject(new StartError(`Port ${port} is not allowed to this user.\nChoose one above 1023 with --port N.`));
      } else reject(error);
    });
    server.listen(port, '127.0.0.1', () => resolve());
  });
}

async function serve(gateway: Gateway, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path = '/', ...rest] = (request.url ?? '/').split('?');
  if (path === '/' && (request.method === 'GET' || request.method === 'HEAD')) {
    response.writeHead(200, STATUS_PAGE_HEADERS).end(request.method === 'HEAD' ? undefined : STATUS_PAGE);
    return;
  }
  const body = await readBody(request);
  if (body === null) {
    response.setHeader('connection', 'close');
    writeResult(response, refuse('PAYLOAD_TOO_LARGE', `The body is larger than ${PAYLOAD_BYTES_MAX} bytes.`));
    return;
  }
  const result = await gateway.handle({
    method: request.method ?? 'GET',
    path,
    query: rest.join('?'),
    headers: headerPairs(request.rawHeaders),
    body,
    ...(request.socket.remoteAddress === undefined ? {} : { sourceIp: request.socket.remoteAddress }),
  });
  writeResult(response, result);
}

const refuse = (code: 'INTERNAL' | 'PAYLOAD_TOO_LARGE', message: string): ApiResult =>
  toResult(problemAnswer({ kind: 'HTTP', code, message, field: 'body' }, 'none'), 'none');

function writeResult(response: ServerResponse, result: ApiResult): void {
  const headers = Object.entries(result.headers ?? {}).map(([name, value]): [string, string] => [name, String(value)]);
  const bytes = Buffer.from(result.body, 'utf8');
  response.writeHead(result.statusCode, { ...Object.fromEntries(headers), 'content-length': bytes.length });
  response.end(bytes);
}

/** The body as text; null if it is too large. Bytes that are no UTF-8 become U+FFFD, as API Gateway makes of them. */
async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > PAYLOAD_BYTES_MAX) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function headerPairs(raw: readonly string[]): (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) pairs.push([raw[index] ?? '', raw[index + 1] ?? '']);
  return pairs;
}
