import fc from 'fast-check';
import { calls } from '../../shared/contracts/api/index.ts';
import type { CallName } from '../../shared/contracts/api/index.ts';
import type { Call } from '../../shared/contracts/api/call.ts';
import { problemSchema } from '../../shared/contracts/api/problem.ts';
import { BODY_BYTES_MAX } from '../../shared/runtime/validation.ts';
import { concretePath, queryText, samples } from './samples.ts';
import { apiWorld, newNodeKey, tokensOf } from './world.ts';
import type { Answer, ApiWorld } from './world.ts';

/** Bad input is 400 with the field named, nothing is stored, and nothing that a caller can send is a 500. */
let world: ApiWorld;
let tokens: Record<string, string | null>;

beforeAll(async () => {
  world = await apiWorld();
  const key = newNodeKey();
  const node = await world.register({ id: 'node-101', port: 7101, zone: 'a', key });
  tokens = await tokensOf(world, node, key);
});
afterAll(() => world.close());

const all = Object.entries(calls) as [CallName, Call][];
const named = (filter: (call: Call) => boolean): [CallName, Call][] => all.filter(([, call]) => filter(call));

/** A token that may make the call. */
const tokenFor = (call: Call): string | null =>
  tokens[call.callers.find((kind) => kind !== 'public') ?? 'nobody'] ?? null;

interface Raw {
  params?: Readonly<Record<string, string>>;
  path?: string;
  query?: string;
  body?: string | null;
}

/** Sends the sample of a call with some parts replaced by raw ones. */
function sendRaw(name: CallName, raw: Raw): Promise<Answer> {
  const call: Call = calls[name];
  const sample = samples[name];
  const token = tokenFor(call);
  return world.send({
    method: call.method,
    path: raw.path ?? concretePath(call.path, { ...sample.params, ...raw.params }),
    query: raw.query ?? queryText(sample.query),
    headers: token === null ? [] : [['Authorization', `Bearer ${token}`]],
    body: raw.body === undefined ? (sample.body === undefined ? null : JSON.stringify(sample.body)) : raw.body,
  });
}

async function expectRefused(name: CallName, raw: Raw, field?: string): Promise<void> {
  const before = world.commits();
  const answer = await sendRaw(name, raw);
  expect(answer).toMatchObject({
    status: 400,
    headers: { 'content-type': 'application/problem+json' },
    body: { status: 400, code: expect.stringMatching(/^INVALID_/) as string, detail: expect.any(String) as string },
  });
  expect(answer.body['field']).toEqual(field ?? expect.any(String));
  expect(problemSchema.safeParse(answer.body).success).toBe(true);
  expect(world.commits()).toBe(before);
}

const HOSTILE_IDS = [
  'a b',
  '../etc',
  '\u0000',
  'a'.repeat(65),
  '🦊',
  '<script>',
  "'; DROP TABLE nodes;--",
  '%',
  '{}',
  '-x',
];

describe('path parameters', () => {
  const withParams = named((call) => call.params !== undefined);
  const cases = withParams.flatMap(([name, call]) =>
    Object.keys(call.params?.shape ?? {}).flatMap((param) => HOSTILE_IDS.map((value) => [name, param, value] as const)),
  );
  test.each(cases)('%s: {%s} = %j', async (name, param, value) => {
    const answer = await sendRaw(name, { params: { [param]: value } });
    // System ids allow a few characters that names don't: such an id is well-formed and unknown.
    expect([400, 403, 404]).toContain(answer.status);
    if (answer.status === 400) expect(answer.body['field']).toBe(param);
  });

  test.each(withParams.map(([name]) => name))('%s: broken percent-encoding', async (name) => {
    const call: Call = calls[name];
    await expectRefused(name, { path: call.path.replaceAll(/\{\w+\}/g, '%E0%A4%A') }, 'path');
  });
});

