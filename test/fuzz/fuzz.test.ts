import { calls } from '../../shared/contracts/api/index.ts';
import type { Call } from '../../shared/contracts/api/call.ts';
import { seededRandom } from '../simulation/random.ts';
import { runCampaign } from './campaign.ts';
import { jsonText } from './hostile.ts';
import { judge } from './judge.ts';
import type { FuzzRequest } from './requests.ts';
import { drawValue } from './schema-values.ts';
import type { WireAnswer } from './world.ts';

const all = Object.entries(calls) as [keyof typeof calls, Call][];

describe('values made from a contract', () => {
  const draw = (seed: number, sabotage: number | null) => ({
    random: seededRandom(seed),
    known: () => undefined,
    sabotage,
    nowMs: Date.UTC(2026, 10, 21),
  });
  test.each(all)('%s: what is drawn is taken', (_name, call) => {
    for (let seed = 0; seed < 60; seed++) {
      for (const schema of [call.params, call.query, call.body]) {
        if (schema === undefined) continue;
        const value = drawValue(schema, 'whole', draw(seed, null));
        // As it arrives: fields that are left out are gone.
        const sent: unknown = value === undefined ? undefined : JSON.parse(jsonText(value));
        expect(schema.safeParse(sent).error).toBeUndefined();
      }
    }
  });
  const withBody = all.filter(([, call]) => call.body !== undefined);
  test.each(withBody)('%s: what is spoiled is mostly refused', (_name, call) => {
    let refused = 0;
    for (let seed = 0; seed < 100; seed++) {
      const value = drawValue(call.body!, 'whole', draw(seed, 1));
      if (value === undefined || !call.body!.safeParse(JSON.parse(jsonText(value))).success) refused += 1;
    }
    expect(refused).toBeGreaterThan(30);
  });
});

describe('the judge finds', () => {
  const request = (over: Partial<FuzzRequest['wire']> = {}, mayCall = true): FuzzRequest => ({
    name: 'getReplicationConfig',
    token: { header: 'Bearer x', what: 'admin', mayCall },
    key: null,
    values: { params: {}, query: {}, body: undefined },
    wire: {
      door: 'rest-api',
      method: 'GET',
      path: '/config/replication',
      query: '',
      headers: [],
      body: null,
      base64: false,
      ...over,
    },
  });
  const good: WireAnswer = {
    status: 200,
    headers: { 'content-type': 'application/json', 'x-request-id': 'r' },
    text: '{"replication_factor":3,"strategy":"rack-aware"}',
    changes: [],
  };
  const problem = (over: object, status = 409): WireAnswer => ({
    ...good,
    status,
    headers: { 'content-type': 'application/problem+json', 'x-request-id': 'r' },
    text: JSON.stringify({ type: 'urn:x', title: 'X', status, code: 'CONFLICT', detail: 'Why.', ...over }),
  });
  const kinds = (asked: FuzzRequest, answer: WireAnswer): string[] =>
    judge(asked, answer).findings.map(({ kind, what }) => `${kind}: ${what}`);

  test('nothing in answers by the contract', () => {
    expect(kinds(request(), good)).toEqual([]);
    expect(kinds(request(), problem({}))).toEqual([]);
  });
  test.each<[string, FuzzRequest, WireAnswer, RegExp]>([
    ['a 5xx', request(), problem({ code: 'INTERNAL' }, 500), /^FIVE_XX/],
    ['a status of no kind', request(), { ...good, status: 202 }, /status 202/],
    [
      'an answer that breaks its schema',
      request(),
      { ...good, text: '{"replication_factor":"3"}' },
      /breaks its contract/,
    ],
    [
      'a field that the contract does not name',
      request(),
      { ...good, text: '{"replication_factor":3,"strategy":"rack-aware","secret":1}' },
      /field secret/,
    ],
    ['a code that is not declared', request(), problem({ code: 'OOPS' }), /OOPS is not declared/],
    ['a problem that is none', request(), problem({ detail: 7 }), /no problem document/],
    ['a status that differs', request(), problem({ status: 400 }), /status 409 with a problem of 400/],
    ['bad input without its field', request(), problem({ code: 'INVALID_REQUEST' }, 400), /without a field/],
    ['a 401 without a challenge', request(), problem({ code: 'UNAUTHENTICATED' }, 401), /www-authenticate/],
    ['a refusal that left something', request(), { ...problem({}), changes: ['put catalog CONFIG C#x'] }, /^CHANGED/],
    ['a read that wrote', request(), { ...good, changes: ['put catalog CONFIG C#x'] }, /^CHANGED/],
    [
      'a dry run that wrote',
      request({ method: 'POST', path: '/shards/rebalance', body: '{"dry_run":true}' }),
      { ...good, changes: ['put operations OPERATIONS O#x'] },
      /^CHANGED/,
    ],
    ['a wrong token that was let in', request({}, false), good, /^LET_IN: token/],
    ['a query that the call does not take', request({ query: 'a=1' }), good, /^LET_IN: the query/],
    ['a stack trace', request(), problem({ detail: 'at x (store.ts:12)' }), /shows the inside/],
  ])('%s', (_what, asked, answer, finding) => {
    expect(kinds(asked, answer)).toContainEqual(expect.stringMatching(finding));
  });
  test('a body that the contract refuses and the API took', () => {
    const asked: FuzzRequest = {
      ...request({ method: 'PUT', path: '/config/rebalance', body: '{"tick":"maybe"}' }),
      name: 'setRebalanceConfig',
    };
    expect(kinds(asked, good)).toContainEqual('LET_IN: the body');
  });
});

test('some thousand requests of every kind: no 5xx, nothing outside the contract, nothing changed by a refusal', async () => {
  const report = await runCampaign({ requests: 3_000, seed: 20_261_121 });
  expect({ failures: report.failures, behind: report.behind }).toEqual({ failures: [], behind: [] });
  expect(report.replays).toBeGreaterThan(5);
  // The long run (npm run fuzz) reaches all of them.
  expect(report.covered.length).toBeGreaterThan(0.8 * all.length);
}, 180_000);
