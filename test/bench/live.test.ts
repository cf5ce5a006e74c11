import { AttemptRecorder } from '../../bench/load/attempts.ts';
import type { Attempt } from '../../bench/load/attempts.ts';
import { Rows, trafficKey } from '../../bench/load/rows.ts';
import { ServeIntervals } from '../../bench/load/serve-intervals.ts';
import type { Request } from '../../bench/load/traffic.ts';
import { longestMs, metPause } from '../../bench/load/machine-pauses.ts';
import { failedOf, medianOf, ratiosOf, refusedAtFirst } from '../../bench/load/windows.ts';
import type { HttpCall, HttpOutcome } from '../../client/index.ts';

const request = (dueMs: number, tookMs: number | null, ...codes: readonly string[]): Request => ({
  kind: 'GET',
  key: 'a',
  dueMs,
  tookMs,
  attempts: codes.map((code) => ({ code, tookMs: 1 })),
  error: tookMs === null ? 'no answer' : null,
});

describe('windows', () => {
  const windows = [
    { kind: 'QUIET', fromMs: 0, toMs: 10 },
    { kind: 'BUSY', fromMs: 10, toMs: 20 },
    { kind: 'QUIET', fromMs: 30, toMs: 40 },
    { kind: 'BUSY', fromMs: 40, toMs: 50 },
  ] as const;

  test('each busy window is held against the quiet one before it; a request belongs where it was due', () => {
    const requests = [
      request(0, 10),
      request(9, 20),
      request(10, 60),
      request(25, 9_000),
      request(30, 10),
      request(40, 15),
    ];
    expect(ratiosOf(requests, windows)).toEqual([3, 1.5]);
  });
  test('a request that is never acknowledged makes its window as bad as can be', () => {
    const requests = [request(0, 10), request(10, null), request(30, 10), request(40, 10)];
    expect(ratiosOf(requests, windows)).toEqual([Infinity, 1]);
  });
  test('a window without requests is no measurement', () => {
    expect(() => ratiosOf([request(0, 10)], windows)).toThrow('without requests');
  });
  test('medians', () => {
    expect([medianOf([3, 1, 9]), medianOf([4, 1, 2, 9]), medianOf([])]).toEqual([3, 3, null]);
  });
});

test('failed is what took longer than a second, or got no acknowledgement', () => {
  const requests = [request(0, 1_000), request(0, 1_001), request(0, null)];
  expect(failedOf(requests)).toEqual(requests.slice(1));
});

test('the first attempt decides what was refused at first', () => {
  const requests = [request(0, 5, 'OK'), request(0, 5, 'NOT_LEADER', 'OK'), request(0, 5)];
  expect(refusedAtFirst(requests)).toEqual([requests[1]]);
});

test('rows of a shard are counted by its bounds, wherever a split put them', () => {
  const rows = new Rows([
    { prefix: 'a', rows: 100 },
    { prefix: 'b', rows: 50 },
  ]);
  const middle = 'a00000040';
  expect(rows.countBetween('', null)).toBe(150);
  expect(rows.countBetween('', middle)).toBe(40);
  expect(rows.countBetween(middle, 'b')).toBe(60);
  expect(rows.countBetween(trafficKey(middle, 7), 'b')).toBe(59);
  expect(rows.countBetween('b', null)).toBe(50);
});

test('a handover lasts from the last answer of one leader to the first one of the next, on another node', () => {
  const served = new ServeIntervals();
  const event = (nodeId: string, epoch: number, toMs: number) => ({
    nodeId,
    shardId: 's',
    epoch,
    fromMs: toMs - 1,
    toMs,
  });
  for (const one of [event('a', 1, 10), event('b', 2, 90), event('a', 1, 50), event('b', 2, 70), event('b', 3, 99)])
    served.add(one);
  expect(served.handovers()).toEqual([20]);
});

test('attempts at data nodes are noted for the request that they belong to; calls of the control plane are not', async () => {
  const answers: Record<string, HttpOutcome> = {
    'http://n1/data/get': { kind: 'ANSWERED', status: 409, body: null, retryAfterSeconds: null },
    'http://n2/data/get': { kind: 'ANSWERED', status: 200, body: {}, retryAfterSeconds: null },
    'http://n3/data/get': { kind: 'UNREACHABLE', processed: 'UNKNOWN', message: 'gone' },
    'http://cp/routes/t': { kind: 'ANSWERED', status: 200, body: {}, retryAfterSeconds: null },
  };
  const recorder = new AttemptRecorder({
    call: ({ url }) => Promise.resolve(answers[url] ?? { kind: 'UNREACHABLE', processed: 'NOT_SENT', message: url }),
  });
  const call = (url: string): HttpCall => ({ method: 'POST', url, bearer: null, body: null, timeoutMs: 1 });
  const first: Attempt[] = [];
  const second: Attempt[] = [];
  await Promise.all([
    recorder.during(first, async () => {
      await recorder.call(call('http://n1/data/get'));
      await recorder.call(call('http://cp/routes/t'));
      await recorder.call(call('http://n2/data/get'));
    }),
    recorder.during(second, () => recorder.call(call('http://n3/data/get'))),
  ]);
  expect(first.map(({ code }) => code)).toEqual(['HTTP_409', 'OK']);
  expect(second.map(({ code }) => code)).toEqual(['UNREACHABLE']);
});

describe('pauses of the machine', () => {
  test('requests that met one, or what it had held up, are left out of the quantiles', () => {
    const pauses = [{ fromMs: 100, toMs: 200 }];
    const met = [
      [50, 99],
      [50, 101],
      [150, 160],
      [250, 260],
      [301, 310],
    ].map(([from = 0, to = 0]) => metPause(pauses, from, to));
    expect(met).toEqual([false, true, true, true, false]);
    expect(longestMs(pauses)).toBe(100);
    expect(longestMs([])).toBe(0);
  });
});