describe('query parameters', () => {
  test.each(all.map(([name]) => name))('%s: an unknown one', (name) => {
    const query = queryText({ ...samples[name].query, nonsense: '1' });
    return expectRefused(name, { query }, 'nonsense');
  });
  test.each(all.map(([name]) => name))('%s: one named __proto__', (name) => {
    const query = queryText(samples[name].query);
    return expectRefused(name, { query: `${query}&__proto__=1` }, '__proto__');
  });
  test.each(all.map(([name]) => name))('%s: one without a name', (name) => {
    return expectRefused(name, { query: `${queryText(samples[name].query)}&=1` }, 'query');
  });
  test.each(all.map(([name]) => name))('%s: broken percent-encoding', (name) => {
    return expectRefused(name, { query: `${queryText(samples[name].query)}&a=%FF%FE` }, 'query');
  });

  const withQuery = named((call) => call.query !== undefined);
  test.each(
    withQuery.flatMap(([name]) =>
      Object.entries(samples[name].query ?? {}).map(([field, v]) => [name, field, v] as const),
    ),
  )('%s: %s given twice', (name, field, value) =>
    expectRefused(name, { query: `${queryText(samples[name].query)}&${field}=${value}` }, field),
  );

  const lists = named((call) => call.query !== undefined && 'limit' in call.query.shape).map(([name]) => name);
  const badLimits = ['0', '-1', '1001', 'abc', '1.5', 'NaN', 'Infinity', '1e99', '', '9007199254740993', '[]'];
  test.each(lists.flatMap((name) => badLimits.map((limit) => [name, limit] as const)))('%s: limit=%s', (name, limit) =>
    expectRefused(name, { query: queryText({ ...samples[name].query, limit }) }, 'limit'),
  );
  const badCursors = ['garbage', 'a'.repeat(5000), '', '🦊', '%00'];
  test.each(lists.flatMap((name) => badCursors.map((cursor) => [name, cursor.slice(0, 40), cursor] as const)))(
    '%s: cursor=%s',
    (name, _shown, cursor) => expectRefused(name, { query: queryText({ ...samples[name].query, cursor }) }, 'cursor'),
  );
  test('a route needs a key', () => expectRefused('getRoute', { query: '' }, 'key'));
  test('a key of more than 1,000 bytes', () => expectRefused('getRoute', { query: `key=${'ä'.repeat(501)}` }, 'key'));
  test('audit entries need an entity', () => expectRefused('listAudit', { query: '' }, 'entity'));
});

