import { ANSWER_KEPT_MS, CLAIM_MS, withIdempotency } from '../../shared/runtime/idempotency.ts';
import type { HttpAnswer } from '../../shared/runtime/problem.ts';
import type { Deps } from '../../shared/ports.ts';
import { apiWorld } from './world.ts';
import type { Answer, ApiWorld } from './world.ts';

/** I-11: same key and body, one effect and the same answer for 24 h; another body is refused. */
let world: ApiWorld;
beforeEach(async () => {
  world = await apiWorld();
});
afterEach(() => world.close());

const issue = (key: string, body: object = { lifetime_seconds: 600 }, token?: string): Promise<Answer> =>
  world.call('POST', '/cluster/join-tokens', {
    body,
    headers: { 'Idempotency-Key': key },
    ...(token === undefined ? {} : { token }),
  });
const tokensIssued = async (): Promise<number> => {
  const page = await world.controlPlane.deps.records.query('joinToken', {
    partition: {},
    order: 'forward',
    limit: 100,
  });
  return page.items.length;
};

describe('through the front door', () => {
  test('the same request again: the same answer, one effect', async () => {
    const first = await issue('key-1');
    const second = await issue('key-1');
    expect(second.body).toEqual(first.body);
    expect(second.headers['idempotency-replayed']).toBe('true');
    expect(first.headers['idempotency-replayed']).toBeUndefined();
    expect(await tokensIssued()).toBe(1);
  });

  test('the same JSON in another spelling is the same request', async () => {
    await issue('key-1', {});
    const answer = await world.send({
      method: 'POST',
      path: '/cluster/join-tokens',
      headers: [
        ['authorization', `Bearer ${world.admin}`],
        ['IDEMPOTENCY-KEY', 'key-1'],
      ],
      body: ' {\n } ',
    });
    expect(answer.headers['idempotency-replayed']).toBe('true');
  });

  test('another body: 409', async () => {
    await issue('key-1');
    expect(await issue('key-1', { lifetime_seconds: 601 })).toMatchObject({
      status: 409,
      body: { code: 'IDEMPOTENCY_KEY_REUSED', field: 'Idempotency-Key' },
    });
    expect(await tokensIssued()).toBe(1);
  });

  test('keys of different callers and of different calls never meet', async () => {
    const bob = await world.controlPlane.issueAdminToken('bob', 3_600_000);
    expect((await issue('key-1')).status).toBe(200);
    expect((await issue('key-1', { lifetime_seconds: 600 }, bob)).headers['idempotency-replayed']).toBeUndefined();
    const table = await world.call('DELETE', '/tables/none', { headers: { 'Idempotency-Key': 'key-1' } });
    expect(table).toMatchObject({ status: 404, body: { code: 'TABLE_NOT_FOUND' } });
  });

  test('a refusal is an answer too', async () => {
    const remove = () => world.call('DELETE', '/tables/none', { headers: { 'Idempotency-Key': 'key-2' } });
    const first = await remove();
    const second = await remove();
    expect(second).toMatchObject({ status: 404, headers: { 'content-type': 'application/problem+json' } });
    expect({ ...second.body, request_id: '' }).toEqual({ ...first.body, request_id: '' });
  });

  test('after 24 hours a key is free', async () => {
    await issue('key-1');
    world.clock.advance(ANSWER_KEPT_MS + 1);
    const token = await world.controlPlane.issueAdminToken('ann', 3_600_000);
    const again = await issue('key-1', { lifetime_seconds: 700 }, token);
    expect(again.status).toBe(200);
    expect(await tokensIssued()).toBe(2);
  });

  test.each(['', ' ', 'a b', 'ä', 'x'.repeat(256), 'a\tb'])('a malformed key is refused: %j', async (key) => {
    const answer = await issue(key);
    expect(answer).toMatchObject({ status: 400, body: { field: 'Idempotency-Key' } });
  });

  test('two at once: one effect; the other is told to ask again', async () => {
    const answers = await Promise.all([issue('key-1'), issue('key-1'), issue('key-1')]);
    expect(await tokensIssued()).toBe(1);
    for (const answer of answers) {
      if (answer.status === 200) continue;
      expect(answer).toMatchObject({
        status: 409,
        body: { code: 'IDEMPOTENT_REQUEST_UNDER_WAY' },
        headers: { 'retry-after': '1' },
      });
    }
    expect((await issue('key-1')).status).toBe(200);
    expect(await tokensIssued()).toBe(1);
  });
});

