import { ControlPlane } from '../../client/control-plane.ts';
import type { HttpCall, HttpOutcome } from '../../client/ports.ts';
import { Routes } from '../../client/routes.ts';
import type { Route } from '../../shared/contracts/data/rows.ts';
import { seededRandom } from '../simulation/random.ts';
import { VirtualTime } from '../simulation/virtual-time.ts';
import { route } from './support.ts';

/** The client's follower of routes, under virtual time, against a control plane as a script. */

const LATENCY_MS = 5;

/** A table of shards, and the numbered changes that it went through. */
function world() {
  const time = new VirtualTime();
  const environment = { ...time.processEnvironment({ name: 'client' }), random: seededRandom('follower') };
  const calls: { path: string; query: URLSearchParams; body: unknown; atMs: number }[] = [];
  const state = { routes: [] as Route[], log: [] as Route[][], answer: null as HttpOutcome | null };
  const answered = (body: unknown, status = 200): HttpOutcome => ({
    kind: 'ANSWERED',
    status,
    body,
    retryAfterSeconds: null,
  });
  const problem = (status: number, code: string): HttpOutcome =>
    answered({ type: 'about:blank', title: code, status, code, detail: code }, status);
  const serve = (url: URL, body: unknown): HttpOutcome => {
    if (url.pathname === '/cluster/endpoints') return problem(404, 'NOT_FOUND');
    if (!url.pathname.endsWith('/changes')) {
      const { keys } = body as { keys: readonly string[] };
      const holds = (one: Route, key: string) => one.start_key <= key && (one.end_key === null || key < one.end_key);
      const routes = state.routes.filter((one) => keys.some((key) => holds(one, key)));
      return answered({ routes, next_cursor: null });
    }
    if (state.answer !== null) return state.answer;
    const cursor = url.searchParams.get('cursor');
    const from = cursor === null ? state.log.length : Number(cursor);
    return answered({
      phase: 'DELTAS',
      routes: state.log.slice(from).flat(),
      gone: [],
      next_cursor: String(state.log.length),
      more: false,
      poll_after_ms: 1_000,
    });
  };
  const call = async (request: HttpCall): Promise<HttpOutcome> => {
    const url = new URL(request.url);
    calls.push({ path: url.pathname, query: url.searchParams, body: request.body, atMs: time.nowMs() });
    const outcome = serve(url, request.body);
    await environment.timers.sleep(LATENCY_MS);
    return outcome;
  };
  const controlPlane = new ControlPlane({ url: 'http://cp', token: 't', network: { call }, environment });
  const closing = new AbortController();
  const routes = new Routes(controlPlane, environment.clock, { environment, signal: closing.signal });
  return {
    time,
    routes,
    state,
    problem,
    calls,
    close: () => closing.abort(),
    polls: () => calls.filter(({ path }) => path.endsWith('/changes')),
    lookups: () => calls.filter(({ path }) => path.endsWith('/batch')),
    /** The table is now like this, and says so in its feed. */
    change: (now: Route[], told: Route[] = now) => {
      state.routes = now;
      state.log.push(told);
    },
    pass: (ms: number) => time.run(() => false, time.nowMs() + ms),
    resolve: async (key: string) => {
      let done: string | null = null;
      void routes.resolve('t', key).then((found) => (done = found.shardId));
      await time.run(() => done !== null, time.nowMs() + 10_000);
      return done;
    },
    shown: (key: string) => {
      const found = routes.cached('t', key);
      return found === null ? null : `${found.shardId} epoch ${found.epoch} ${found.leader.nodeId}`;
    },
  };
}

const left = (parts: Parameters<typeof route>[0] = {}) => route({ shard_id: 'left', end_key: 'm', ...parts });
const right = (parts: Parameters<typeof route>[0] = {}) => route({ shard_id: 'right', start_key: 'm', ...parts });

