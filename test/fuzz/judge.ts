import { calls } from '../../shared/contracts/api/index.ts';
import type { Call } from '../../shared/contracts/api/call.ts';
import { PROBLEM_CONTENT_TYPE, problemSchema } from '../../shared/contracts/api/problem.ts';
import type { Problem } from '../../shared/contracts/api/problem.ts';
import { FAULT_CODES } from '../../shared/domain/faults.ts';
import { createRouter } from '../../shared/runtime/router.ts';
import { HTTP_CODES } from '../../shared/runtime/problem.ts';
import type { FuzzRequest } from './requests.ts';
import type { WireAnswer } from './world.ts';

/** Holds an answer against the contract, and what the request wrote against what it was told. */

export interface Finding {
  readonly kind: 'FIVE_XX' | 'OUTSIDE_CONTRACT' | 'CHANGED_WHEN_REFUSED' | 'LET_IN';
  readonly what: string;
}

export interface Verdict {
  /** The call that the request reached, if it is one. */
  readonly call: Call | null;
  readonly body: Readonly<Record<string, unknown>>;
  readonly findings: readonly Finding[];
}

const STATUSES = new Set([200, 400, 401, 403, 404, 405, 409, 412, 413, 429]);
const CODES: ReadonlySet<string> = new Set<string>([...FAULT_CODES, ...HTTP_CODES]);
/** Refusals that leave something behind by design: the transfer goes on by itself, or another leader came before it ended, and its intent is gone. */
const mayChange = ({ name }: FuzzRequest, code: string, changes: readonly string[]): boolean =>
  code === 'STEP_DOWN_PENDING' ||
  (name === 'setLeader' && code === 'CONFLICT' && !changes.some((change) => change.includes(' INTENTS ')));

const route = createRouter('all');

export function judge(request: FuzzRequest, answer: WireAnswer): Verdict {
  const findings: Finding[] = [];
  const outside = (what: string): void => void findings.push({ kind: 'OUTSIDE_CONTRACT', what });
  const call = callOf(request);
  const body = parsed(answer.text);
  if (body === null) outside(`the answer is no JSON object: ${answer.text.slice(0, 200)}`);
  const fields = body ?? {};
  if (answer.status >= 500) findings.push({ kind: 'FIVE_XX', what: answer.text.slice(0, 500) });
  else if (!STATUSES.has(answer.status)) outside(`status ${answer.status}`);
  if (answer.headers['x-request-id'] === undefined) outside('no x-request-id');
  // A schema of a request shown back may hold anything; a trace of ours may not.
  if (/\.ts:\d+|node_modules|at async /.test(answer.text)) outside('the answer shows the inside');
  if (answer.status === 200) {
    for (const what of wrongAnswer(call, answer, fields)) outside(what);
    for (const what of letIn(request, call)) findings.push({ kind: 'LET_IN', what });
    if (isHarmless(request, call) && answer.changes.length > 0) {
      findings.push({ kind: 'CHANGED_WHEN_REFUSED', what: `a read or dry run wrote ${answer.changes.join(', ')}` });
    }
  } else {
    for (const what of wrongProblem(answer, fields)) outside(what);
    if (answer.changes.length > 0 && !mayChange(request, String(fields['code']), answer.changes)) {
      const what = `${String(fields['code'])} left ${answer.changes.join(', ').slice(0, 600)}`;
      findings.push({ kind: 'CHANGED_WHEN_REFUSED', what });
    }
  }
  return { call, body: fields, findings };
}

/** The call that method and path name. */
function callOf({ wire }: FuzzRequest): Call | null {
  try {
    return calls[route(wire.method.toUpperCase(), wire.path).name];
  } catch {
    return null;
  }
}