describe('when things go wrong', () => {
  const request = { scope: 'admin:ann:test', key: 'k', requestHash: 'h' };
  const done: HttpAnswer = { status: 200, headers: { 'content-type': 'application/json' }, body: { done: true } };
  const refused = (status: number, headers: Record<string, string> = {}): HttpAnswer => ({
    status,
    headers,
    body: { code: 'X' },
  });
  const run = (work: (deps: Deps) => Promise<HttpAnswer>) =>
    withIdempotency(world.controlPlane.deps, request, 'r', work);
  const auditedChange = (deps: Deps, number: number) =>
    deps.records.commit({
      writes: [
        {
          kind: 'put',
          entity: 'config',
          value: { configKey: `test-${number}`, configValue: number, updatedAtMs: 0 },
          when: [{ kind: 'absent' }],
        },
      ],
      audit: [{ entity: `config:test-${number}`, number: 1, action: 'SET', principal: 'admin:ann', detail: null }],
      events: [],
    });

  test.each([
    ['503', refused(503)],
    ['429', refused(429)],
    ['a 409 with Retry-After', refused(409, { 'retry-after': '1' })],
  ])('%s is not kept: the retry may succeed', async (_name, transient) => {
    expect(await run(() => Promise.resolve(transient))).toEqual(transient);
    expect(await run(() => Promise.resolve(done))).toEqual(done);
  });

  test('a failure gives the key free', async () => {
    await expect(run(() => Promise.reject(new Error('bug')))).rejects.toThrow('bug');
    expect(await run(() => Promise.resolve(done))).toEqual(done);
  });

  test('a holder that died is succeeded after its claim has run out, not before', async () => {
    const never = new Promise<HttpAnswer>(() => undefined);
    void run(() => never);
    await new Promise((resolve) => setImmediate(resolve));
    world.clock.advance(CLAIM_MS - 1);
    await expect(run(() => Promise.resolve(done))).rejects.toMatchObject({
      fault: { code: 'IDEMPOTENT_REQUEST_UNDER_WAY' },
    });
    world.clock.advance(1);
    expect(await run(() => Promise.resolve(done))).toEqual(done);
  });

  test('a holder that was only slow can commit nothing once it is succeeded: one effect', async () => {
    let resume = (): void => undefined;
    const paused = new Promise<void>((resolve) => (resume = resolve));
    const slow = run(async (deps) => {
      await paused;
      await auditedChange(deps, 1);
      return done;
    });
    await new Promise((resolve) => setImmediate(resolve));
    world.clock.advance(CLAIM_MS);
    await run(async (deps) => {
      expect((await auditedChange(deps, 2)).ok).toBe(true);
      return done;
    });
    resume();
    await expect(slow).rejects.toMatchObject({ fault: { code: 'IDEMPOTENT_REQUEST_UNDER_WAY' } });
    const { records } = world.controlPlane.deps;
    expect(await records.get('config', { configKey: 'test-1' })).toBeNull();
    expect(await records.get('config', { configKey: 'test-2' })).not.toBeNull();
    // The successor's answer stands.
    expect(await run(() => Promise.reject(new Error('not run again')))).toMatchObject({ body: { done: true } });
  });

  test("a conflict of the use case's own writes is still its own", async () => {
    await run(async (deps) => {
      await auditedChange(deps, 1);
      const again = await auditedChange(deps, 1);
      expect(again).toMatchObject({ ok: false });
      return done;
    });
  });

  test('a store that fails while the answer is kept does not fail the request', async () => {
    const answer = await run(() => {
      world.faults.use((call) => (call.method === 'write' ? { refuse: 'UNAVAILABLE' } : null));
      return Promise.resolve(done);
    });
    world.faults.none();
    expect(answer).toEqual(done);
    expect(world.log.map((line) => line.event)).toContain('idempotent-answer-not-kept');
  });
});
