import { calls } from '../../shared/contracts/api/index.ts';
import type { CallName } from '../../shared/contracts/api/index.ts';
import type { Call } from '../../shared/contracts/api/call.ts';
import type { SeededRandom } from '../simulation/random.ts';
import { brokenText, HOSTILE_TEXTS, hostileText, jsonText } from './hostile.ts';
import type { Knowledge } from './knowledge.ts';
import { drawValue } from './schema-values.ts';
import type { Draw } from './schema-values.ts';
import { drawSubject } from './subject.ts';
import type { Subject } from './subject.ts';
import type { Presented, Tokens } from './tokens.ts';
import type { FuzzWorld, WireRequest } from './world.ts';

/** Requests made from the contract of a call: well-formed ones about things that exist, and ones with something wrong. */

export interface FuzzRequest {
  readonly name: CallName;
  readonly wire: WireRequest;
  readonly token: Presented;
  /** Idempotency key that is well-formed; null: none, or the call takes none. */
  readonly key: string | null;
  /** Values from which path, query and body were made. */
  readonly values: RequestValues;
}

export interface RequestValues {
  readonly params: Readonly<Record<string, unknown>>;
  readonly query: Readonly<Record<string, unknown>>;
  /** Undefined: no body. */
  readonly body: unknown;
}

interface Parts {
  readonly world: FuzzWorld;
  readonly knowledge: Knowledge;
  readonly tokens: Tokens;
  readonly random: SeededRandom;
}

/** How much of a request is spoiled: none of it in about half of them. */
const SPOILED_VALUES_RATE = 0.3;
/** Nodes of a body's tree among which the spoiled one is chosen. */
const SPOILED_WITHIN = 12;
const BROKEN_BODY_RATE = 0.04;
const ODD_PATH_RATE = 0.03;
const ODD_QUERY_RATE = 0.04;
const ODD_METHOD_RATE = 0.02;
const WRONG_TOKEN_RATE = 0.06;
const ODD_HEADER_RATE = 0.05;

export async function drawRequest(parts: Parts, name: CallName, given?: RequestValues): Promise<FuzzRequest> {
  const { world, knowledge, tokens, random } = parts;
  const call: Call = calls[name];
  const subject = drawSubject(name, world, knowledge, random);
  const values = given ?? drawValues(call, subject, parts);
  const token = random.chance(WRONG_TOKEN_RATE)
    ? await tokens.wrong(call, subject.node)
    : await tokens.right(call, subject.node);
  const key = drawKey(call, random);
  const headers = [...tokenHeaders(token, random), ...keyHeaders(call, key, random), ...oddHeaders(random)];
  const text = bodyText(values.body, random);
  const hot = call.resource === 'heartbeat' || call.resource === 'routes';
  const door = hot && random.chance(0.3) ? 'function-url' : 'rest-api';
  const base64 = door === 'function-url' && text !== null && random.chance(0.2);
  return {
    name,
    token,
    key,
    values,
    wire: {
      door,
      method: random.chance(ODD_METHOD_RATE) ? random.pick(METHODS) : call.method,
      path: pathText(call, values.params, random),
      query: queryText(values.query, random),
      headers,
      body: base64 ? base64Of(text, random) : text,
      base64,
    },
  };
}

const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'TRACE', 'get', 'QUERY', ''];

function drawValues(call: Call, subject: Subject, { world, random }: Parts): RequestValues {
  const draw: Draw = { random, known: subject.known, sabotage: null, nowMs: world.nowMs() };
  if (random.chance(SPOILED_VALUES_RATE)) draw.sabotage = 1 + random.below(SPOILED_WITHIN);
  // The whole of it is never the spoiled one here: a body that is none at all comes by `brokenText`.
  const body = call.body === undefined ? undefined : drawValue(call.body, 'body', draw);
  const query = call.query === undefined ? {} : drawValue(call.query, 'query', draw);
  const params = call.params === undefined ? {} : drawValue(call.params, 'params', draw);
  return { params: record(params), query: record(query), body };
}

const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};

function drawKey(call: Call, random: SeededRandom): string | null {
  return call.idempotent === true && random.chance(0.4) ? `key-${random.hex(8)}` : null;
}

function keyHeaders(call: Call, key: string | null, random: SeededRandom): [string, string][] {
  if (key !== null) return [[random.pick(['Idempotency-Key', 'idempotency-key', 'IDEMPOTENCY-KEY']), key]];
  if (!random.chance(call.idempotent === true ? 0.05 : 0.02)) return [];
  return [['Idempotency-Key', random.pick(['a b', 'ä', 'k'.repeat(256), '\u0000', '\u007f', ...HOSTILE_TEXTS])]];
}