describe('bodies', () => {
  const withBody = named((call) => call.body !== undefined).map(([name]) => name);
  const missing: [string, string | null, RegExp][] = [
    ['none', null, /^body$/],
    ['blank', '  ', /^body$/],
  ];
  const wrongWholes: [string, string | null, RegExp][] = [
    ['no JSON', '{"a":', /^body$/],
    ['null', 'null', /./],
    ['an array', '[]', /./],
    ['text', '"x"', /./],
    ['a number', '1e400', /./],
    ['nesting of 100,000 levels', '['.repeat(100_000) + ']'.repeat(100_000), /^body$/],
    ['nesting of 20 levels', '{"a":'.repeat(20) + '1' + '}'.repeat(20), /^body$/],
    ['__proto__', '{"__proto__":{"admin":true}}', /^__proto__$/],
  ];
  const leftOut = named((call) => call.body?.safeParse(undefined).success === true).map(([name]) => name);
  const wrong = withBody.flatMap((name) =>
    [...(leftOut.includes(name) ? [] : missing), ...wrongWholes].map((row) => [name, ...row] as const),
  );
  test.each(leftOut)('%s: the body may be left out', async (name) => {
    for (const [, body] of missing) {
      const answer = await sendRaw(name, { body, params: { node_id: 'nobody' } });
      expect(answer.status).toBe(404);
    }
  });
  test.each(wrong)('%s: %s', async (name, _what, body, field) => {
    await expectRefused(name, { body });
    expect((await sendRaw(name, { body })).body['field']).toMatch(field);
  });
  test.each(withBody)('%s: an unknown field', (name) => {
    const body = JSON.stringify({ ...samples[name].body, nonsense: 1 });
    return expectRefused(name, { body }, 'nonsense');
  });
  test.each(withBody)('%s: too large', async (name) => {
    const answer = await sendRaw(name, { body: JSON.stringify({ x: 'x'.repeat(BODY_BYTES_MAX) }) });
    expect(answer).toMatchObject({ status: 413, body: { code: 'PAYLOAD_TOO_LARGE', field: 'body' } });
  });
  test.each(named((call) => call.body === undefined).map(([name]) => name))('%s: takes no body', (name) =>
    expectRefused(name, { body: '{"x":1}' }, 'body'),
  );

  const HOSTILE_VALUES: readonly unknown[] = [
    null,
    true,
    -1,
    1.5,
    1e308,
    '',
    '\u0000',
    'a b',
    'x'.repeat(2000),
    '\ud800',
    [],
    [null],
    {},
    { toString: 1 },
    Array.from({ length: 10_001 }, () => 'k'),
  ];
  /** Values that a field takes although they look hostile. */
  const taken = (name: CallName, field: string, value: unknown): boolean => {
    const body = { ...samples[name].body, [field]: value };
    return (calls[name] as Call).body?.safeParse(body).success === true;
  };
  const fields = withBody.flatMap((name) =>
    Object.keys(samples[name].body ?? {}).map((field) => [name, field] as const),
  );
  test.each(fields)('%s: %s with values of other types and sizes', async (name, field) => {
    let refused = 0;
    for (const value of HOSTILE_VALUES) {
      if (taken(name, field, value)) continue;
      const body = JSON.stringify({ ...samples[name].body, [field]: value });
      await expectRefused(name, { body });
      refused++;
    }
    expect(refused).toBeGreaterThan(5);
  });
  test.each(fields)('%s: %s is named when it is wrong', async (name, field) => {
    const answer = await sendRaw(name, { body: JSON.stringify({ ...samples[name].body, [field]: { wrong: true } }) });
    expect(String(answer.body['field']).split(/[.[]/)[0]).toBe(field);
  });
  test.each(fields)('%s: half of a surrogate pair in %s', async (name, field) => {
    const body = { ...samples[name].body, [field]: '\ud83e' };
    await expectRefused(name, { body: JSON.stringify(body) }, field);
    await expectRefused(
      name,
      { body: JSON.stringify({ ...samples[name].body, [field]: ['a', '\udc00'] }) },
      `${field}[1]`,
    );
    await expectRefused(name, { body: JSON.stringify({ ...samples[name].body, '\ud800': 1 }) }, 'body');
  });
  test.each(fields)('%s: without %s', async (name, field) => {
    const { [field]: _left, ...rest } = samples[name].body ?? {};
    if ((calls[name] as Call).body?.safeParse(rest).success === true) return; // optional
    await expectRefused(name, { body: JSON.stringify(rest) });
  });
});

describe('paths and methods', () => {
  test.each([
    '/',
    '/nothing',
    '/cluster',
    '/cluster/nodes/node-101/secrets',
    '/tables/cities/rows/1',
    '/shards/',
    '//',
    '/healthz/x',
  ])('%s is nobody: 404', async (path) => {
    const answer = await world.call('GET', path);
    expect(answer).toMatchObject({ body: { code: expect.stringMatching(/^(NOT_FOUND|INVALID_REQUEST)$/) as string } });
    expect([400, 404]).toContain(answer.status);
  });
  test.each(all)('%s: another method is 405 and tells which are allowed', async (name, call) => {
    const path = concretePath(call.path, samples[name].params);
    const answer = await world.call('PATCH', path, { token: tokenFor(call) });
    expect(answer).toMatchObject({ status: 405, body: { code: 'METHOD_NOT_ALLOWED' } });
    expect(answer.headers['allow']?.split(', ')).toContain(call.method);
  });
});

test('anything at all: never a 5xx, always problem details when refused', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.constantFrom('..', '%', '%zz', '\u0000', '__proto__'),
  );
  const request = fc.record({
    name: fc.constantFrom(...all.map(([name]) => name)),
    method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS'),
    keepMethod: fc.boolean(),
    param: text,
    keepParams: fc.boolean(),
    query: fc.array(fc.tuple(fc.oneof(text, fc.constantFrom('limit', 'cursor', 'key', 'table')), text), {
      maxLength: 4,
    }),
    body: fc.oneof(
      fc.constant(null),
      text,
      fc.json(),
      fc.dictionary(text, fc.jsonValue()).map((value) => JSON.stringify(value)),
    ),
    mutate: fc.option(fc.tuple(fc.nat(9), fc.jsonValue())),
    header: fc.string({ maxLength: 20 }),
  });
  await fc.assert(
    fc.asyncProperty(request, async ({ name, method, keepMethod, param, keepParams, query, body, mutate, header }) => {
      const call: Call = calls[name];
      const sample = samples[name];
      const params = keepParams
        ? sample.params
        : Object.fromEntries(Object.keys(sample.params ?? {}).map((k) => [k, param]));
      const fields = Object.keys(sample.body ?? {});
      const mutated =
        mutate === null || fields.length === 0
          ? body
          : JSON.stringify({ ...sample.body, [fields[mutate[0] % fields.length] ?? '']: mutate[1] });
      const path = call.path.replaceAll(/\{(\w+)\}/g, (_all, key: string) => {
        const value = params?.[key] ?? '';
        return value.isWellFormed() ? encodeURIComponent(value) : value;
      });
      const answer = await world.send({
        method: keepMethod ? call.method : method,
        path,
        query: query.map(([key, value]) => `${key}=${value}`).join('&'),
        headers: [
          ['Authorization', `Bearer ${tokenFor(call) ?? header}`],
          ['Idempotency-Key', header],
        ],
        body: mutated,
      });
      expect(answer.status).toBeLessThan(500);
      if (answer.status !== 200) expect(problemSchema.safeParse(answer.body).success).toBe(true);
    }),
    { numRuns: 1500, seed: 20_261_120 },
  );
  expect(world.log.filter((line) => line.event === 'request-failed')).toEqual([]);
});