function parsed(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

function wrongAnswer(call: Call | null, answer: WireAnswer, body: Readonly<Record<string, unknown>>): string[] {
  if (call === null) return ['200 for a path or method that no call has'];
  const wrong: string[] = [];
  const type = call.produces ?? 'application/json';
  if (answer.headers['content-type'] !== type) wrong.push(`content type ${answer.headers['content-type']}`);
  const checked = call.response.safeParse(body);
  if (!checked.success) wrong.push(`breaks its contract: ${checked.error.message.slice(0, 400)}`);
  else wrong.push(...undeclared(body, checked.data, '').map((path) => `field ${path} is not in the contract`));
  return wrong;
}

/** Paths of fields that parsing dropped: the contract does not name them. */
function undeclared(given: unknown, kept: unknown, path: string): string[] {
  if (typeof given !== 'object' || given === null || typeof kept !== 'object' || kept === null) return [];
  return Object.entries(given).flatMap(([name, value]) => {
    const at = path === '' ? name : `${path}.${name}`;
    if (!Object.hasOwn(kept, name)) return [at];
    return undeclared(value, (kept as Record<string, unknown>)[name], at);
  });
}

function wrongProblem(answer: WireAnswer, body: Readonly<Record<string, unknown>>): string[] {
  const checked = problemSchema.safeParse(body);
  if (!checked.success) return [`is no problem document: ${checked.error.message.slice(0, 300)}`];
  const problem: Problem = checked.data;
  const wrong: string[] = [];
  const needs = (status: number, header: string): void => {
    if (answer.status === status && (answer.headers[header] ?? '') === '') wrong.push(`${status} without ${header}`);
  };
  if (answer.headers['content-type'] !== PROBLEM_CONTENT_TYPE) wrong.push(`type ${answer.headers['content-type']}`);
  if (problem.status !== answer.status) wrong.push(`status ${answer.status} with a problem of ${problem.status}`);
  if (!CODES.has(problem.code)) wrong.push(`code ${problem.code} is not declared`);
  if (problem.detail === '') wrong.push(`${problem.code} without a word`);
  if (problem.code === 'INVALID_REQUEST' && (problem.field ?? '') === '' && answer.status === 400) {
    wrong.push(`400 without a field: ${problem.detail}`);
  }
  needs(401, 'www-authenticate');
  needs(405, 'allow');
  needs(429, 'retry-after');
  return wrong;
}

/** Why the request should have been refused, as far as contract and token tell. */
function letIn(request: FuzzRequest, call: Call | null): string[] {
  if (call === null) return [];
  const wrong: string[] = [];
  const isPublic = call.callers.includes('public');
  if (!isPublic && !request.token.mayCall && call === calls[request.name]) wrong.push(`token: ${request.token.what}`);
  const { wire } = request;
  if (call.body !== undefined && !takesBody(call, wire.base64 ? fromBase64(wire.body) : wire.body))
    wrong.push('the body');
  if (!takesQuery(call, wire.query)) wrong.push('the query');
  return wrong;
}

function takesBody(call: Call, text: string | null): boolean {
  if (text === null || text.trim() === '') return call.body?.safeParse(undefined).success === true;
  try {
    return call.body?.safeParse(JSON.parse(text)).success === true;
  } catch {
    return false;
  }
}

function fromBase64(text: string | null): string | null {
  return text === null ? null : Buffer.from(text, 'base64').toString('utf8');
}

function takesQuery(call: Call, query: string): boolean {
  const pairs = query.split('&').filter((pair) => pair !== '');
  if (call.query === undefined) return pairs.length === 0;
  try {
    const decoded = pairs.map((pair) => {
      const [name = '', ...rest] = pair.split('=');
      const text = (part: string): string => decodeURIComponent(part.replaceAll('+', ' '));
      return [text(name), text(rest.join('='))] as const;
    });
    if (new Set(decoded.map(([name]) => name)).size !== decoded.length) return false;
    return call.query.safeParse(Object.fromEntries(decoded)).success;
  } catch {
    return false;
  }
}

/** True if the request asks to change nothing. */
function isHarmless({ wire }: FuzzRequest, call: Call | null): boolean {
  if (call?.method === 'GET') return true;
  // What was drawn may have been sent broken, or not at all.
  const text = wire.body === null ? '' : wire.base64 ? Buffer.from(wire.body, 'base64').toString() : wire.body;
  return wire.method === call?.method && parsed(text)?.['dry_run'] === true;
}

/** A line by which a person can send the request again. */
export function curlLine({ wire, token, name }: FuzzRequest): string {
  const shown = (text: string): string => {
    const quoted = JSON.stringify(text).slice(1, -1).replaceAll("'", "'\\''");
    return quoted.length > 3_000 ? `${quoted.slice(0, 3_000)}... (${text.length} characters)` : quoted;
  };
  const headers = wire.headers.map(([header, value]) =>
    header.toLowerCase() === 'authorization' ? `-H '${header}: <${token.what}>'` : `-H '${header}: ${shown(value)}'`,
  );
  const url = `http://127.0.0.1:8080${shown(wire.path)}${wire.query === '' ? '' : `?${shown(wire.query)}`}`;
  const body = wire.body === null ? [] : [`--data-binary $'${shown(wire.body)}'${wire.base64 ? ' (base64)' : ''}`];
  return [`[${name}, ${wire.door}] curl -X ${wire.method} '${url}'`, ...headers, ...body].join(' ');
}
