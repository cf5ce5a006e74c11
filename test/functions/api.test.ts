import { calls } from '../../shared/contracts/api/index.ts';
import type { Call } from '../../shared/contracts/api/call.ts';
import { problemSchema } from '../../shared/contracts/api/problem.ts';
import { apiHandler } from '../../shared/runtime/api-handler.ts';
import { fixedRuntime } from '../../shared/runtime/runtime.ts';
import { ok } from '../../shared/domain/result.ts';
import { apiWorld } from './world.ts';
import type { ApiWorld } from './world.ts';

/** What every call has in common: answers, problems, pages, logs, the description of itself. */
let world: ApiWorld;
beforeAll(async () => {
  world = await apiWorld();
  for (let index = 1; index <= 7; index++)
    await world.register({ id: `node-10${index}`, port: 7100 + index, zone: 'abc'[index % 3] ?? 'a' });
});
afterAll(() => world.close());

describe('OpenAPI', () => {
  interface Document {
    readonly openapi: string;
    readonly paths: Record<string, Record<string, Operation>>;
    readonly components: {
      readonly schemas: Record<string, unknown>;
      readonly securitySchemes: Record<string, unknown>;
    };
  }
  interface Operation {
    readonly operationId: string;
    readonly parameters: readonly { name: string; in: string; required: boolean; schema: object }[];
    readonly security: readonly object[];
    readonly requestBody?: { readonly required: boolean };
    readonly responses: Record<string, unknown>;
  }
  let document: Document;
  beforeAll(async () => {
    document = (await world.call('GET', '/openapi.json', { token: null })).body as unknown as Document;
  });

  test('describes every call, with its parameters, security and refusals', () => {
    expect(document.openapi).toBe('3.1.0');
    for (const [name, call] of Object.entries(calls) as [string, Call][]) {
      const operation = document.paths[call.path]?.[call.method.toLowerCase()];
      expect(operation?.operationId).toBe(name);
      const isPublic = call.callers.includes('public');
      expect(operation?.security).toEqual(isPublic ? [] : [{ bearer: [] }]);
      expect(Object.keys(operation?.responses ?? {})).toEqual(
        expect.arrayContaining(['200', '400', '404', '429', '503']),
      );
      expect(operation?.requestBody !== undefined).toBe(call.body !== undefined);
      expect(operation?.requestBody?.required).toBe(call.body && !call.body.safeParse(undefined).success);
      const names = operation?.parameters.map((parameter) => parameter.name) ?? [];
      const expected = [...Object.keys(call.params?.shape ?? {}), ...Object.keys(call.query?.shape ?? {})];
      expect(names).toEqual(expect.arrayContaining(expected));
      expect(names.includes('Idempotency-Key')).toBe(call.idempotent === true);
      for (const parameter of operation?.parameters ?? [])
        if (parameter.in === 'path') expect(parameter.required).toBe(true);
    }
  });

  test('every reference leads somewhere', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(references.length).toBeGreaterThan(50);
    for (const reference of references) {
      expect(reference).toMatch(/^#\/components\/schemas\/[A-Za-z0-9._]+$/);
      expect(Object.keys(document.components.schemas)).toContain(reference.replace('#/components/schemas/', ''));
    }
  });

  test('paths, parameters and operation ids are consistent', () => {
    const ids = Object.values(document.paths).flatMap((path) =>
      Object.values(path).map((operation) => operation.operationId),
    );
    expect(new Set(ids).size).toBe(ids.length);
    for (const [path, operations] of Object.entries(document.paths)) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      for (const operation of Object.values(operations)) {
        const declared = operation.parameters
          .filter((parameter) => parameter.in === 'path')
          .map((parameter) => parameter.name);
        expect(declared).toEqual(inPath);
      }
    }
  });
});

describe('pages', () => {
  test('a list is walked page by page, in order, without gap or repetition', async () => {
    const seen: string[] = [];
    let cursor = '';
    for (let page = 0; page < 10; page++) {
      const answer = await world.call('GET', `/cluster/nodes?limit=3${cursor}`);
      const { nodes, next_cursor } = answer.body as { nodes: { node_id: string }[]; next_cursor: string | null };
      expect(nodes.length).toBeLessThanOrEqual(3);
      seen.push(...nodes.map((node) => node.node_id));
      if (next_cursor === null) break;
      cursor = `&cursor=${encodeURIComponent(next_cursor)}`;
    }
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7].map((index) => `node-10${index}`));
  });
});

