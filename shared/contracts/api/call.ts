import type * as z from 'zod';

/** Who may make a call. `public`: nobody is asked. Everything else needs a bearer token of one of the kinds. */
export type Caller = 'public' | 'admin' | 'node' | 'joiner' | 'nodeKey';

/** Lambda entry that serves the call: functions/api/<resource>.ts. */
export type Resource =
  | 'nodes'
  | 'heartbeat'
  | 'shards'
  | 'tables'
  | 'routes'
  | 'config'
  | 'operations'
  | 'auth'
  | 'cluster'
  | 'recovery'
  | 'meta';

/** One call of the REST API, as data: router, OpenAPI, fuzzing and clients are made from it. */
export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path with `{parameters}`. */
  readonly path: string;
  readonly resource: Resource;
  readonly summary: string;
  readonly callers: readonly Caller[];
  /** Path parameters; all are strings. */
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  readonly response: z.ZodType;
  /** Content type of the answer when it is not JSON. */
  readonly produces?: string;
  /**
   * What has a revision here: a call that shows it answers it as `ETag`, one that changes it takes `If-Match`. The first path parameter names it,
   * of a configuration key the last part of the path.
   */
  readonly revisionOf?: 'node' | 'shard' | 'table' | 'operation' | 'config';
  /** Takes `Idempotency-Key` (every mutation by an administrator). */
  readonly idempotent?: true;
}

export type ParamsOf<C extends Call> = C['params'] extends z.ZodType ? z.infer<C['params']> : Record<never, never>;
export type QueryOf<C extends Call> = C['query'] extends z.ZodType ? z.infer<C['query']> : Record<never, never>;
export type BodyOf<C extends Call> = C['body'] extends z.ZodType ? z.infer<C['body']> : undefined;
export type ResponseOf<C extends Call> = z.infer<C['response']>;

/** What a use case of a call gets: validated parts of the request. */
export interface CallInput<C extends Call> {
  readonly params: ParamsOf<C>;
  readonly query: QueryOf<C>;
  readonly body: BodyOf<C>;
}
