import { discoveringTransport } from '../../../data-node/agent/discovery.ts';
import type { ControlPlaneTransport } from '../../../data-node/agent/ports.ts';
import { err, ok } from '../../../shared/domain/result.ts';
import { settled } from '../../support/environment.ts';

/** A node that knows the API's address alone finds the Function URL of heartbeats, and does without it. */
const API = 'https://api.example/v1';
const HOT = 'https://beats.example/';

function node(endpoints: { status: number; body: unknown } | 'UNREACHABLE', baseUrl = API) {
  const sent: string[] = [];
  const state = { nowMs: 0, hotIsDown: false };
  const transportTo = (url: string): ControlPlaneTransport => ({
    call: ({ path, bearer }) => {
      sent.push(`${url} ${path} ${bearer}`);
      if (path === '/cluster/endpoints') {
        if (endpoints === 'UNREACHABLE') return Promise.resolve(err({ code: 'UNREACHABLE', message: 'down' }));
        return Promise.resolve(ok({ ...endpoints, retryAfterSeconds: null }));
      }
      if (state.hotIsDown && url === HOT) return Promise.resolve(err({ code: 'UNREACHABLE', message: 'down' }));
      return Promise.resolve(ok({ status: 200, body: {}, retryAfterSeconds: null }));
    },
  });
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const clock = { wallMs: () => state.nowMs, monotonicMs: () => state.nowMs };
  const transport = discoveringTransport({ baseUrl, transportTo, clock, log });
  const call = async (path: string): Promise<{ ok: boolean; sent: string[] }> => {
    sent.length = 0;
    const answer = await transport.call({ method: 'POST', path, bearer: 'cred', body: null, timeoutMs: 1 });
    await settled();
    return { ok: answer.ok, sent: [...sent] };
  };
  return { call, state };
}

const told = (heartbeats: string | null) => ({ status: 200, body: { heartbeats, routes: null } });
const BEAT = '/cluster/nodes/node-101/heartbeat';
const QUESTION = `${API} /cluster/endpoints cred`;

test('the first beat does not wait for the address, the next ones use it', async () => {
  const { call } = node(told(HOT));
  expect((await call(BEAT)).sent).toEqual([QUESTION, `${API} ${BEAT} cred`]);
  for (const path of [
    BEAT,
    '/cluster/nodes/node-101/reports',
    '/cluster/nodes/node-101/release',
    '/cluster/heartbeats',
  ])
    expect((await call(path)).sent).toEqual([`${HOT} ${path} cred`]);
});

test('registration and reads of shards stay with the API, and ask for nothing', async () => {
  const { call } = node(told(HOT));
  for (const path of ['/cluster/nodes/register', '/shards/shard-1'])
    expect((await call(path)).sent).toEqual([`${API} ${path} cred`]);
});

test('when it does not answer, the next beat goes by the API; half a minute later it is asked for again', async () => {
  const { call, state } = node(told(HOT));
  await call(BEAT);
  state.hotIsDown = true;
  expect(await call(BEAT)).toEqual({ ok: false, sent: [`${HOT} ${BEAT} cred`] });
  expect(await call(BEAT)).toEqual({ ok: true, sent: [`${API} ${BEAT} cred`] });
  state.hotIsDown = false;
  state.nowMs += 30_000;
  expect((await call(BEAT)).sent).toEqual([QUESTION, `${API} ${BEAT} cred`]);
  expect((await call(BEAT)).sent).toEqual([`${HOT} ${BEAT} cred`]);
});

test.each<[string, Parameters<typeof node>[0]]>([
  ['there is none', told(null)],
  ['an older control plane knows no such call', { status: 404, body: {} }],
  ['the answer is nonsense', { status: 200, body: { heartbeats: 'file:///etc/passwd', routes: null } }],
  ['the answer would take the credential out of TLS', told('http://beats.example')],
  ['nobody answers', 'UNREACHABLE'],
])('the API serves on when %s', async (_what, endpoints) => {
  const { call } = node(endpoints);
  expect((await call(BEAT)).sent).toEqual([QUESTION, `${API} ${BEAT} cred`]);
  expect((await call(BEAT)).sent).toEqual([`${API} ${BEAT} cred`]);
});