describe('answers', () => {
  test('carry the caller’s request id, or one of their own', async () => {
    const own = await world.call('GET', '/cluster/nodes', { headers: { 'X-Request-Id': 'abc-123' } });
    expect(own.headers['x-request-id']).toBe('abc-123');
    for (const hostile of ['a b', 'x'.repeat(200), '<script>']) {
      const answer = await world.call('GET', '/cluster/nodes/none', { headers: { 'X-Request-Id': hostile } });
      expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f]{32}$/);
      expect(answer.body['request_id']).toBe(answer.headers['x-request-id']);
    }
  });

  test('every request writes one line, which holds no token, key or body', async () => {
    const before = world.log.length;
    await world.call('GET', '/routes/cities?key=secret-key');
    const lines = world.log.slice(before).filter((line) => line.event === 'request');
    expect(lines).toHaveLength(1);
    expect(lines[0]?.fields).toMatchObject({
      call: 'getRoute',
      status: 404,
      code: 'TABLE_NOT_FOUND',
      caller: 'admin:ann',
    });
    expect(JSON.stringify(lines)).not.toContain('secret-key');
    expect(JSON.stringify(lines)).not.toContain(world.admin);
  });

  test.each([
    ['THROTTLED', 429, 'OVERLOADED'],
    ['UNAVAILABLE', 503, 'STORE_UNAVAILABLE'],
    ['TRANSACTION_CONFLICT', 503, 'STORE_UNAVAILABLE'],
  ] as const)('a store that says %s: %d with Retry-After', async (refuse, status, code) => {
    world.faults.use(() => ({ refuse }));
    const answer = await world.call('GET', '/cluster/nodes');
    world.faults.none();
    expect(answer).toMatchObject({ status, body: { code }, headers: { 'retry-after': '1' } });
    expect(problemSchema.safeParse(answer.body).success).toBe(true);
  });

  test('healthz tells when the store is away', async () => {
    expect(await world.call('GET', '/healthz', { token: null })).toMatchObject({ status: 200, body: { status: 'ok' } });
    world.faults.use(() => ({ refuse: 'UNAVAILABLE' }));
    const answer = await world.call('GET', '/healthz', { token: null });
    world.faults.none();
    expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
  });
});

describe('a bug', () => {
  const event = {
    httpMethod: 'GET',
    path: '/config/replication',
    headers: {},
    requestContext: { requestId: 'r-1', authorizer: { kind: 'admin', name: 'ann' } },
  };
  const handle = (getReplicationConfig: () => Promise<unknown>) =>
    apiHandler(
      'config',
      { getReplicationConfig } as unknown as Parameters<typeof apiHandler<'config'>>[1],
      fixedRuntime({ deps: world.controlPlane.deps, answers: 'checked' }),
    )(event as never);

  test('is a 500 that tells nothing of it, and is logged', async () => {
    const result = await handle(() => Promise.reject(new Error('password is hunter2')));
    expect(result.statusCode).toBe(500);
    expect(result.body).not.toContain('hunter2');
    expect(JSON.parse(result.body)).toMatchObject({ code: 'INTERNAL', request_id: 'r-1' });
    expect(world.log.at(-2)).toMatchObject({ level: 'error', event: 'request-failed', fields: { request_id: 'r-1' } });
  });

  test('an answer that breaks the contract is one', async () => {
    const result = await handle(() => Promise.resolve(ok({ replication_factor: 'three' })));
    expect(result.statusCode).toBe(500);
    expect(world.log.at(-2)?.fields['error']).toMatchObject({
      message: expect.stringContaining('breaks its contract') as string,
    });
  });
});

describe('events of a Function URL (version 2)', () => {
  const url = (token: string | undefined, rawQueryString = '') => ({
    version: '2.0',
    rawPath: '/config/replication',
    rawQueryString,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    requestContext: { requestId: 'r-2', http: { method: 'GET' } },
    isBase64Encoded: false,
  });
  const handle = async (event: object) => {
    const { create } = await import('../../functions/api/config.ts');
    return create(fixedRuntime({ deps: world.controlPlane.deps, answers: 'checked' }))(event as never);
  };

  test('the token is checked inside', async () => {
    expect((await handle(url(world.admin))).statusCode).toBe(200);
    expect((await handle(url(undefined))).statusCode).toBe(401);
    expect((await handle(url('nonsense'))).statusCode).toBe(401);
    expect((await handle(url(world.admin, 'a=%E0%A4%A'))).statusCode).toBe(400);
  });
});
