import type * as z from 'zod';
import { clusterCalls, nodeCalls } from '../../shared/contracts/api/nodes.ts';
import { operationCalls } from '../../shared/contracts/api/operations.ts';
import { shardCalls } from '../../shared/contracts/api/shards.ts';
import { systemCalls } from '../../shared/contracts/api/system.ts';

/** The control plane as an administrator calls it, past all disturbances of the network. */

export type NodeView = z.infer<typeof nodeCalls.listNodes.response>['nodes'][number];
export type ShardView = z.infer<typeof shardCalls.listShards.response>['shards'][number];
export type OperationView = z.infer<typeof operationCalls.getOperation.response>;

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const CALL_MS_MAX = 10_000;
const PAGE = 1_000;
/** Pages of one list, at most. */
const PAGES_MAX = 50;

export class Api {
  private readonly url: string;
  private readonly token: string;
  /** Answers 5xx that were seen, and to what. No request of a caller may cause one. */
  readonly serverErrors: string[] = [];

  constructor(url: string, token: string) {
    this.url = url;
    this.token = token;
  }

  /** Throws if there is no answer. */
  async send(method: 'GET' | 'POST' | 'PUT', path: string, body?: unknown): Promise<Answer> {
    const answer = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${this.token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(CALL_MS_MAX),
    });
    const text = await answer.text();
    if (answer.status >= 500) this.serverErrors.push(`${method} ${path}: ${answer.status} ${text.slice(0, 500)}`);
    return { status: answer.status, body: parsed(text) };
  }

  /** Throws unless the answer is 200 and of the contract. */
  async ok<S extends z.ZodType>(
    schema: S,
    method: 'GET' | 'POST' | 'PUT',
    path: string,
    body?: unknown,
  ): Promise<z.infer<S>> {
    const answer = await this.send(method, path, body);
    if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return schema.parse(answer.body);
  }

  async nodes(): Promise<readonly NodeView[]> {
    return (await this.ok(nodeCalls.listNodes.response, 'GET', `/cluster/nodes?limit=${PAGE}`)).nodes;
  }

  health(): Promise<z.infer<typeof clusterCalls.clusterHealth.response>> {
    return this.ok(clusterCalls.clusterHealth.response, 'GET', '/cluster/health');
  }

  async shards(table: string): Promise<readonly ShardView[]> {
    return (await this.ok(shardCalls.listShards.response, 'GET', `/shards?table=${table}&limit=${PAGE}`)).shards;
  }

  /** All operations that there ever were. */
  async operations(): Promise<readonly OperationView[]> {
    const found: OperationView[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < PAGES_MAX; page++) {
      const after: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const path = `/operations?limit=${PAGE}${after}`;
      const answer: z.infer<typeof operationCalls.listOperations.response> = await this.ok(
        operationCalls.listOperations.response,
        'GET',
        path,
      );
      found.push(...answer.operations);
      if (answer.next_cursor === null) return found;
      cursor = answer.next_cursor;
    }
    throw new Error(`more than ${PAGES_MAX * PAGE} operations`);
  }

  /** Single-use; for a node whose directory never registered. */
  async joinToken(): Promise<string> {
    return (await this.ok(nodeCalls.createJoinToken.response, 'POST', '/cluster/join-tokens', {})).join_token;
  }

  async dataToken(): Promise<string> {
    const body = { scope: 'data', tables: ['*'], access: 'read', lifetime_seconds: 86_400 };
    return (await this.ok(systemCalls.createToken.response, 'POST', '/auth/token', body)).token;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