function tokenHeaders({ header }: Presented, random: SeededRandom): [string, string][] {
  return header === null ? [] : [[random.pick(['Authorization', 'authorization']), header]];
}

function oddHeaders(random: SeededRandom): [string, string][] {
  if (!random.chance(ODD_HEADER_RATE)) return [];
  const name = random.pick([
    'If-Match',
    'Content-Type',
    'Accept',
    'X-Request-Id',
    'Content-Encoding',
    'X-HTTP-Method-Override',
    'X-Forwarded-For',
    '__proto__',
    'constructor',
  ]);
  const value = random.pick(['"1"', '*', 'W/"1"', '"999999999999999999"', 'text/plain', 'gzip', 'DELETE', '\u0000']);
  return [[name, random.chance(0.6) ? value : hostileText(random).slice(0, 2_000)]];
}

function bodyText(body: unknown, random: SeededRandom): string | null {
  const text = body === undefined ? null : jsonText(body);
  if (random.chance(BROKEN_BODY_RATE)) return brokenText(random, text ?? '{"a":1}');
  return text;
}

/** Base64 of the text, or of bytes that are none. */
function base64Of(text: string, random: SeededRandom): string {
  const bytes = Buffer.from(text, 'utf8');
  if (random.chance(0.2)) bytes[random.below(bytes.length || 1)] = random.pick([0x80, 0xc0, 0xff, 0xed]);
  return random.chance(0.05) ? text : bytes.toString('base64');
}

/** Percent-encoded; lone surrogates, which have no encoding, as their three bytes. */
export function percentEncoded(text: string): string {
  if (text.isWellFormed()) return encodeURIComponent(text);
  return [...text].map((c) => (c.isWellFormed() ? encodeURIComponent(c) : '%ED%A0%80')).join('');
}

const scalarText = (value: unknown): string => (typeof value === 'string' ? value : jsonText(value).slice(0, 2_000));

function pathText(call: Call, params: Readonly<Record<string, unknown>>, random: SeededRandom): string {
  const path = call.path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => {
    const text = scalarText(params[name]);
    return random.chance(0.02) ? text : percentEncoded(text);
  });
  if (!random.chance(ODD_PATH_RATE)) return path;
  const at = random.below(path.length);
  return random.pick([
    `${path}/`,
    `/${path}`,
    path.toUpperCase(),
    path.replaceAll('/', '//'),
    path.slice(0, at),
    `${path.slice(0, at)}%${path.slice(at)}`,
    `${path.slice(0, at)}%00${path.slice(at)}`,
    `${path.slice(0, at)}%C0%AF${path.slice(at)}`,
    `${path.slice(0, at)}/../${path.slice(at)}`,
    `${path};a=b`,
    path.replaceAll('/', '%2F'),
    path + '/x'.repeat(200),
    path + percentEncoded(hostileText(random).slice(0, 500)),
    '',
    '/',
    '*',
  ]);
}

function queryText(query: Readonly<Record<string, unknown>>, random: SeededRandom): string {
  const pairs = Object.entries(query)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${percentEncoded(name)}=${percentEncoded(scalarText(value))}`);
  if (!random.chance(ODD_QUERY_RATE)) return pairs.join('&');
  const [first = 'limit=1'] = pairs;
  return random.pick([
    [...pairs, first].join('&'),
    [...pairs, 'nonsense=1'].join('&'),
    [...pairs, '__proto__=1'].join('&'),
    [...pairs, `${first.split('=')[0]}[]=1`].join('&'),
    [...pairs, 'a=%FF'].join('&'),
    [...pairs, '%E0%A4'].join('&'),
    `&&${pairs.join('&&')}&`,
    pairs.join(';'),
    [...pairs, '='].join('&'),
    [...pairs, ...Array.from({ length: 60 }, (_none, i) => `p${i}=`)].join('&'),
    [...pairs, `cursor=${percentEncoded(hostileText(random).slice(0, 5_000))}`].join('&'),
    [...pairs, `limit=${random.pick(['0', '-1', '1001', '1e2', ' 5', '5 ', '+5', '0x5', '٥', '1.0', 'NaN'])}`].join(
      '&',
    ),
    '?',
  ]);
}
