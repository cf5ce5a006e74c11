import type * as z from 'zod';
import type { Call } from '../contracts/api/call.ts';
import { invalid } from '../domain/faults.ts';
import type { HttpRequest } from './http-event.ts';
import { Refusal } from './problem.ts';

/** Turns the raw parts of a request into validated input, or refuses with 400 and the name of the field at fault. */

/** Bytes of one request body. API Gateway takes 10 MB, Lambda 6 MB with the event around it; this leaves room for that. */
export const BODY_BYTES_MAX = 5 * 1024 * 1024;
/** Levels of nesting in a body: contracts need 4; beyond this only an attack goes, and validators recurse. */
export const BODY_DEPTH_MAX = 16;
/** Query parameters in one request; no call knows more than 6. */
const QUERY_PARAMETERS_MAX = 50;
/** Characters of a caller's own field name that are shown back. */
const FIELD_CHARS_MAX = 200;

export interface ValidInput {
  readonly params: Readonly<Record<string, unknown>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly body: unknown;
}

const refuse = (field: string, message: string): Refusal =>
  new Refusal(invalid('INVALID_REQUEST', message, { field: field.slice(0, FIELD_CHARS_MAX) }));

/** Validates path parameters, query and body against the call's contract. Throws `Refusal`. */
export function validateInput(call: Call, params: Readonly<Record<string, string>>, request: HttpRequest): ValidInput {
  return {
    params: call.params === undefined ? {} : (parse(call.params, params, '') as Readonly<Record<string, unknown>>),
    query: validateQuery(call, request.query),
    body: validateBody(call, request.body),
  };
}

function validateQuery(call: Call, query: HttpRequest['query']): Readonly<Record<string, unknown>> {
  if (query.length > QUERY_PARAMETERS_MAX) {
    throw refuse('query', `At most ${QUERY_PARAMETERS_MAX} query parameters are taken.`);
  }
  const values = new Map<string, string>();
  for (const [name, value] of query) {
    if (values.has(name)) throw refuse(name, 'This query parameter is given more than once.');
    values.set(name, value);
  }
  if (call.query === undefined) {
    const [first] = values.keys();
    if (first !== undefined) throw refuse(first === '' ? 'query' : first, 'This call takes no query parameters.');
    return {};
  }
  // `fromEntries` defines own properties, so that a parameter named `__proto__` stays one and is refused as unknown.
  return parse(call.query, Object.fromEntries(values), 'query') as Readonly<Record<string, unknown>>;
}

function validateBody(call: Call, text: string | null): unknown {
  if (call.body === undefined) {
    // Some clients always send an empty object.
    if (text !== null && !/^\s*(\{\s*\})?\s*$/.test(text.slice(0, 100)))
      throw refuse('body', 'This call takes no body.');
    return undefined;
  }
  if (text === null || text.trim() === '') {
    // Some contracts let the body be left out.
    const leftOut = call.body.safeParse(undefined);
    if (leftOut.success) return leftOut.data;
    throw refuse('body', 'A JSON body is required.');
  }
  return parse(call.body, parseJson(text), 'body');
}

/** Parses a body. Throws `Refusal` if it is no JSON, nests too deep, carries a key `__proto__` or text that is no Unicode. */
export function parseJson(text: string): unknown {
  if (Buffer.byteLength(text) > BODY_BYTES_MAX) {
    const message = `The body is larger than ${BODY_BYTES_MAX} bytes.`;
    throw new Refusal({ kind: 'HTTP', code: 'PAYLOAD_TOO_LARGE', message, field: 'body' });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse('body', 'The body is not JSON.');
  }
  refuseHostileShape(value);
  return value;
}

/** Walks without recursion, so that the walk itself can't overflow the stack. */
function refuseHostileShape(root: unknown): void {
  const open: { value: unknown; depth: number; path: string }[] = [{ value: root, depth: 0, path: '' }];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const { value: inside, depth, path } = at;
    // Half of a surrogate pair has no UTF-8: stores and hashes would take it for something else.
    if (typeof inside === 'string' && !inside.isWellFormed()) throw refuse(path || 'body', NOT_UNICODE);
    if (typeof inside !== 'object' || inside === null) continue;
    if (depth >= BODY_DEPTH_MAX) throw refuse('body', `The body nests deeper than ${BODY_DEPTH_MAX} levels.`);
    for (const [key, value] of Object.entries(inside)) {
      // Validators drop it from records without a word; merging code would be polluted by it.
      if (key === '__proto__') throw refuse('__proto__', 'This field name is not taken.');
      if (!key.isWellFormed()) throw refuse(path || 'body', NOT_UNICODE);
      open.push({ value, depth: depth + 1, path: Array.isArray(inside) ? `${path}[${key}]` : joined(path, key) });
    }
  }
}

const NOT_UNICODE = 'The text holds half of a surrogate pair, which is no Unicode character.';

function parse(schema: z.ZodType, value: unknown, whole: string): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = firstIssue(parsed.error.issues);
  throw refuse(path === '' ? whole || 'request' : path, `${message}.`.replace(/\.\.$/, '.'));
}

type Issue = z.core.$ZodIssue;

/** Path and message of the issue that helps most: inside a union, the branch that got furthest. */
export function firstIssue(
  issues: readonly Issue[],
  base: readonly PropertyKey[] = [],
): { path: string; message: string } {
  const issue = issues[0];
  if (issue === undefined) return { path: '', message: 'Invalid input' };
  const path = [...base, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    return { path: pathText([...path, issue.keys[0] ?? '']), message: 'This field is not known' };
  }
  if (issue.code === 'invalid_union') {
    const branches = issue.errors.filter((branch) => branch.length > 0);
    const known = branches.filter((branch) => !branch.some((i) => i.code === 'unrecognized_keys'));
    const best = (known.length > 0 ? known : branches).toSorted((a, b) => a.length - b.length)[0];
    if (best !== undefined) return firstIssue(best, path);
  }
  return { path: pathText(path), message: issue.message };
}

/** `['shards', 3, 'node_id']` -> `shards[3].node_id`. */
function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    return typeof part === 'number' ? `${text}[${part}]` : joined(text, String(part));
  }, '');
}

const joined = (path: string, field: string): string => (path === '' ? field : `${path}.${field}`);
