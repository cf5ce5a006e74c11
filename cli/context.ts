import type * as z from 'zod';
import { ClientError, ControlPlane, ShardkeeperClient } from '../client/index.ts';
import type { ApiCall, ClientEnvironment, ClientNetwork } from '../client/index.ts';
import { CliError, EXIT, fromClientError } from './exit.ts';

/** What shardctl needs of the process it runs in; tests give another one. */
export interface CliIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly network: ClientNetwork;
  readonly environment: ClientEnvironment;
  /** Text of a file, or null if it is not there. */
  readFile(path: string): string | null;
  out(text: string): void;
  err(text: string): void;
  /** True if standard error is a terminal: progress is one line that changes. */
  readonly errIsTerminal?: boolean;
}

export interface GlobalOptions {
  readonly json: boolean;
  readonly url: string;
  readonly timeoutMs: number;
}

export const URL_DEFAULT = 'http://127.0.0.1:8080';
/** Where the one-machine runner leaves the administrator's token, in its working directory. */
export const TOKEN_FILE = '.data/admin-token';

/** Everything that a command works with. */
export class Context {
  readonly io: CliIo;
  readonly options: GlobalOptions;
  private readonly token: string;
  private readonly controlPlane: ControlPlane;

  constructor(io: CliIo, options: GlobalOptions) {
    this.io = io;
    this.options = options;
    if (!URL.canParse(options.url) || !/^https?:$/.test(new URL(options.url).protocol)) {
      throw new CliError(EXIT.USAGE, 'BAD_URL', `${options.url} is no http(s) address; set SHARDKEEPER_URL or --url`);
    }
    this.token = tokenOf(io);
    this.controlPlane = new ControlPlane({
      url: options.url,
      token: this.token,
      network: io.network,
      environment: io.environment,
    });
  }

  /** One call of the REST API; the answer as its contract has it. Throws `CliError`. */
  async call<S extends z.ZodType>(schema: S, call: Omit<ApiCall, 'timeoutMs'>): Promise<z.infer<S>> {
    return (await this.read(schema, call)).answer;
  }

  /** The same with the revision of what was read: a change that is made from it passes it on, and is refused if somebody else was quicker. */
  async read<S extends z.ZodType>(
    schema: S,
    call: Omit<ApiCall, 'timeoutMs'>,
  ): Promise<{ readonly answer: z.infer<S>; readonly etag: string | null }> {
    const outcome = await this.controlPlane.call({ ...call, timeoutMs: this.options.timeoutMs });
    switch (outcome.kind) {
      case 'UNREACHABLE':
        throw new CliError(
          EXIT.UNREACHABLE,
          'UNREACHABLE',
          `the control plane at ${this.options.url} does not answer (${outcome.message}); is it running? Start it with "npm start", or set SHARDKEEPER_URL`,
        );
      case 'REFUSED':
        throw new CliError(EXIT.REFUSED, outcome.problem.code, hint(outcome.status, outcome.problem.detail), {
          status: outcome.status,
        });
      case 'OK': {
        const parsed = schema.safeParse(outcome.body);
        if (parsed.success) return { answer: parsed.data, etag: outcome.etag };
        throw new CliError(
          EXIT.REFUSED,
          'BAD_ANSWER',
          `${this.options.url} answered ${call.method} ${call.path} in an unexpected form; is it a Shardkeeper control plane of this version?`,
        );
      }
    }
  }

  /** Items of a list, page after page, as long as the caller takes them. */
  async *pages<T>(
    fetch: (page: { readonly limit: number; readonly cursor?: string }) => Promise<{
      readonly items: readonly T[];
      readonly next_cursor: string | null;
    }>,
    limit: number,
  ): AsyncGenerator<T, { readonly more: boolean }, undefined> {
    let left = limit;
    let cursor: string | null = null;
    do {
      const page: { items: readonly T[]; next_cursor: string | null } = await fetch({
        limit: Math.min(left, PAGE_ITEMS_MAX),
        ...(cursor === null ? {} : { cursor }),
      });
      for (const item of page.items) {
        yield item;
        left--;
      }
      cursor = page.next_cursor;
    } while (cursor !== null && left > 0);
    return { more: cursor !== null };
  }

  /** Work with the client library; its failures become shardctl's. */
  async rows<T>(work: (client: ShardkeeperClient) => Promise<T>): Promise<T> {
    const client = new ShardkeeperClient({
      url: this.options.url,
      token: this.token,
      network: this.io.network,
      environment: this.io.environment,
      deadlineMs: this.options.timeoutMs,
    });
    try {
      return await work(client);
    } catch (error) {
      throw error instanceof ClientError ? fromClientError(error) : error;
    }
  }

  newIdempotencyKey(): string {
    return `shardctl-${this.io.environment.random.hex(16)}`;
  }
}

const PAGE_ITEMS_MAX = 1_000;

function tokenOf(io: CliIo): string {
  const fromEnvironment = io.env['SHARDKEEPER_TOKEN']?.trim();
  if (fromEnvironment !== undefined && fromEnvironment !== '') return fromEnvironment;
  const fromFile = io.readFile(TOKEN_FILE)?.trim();
  if (fromFile !== undefined && fromFile !== '') return fromFile;
  throw new CliError(
    EXIT.USAGE,
    'NO_TOKEN',
    `no token: set SHARDKEEPER_TOKEN, or run shardctl where the runner keeps ${TOKEN_FILE}`,
  );
}

const hint = (status: number, detail: string): string =>
  status === 401 ? `${detail} (the token comes from SHARDKEEPER_TOKEN, else from ${TOKEN_FILE})` : detail;
