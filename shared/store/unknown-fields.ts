import type { Json } from '../domain/records.ts';

/**
 * Fields that a later release wrote and this one does not know. They ride along with the decoded value under a symbol, invisible to
 * code and JSON: a copy by spread (`{ ...stored.value, state }`) takes them along, and so does each nested object that is copied so.
 * What is written back then still has them. An object that is made anew has none, rightly: it is no longer what they told of.
 */
const UNKNOWN = Symbol('fields of a later release');

interface Unknown {
  readonly fields: { readonly [name: string]: Json };
  /** Schema version of the record, on its outermost object. */
  readonly version?: number;
}
type Carrier = Record<string, unknown> & { [UNKNOWN]?: Unknown };

const isObject = (value: unknown): value is Carrier =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Notes on `parsed` (which is changed), object by object, the fields of `raw` that it lacks. Both have the same shape else:
 * `parsed` is what a schema made of `raw`. `aheadVersion`: the record's version if it is above the reader's, to be kept. `known` are
 * fields of the outermost object that are no content.
 */
export function carryUnknown(
  raw: unknown,
  parsed: unknown,
  options: { readonly aheadVersion: number | null; readonly known: ReadonlySet<string> },
): void {
  if (!isObject(raw) || !isObject(parsed)) return;
  descend(raw, parsed);
  const fields = missing(raw, parsed, options.known);
  if (fields === null && options.aheadVersion === null) return;
  parsed[UNKNOWN] = {
    fields: fields ?? {},
    ...(options.aheadVersion === null ? {} : { version: options.aheadVersion }),
  };
}

/** Puts what `value` carries into `encoded` (which is changed), a schema's copy of it. Returns the later version that it came with. */
export function restoreUnknown(value: unknown, encoded: unknown): number | null {
  if (Array.isArray(value) && Array.isArray(encoded)) {
    for (const [index, entry] of value.entries()) restoreUnknown(entry, encoded[index]);
    return null;
  }
  if (!isObject(value) || !isObject(encoded)) return null;
  for (const name of Object.keys(encoded)) restoreUnknown(value[name], encoded[name]);
  const carried = value[UNKNOWN];
  if (carried === undefined) return null;
  for (const [name, content] of Object.entries(carried.fields))
    if (!Object.hasOwn(encoded, name)) encoded[name] = content;
  return carried.version ?? null;
}

function descend(raw: Carrier, parsed: Carrier): void {
  for (const name of Object.keys(parsed)) note(raw[name], parsed[name]);
}

function note(raw: unknown, parsed: unknown): void {
  if (Array.isArray(raw) && Array.isArray(parsed)) {
    for (const [index, entry] of parsed.entries()) note(raw[index], entry);
    return;
  }
  if (!isObject(raw) || !isObject(parsed)) return;
  descend(raw, parsed);
  const fields = missing(raw, parsed);
  if (fields !== null) parsed[UNKNOWN] = { fields };
}

function missing(raw: Carrier, parsed: Carrier, known?: ReadonlySet<string>): Unknown['fields'] | null {
  let fields: { [name: string]: Json } | null = null;
  for (const name of Object.keys(raw)) {
    if (Object.hasOwn(parsed, name) || known?.has(name) === true || raw[name] === undefined) continue;
    fields ??= {};
    fields[name] = raw[name] as Json;
  }
  return fields;
}
