import { ControlPlane } from '../../client/control-plane.ts';
import type { HttpCall, HttpOutcome } from '../../client/ports.ts';
import { settled } from '../support/environment.ts';

/** A client that knows the API's address alone finds the Function URL of routes, and does without it. */
const API = 'https://api.example/v1';
const HOT = 'https://routes.example';

function client(endpoints: (call: HttpCall) => HttpOutcome, url = `${API}/`) {
  const sent: string[] = [];
  const state = { nowMs: 0, hotIsDown: false };
  const controlPlane = new ControlPlane({
    url,
    token: 't',
    environment: { clock: { monotonicMs: () => state.nowMs } },
    network: {
      call: (call) => {
        sent.push(`${call.method} ${call.url} ${call.bearer ?? '-'}`);
        if (call.url.endsWith('/cluster/endpoints')) return Promise.resolve(endpoints(call));
        if (state.hotIsDown && call.url.startsWith(HOT))
          return Promise.resolve({ kind: 'UNREACHABLE', processed: 'NOT_SENT', message: 'down' });
        return Promise.resolve(answered({ routes: [] }));
      },
    },
  });
  const ask = async (): Promise<string[]> => {
    sent.length = 0;
    const outcome = await controlPlane.call({ method: 'GET', path: '/routes/t', query: { key: 'k' }, timeoutMs: 1 });
    expect(outcome.kind).toBe('OK');
    await settled();
    return [...sent];
  };
  return { ask, state, controlPlane, sent };
}
const answered = (body: unknown, status = 200): HttpOutcome => ({
  kind: 'ANSWERED',
  status,
  body,
  retryAfterSeconds: null,
});
const told = (routes: string | null): HttpOutcome => answered({ heartbeats: null, routes });

const QUESTION = `GET ${API}/cluster/endpoints t`;
const BY_API = `GET ${API}/routes/t?key=k t`;
const BY_HOT = `GET ${HOT}/routes/t?key=k t`;

test('the first request does not wait for the address, the next ones use it', async () => {
  const { ask } = client(() => told(`${HOT}/`));
  expect(await ask()).toEqual([QUESTION, BY_API]);
  expect(await ask()).toEqual([BY_HOT]);
});

test('other calls stay with the API', async () => {
  const { ask, controlPlane, sent } = client(() => told(HOT));
  await ask();
  sent.length = 0;
  await controlPlane.call({ method: 'GET', path: '/tables', timeoutMs: 1 });
  expect(sent).toEqual([`GET ${API}/tables t`]);
});

test('when it does not answer, the API does, in the same call; half a minute later it is asked for again', async () => {
  const { ask, state } = client(() => told(HOT));
  await ask();
  state.hotIsDown = true;
  expect(await ask()).toEqual([BY_HOT, BY_API]);
  expect(await ask()).toEqual([BY_API]);
  state.hotIsDown = false;
  state.nowMs += 30_000;
  expect(await ask()).toEqual([QUESTION, BY_API]);
  expect(await ask()).toEqual([BY_HOT]);
});

test.each<[string, HttpOutcome, string?]>([
  ['there is none', told(null)],
  ['an older control plane knows no such call', answered({}, 404)],
  ['the question is refused', answered({}, 403)],
  ['the answer is nonsense', answered({ routes: 'javascript:alert(1)', heartbeats: null })],
  ['the answer would take the token out of TLS', told('http://routes.example')],
  ['nobody answers', { kind: 'UNREACHABLE', processed: 'UNKNOWN', message: 'down' }],
])('the API serves on when %s', async (_what, outcome) => {
  const { ask } = client(() => outcome);
  expect(await ask()).toEqual([QUESTION, BY_API]);
  expect(await ask()).toEqual([BY_API]);
});