describe('a client that follows routes', () => {
  test('knows a new leader before it asks for one', async () => {
    const it = world();
    it.state.routes = [left(), right()];
    await it.resolve('a');
    expect(it.shown('a')).toBe('left epoch 1 n1');
    await it.pass(3_000);
    it.change(
      [left({ epoch: 2, generation: 2, node: 'n2' }), right()],
      [left({ epoch: 2, generation: 2, node: 'n2' })],
    );
    await it.pass(2_000);
    expect(it.shown('a')).toBe('left epoch 2 n2');
    expect(it.lookups()).toHaveLength(1);
    it.close();
  });

  test('asks for what changes from now on, and keeps nothing that it did not use', async () => {
    const it = world();
    it.state.routes = [left(), right()];
    await it.resolve('a');
    it.routes.cached('t', 'a');
    await it.pass(1_500);
    expect(it.polls()[0]?.query.get('start')).toBe('latest');
    it.change([left(), right({ epoch: 5, generation: 9, node: 'n3' })]);
    await it.pass(2_000);
    expect(it.shown('z')).toBeNull();
    expect(it.shown('a')).toBe('left epoch 1 n1');
    it.close();
  });

  test('takes both parts of a split, and a merge; what comes late does no harm', async () => {
    const it = world();
    it.state.routes = [route({ shard_id: 'left', generation: 3 })];
    await it.resolve('a');
    it.routes.cached('t', 'a');
    await it.pass(1_500);
    const [l, r] = [left({ generation: 4 }), right({ generation: 4, epoch: 2, node: 'n2' })];
    it.change([l, r]);
    await it.pass(2_000);
    expect([it.shown('a'), it.shown('z')]).toEqual(['left epoch 1 n1', 'right epoch 2 n2']);
    const merged = route({ shard_id: 'left', generation: 8, epoch: 4, node: 'n3' });
    it.change([merged]);
    // Of before the merge, and brought after it.
    it.change([merged], [right({ generation: 7, epoch: 3, node: 'n4' })]);
    await it.pass(3_000);
    expect([it.shown('a'), it.shown('z')]).toEqual(['left epoch 4 n3', 'left epoch 4 n3']);
    expect(it.lookups()).toHaveLength(1);
    it.close();
  });

  test('begins anew when its cursor has expired, backs off from failures, and goes on', async () => {
    const it = world();
    it.state.routes = [left(), right()];
    await it.resolve('a');
    it.routes.cached('t', 'a');
    await it.pass(2_500);
    it.state.answer = it.problem(503, 'STORE_UNAVAILABLE');
    const before = it.polls().length;
    await it.pass(60_000);
    const tries = it.polls().length - before;
    expect(tries).toBeGreaterThan(3);
    expect(tries).toBeLessThan(10);
    it.state.answer = it.problem(409, 'CURSOR_EXPIRED');
    await it.pass(40_000);
    it.state.answer = null;
    await it.pass(5_000);
    it.change([left({ epoch: 2, generation: 2, node: 'n2' }), right()]);
    await it.pass(2_500);
    expect(it.shown('a')).toBe('left epoch 2 n2');
    it.close();
  });

  test('stops when nobody uses the table, goes on when somebody does, and ends at close', async () => {
    const it = world();
    it.state.routes = [left(), right()];
    await it.resolve('a');
    it.routes.cached('t', 'a');
    await it.pass(700_000);
    const idle = it.polls().length;
    await it.pass(100_000);
    expect(it.polls()).toHaveLength(idle);
    it.routes.cached('t', 'a');
    await it.pass(10_000);
    const again = it.polls().length;
    expect(again).toBeGreaterThan(idle + 5);
    it.close();
    await it.pass(100_000);
    expect(it.polls().length).toBeLessThanOrEqual(again + 1);
  });

  test('leaves it when the control plane does not serve changes', async () => {
    const it = world();
    it.state.routes = [left(), right()];
    it.state.answer = it.problem(404, 'NOT_FOUND');
    await it.resolve('a');
    for (let round = 0; round < 20; round++) {
      it.routes.cached('t', 'a');
      await it.pass(5_000);
    }
    expect(it.polls()).toHaveLength(1);
  });
});

describe('misses', () => {
  test('many at a time for neighbouring keys are one request, those that come meanwhile none', async () => {
    const it = world();
    it.state.routes = [left(), right()];
    const keys = Array.from({ length: 40 }, (_, index) => `a${index}`);
    let found = 0;
    const miss = (key: string): void => void it.routes.resolve('t', key).then(() => found++);
    for (const key of keys.slice(0, 10)) miss(key);
    await it.pass(1);
    for (const key of keys.slice(10)) miss(key); // the answer is under way
    await it.pass(50);
    expect(found).toBe(40);
    expect(it.lookups()).toHaveLength(1);
    it.close();
  });

  test('a route in doubt does not wait for other requests', async () => {
    const it = world();
    it.state.routes = [left(), right()];
    await it.resolve('a');
    const used = it.routes.cached('t', 'a')!;
    void it.routes.resolve('t', 'z');
    await it.pass(1);
    void it.routes.refresh('t', 'a', used);
    await it.pass(1);
    expect(it.lookups()).toHaveLength(3);
    it.close();
  });
});
