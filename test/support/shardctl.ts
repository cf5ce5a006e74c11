import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { runCli } from '../../cli/program.ts';
import { systemEnvironment, systemNetwork } from '../../client/index.ts';

/** What shardctl sent: `target` is the path with its query. */
export interface Received {
  readonly method: string;
  readonly target: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly authorization: string | undefined;
  readonly idempotencyKey: string | undefined;
  readonly body: unknown;
}
export type Reply = { readonly status: number; readonly body: unknown } | 'HANG';

export interface Shardctl {
  /** What the server answers; to begin with 404. */
  reply: (request: Received) => Reply;
  /** Since the test began. */
  readonly received: Received[];
  /** `received`, without what is the same for every request. */
  requests(): { readonly method: string; readonly target: string; readonly body: unknown }[];
  url(): string;
  run(
    args: readonly string[],
    options?: {
      readonly env?: Readonly<Record<string, string>>;
      readonly files?: Readonly<Record<string, string>>;
      readonly terminal?: boolean;
    },
  ): Promise<{ readonly code: number; readonly out: string; readonly err: string }>;
}

/** shardctl in this process, against a small HTTP server that stands for control plane and data nodes while the tests of a file run. */
export function shardctlAgainstServer(): Shardctl {
  const network = systemNetwork();
  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      const target = request.url ?? '/';
      const { pathname, searchParams } = new URL(target, 'http://host');
      const received: Received = {
        method: request.method ?? '',
        target,
        path: pathname,
        query: searchParams,
        authorization: request.headers.authorization,
        idempotencyKey: request.headers['idempotency-key'] as string | undefined,
        body,
      };
      cli.received.push(received);
      const answer = cli.reply(received);
      if (answer === 'HANG') return;
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body));
    });
  });
  const cli: Shardctl = {
    reply: () => ({ status: 404, body: {} }),
    received: [],
    requests: () => cli.received.map(({ method, target, body }) => ({ method, target, body })),
    url: () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    run: async (args, options = {}) => {
      let out = '';
      let err = '';
      const code = await runCli([...args], {
        env: { SHARDKEEPER_URL: cli.url(), SHARDKEEPER_TOKEN: 'secret', ...options.env },
        network,
        environment: systemEnvironment,
        readFile: (path) => options.files?.[path] ?? null,
        out: (text) => (out += text),
        err: (text) => (err += text),
        errIsTerminal: options.terminal === true,
      });
      return { code, out, err };
    },
  };
  beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
  beforeEach(() => {
    cli.received.length = 0;
  });
  afterAll(async () => {
    network.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return cli;
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text === '' ? undefined : JSON.parse(text);
}
