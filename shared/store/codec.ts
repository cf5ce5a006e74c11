import type * as z from 'zod';
import type { Json } from '../domain/records.ts';
import { Bug } from '../domain/result.ts';
import type { EntryWrite, StoredItem } from '../ports.ts';
import { carryUnknown, restoreUnknown } from './unknown-fields.ts';

/** Field of every stored record that carries its schema version. */
export const VERSION_FIELD = 'v';

/** Field by which DynamoDB drops a record some time after it is of no use: seconds since 1970 (infra/data-stack.ts turns it on). */
export const TTL_FIELD = 'ttl';

const NO_CONTENT: ReadonlySet<string> = new Set([VERSION_FIELD, TTL_FIELD]);

/**
 * Turns a record into an item's body and back. Writer and reader parse with the same schema (STYLE rule 15). Each body carries
 * its schema version `v`; a reader takes its own version, every earlier one, and one ahead, so that two neighbouring releases run
 * side by side. Fields that it does not know are hidden from code, and written back with what was changed (unknown-fields.ts): a
 * record keeps the fields and the version of the later release. See docs/upgrading.md.
 */
export interface Codec<T> {
  encode(value: T): StoredItem['body'];
  /** Some top-level fields, for an update. The stored version stays. */
  encodeFields(fields: Partial<T>): StoredItem['body'];
  /** One entry of a field that is a map. Throws Bug if the field or the value is none of the kind's. */
  encodeEntry(change: EntryWrite): EntryWrite;
  /** Throws Bug if the body is not a record of this kind in a version that this release can read. */
  decode(body: StoredItem['body']): T;
}

/**
 * `uselessAtMs` tells from when (wall clock) nobody needs a record of the kind; it may stay long after, so that readers judge by
 * their own fields.
 */
export function createCodec<T>(
  kind: string,
  version: number,
  schema: z.ZodObject & z.ZodType<T>,
  uselessAtMs?: (value: T) => number,
): Codec<T> {
  const parse = (value: unknown): T => {
    const parsed = schema.safeParse(value);
    if (!parsed.success) throw new Bug(`no valid ${kind} record: ${parsed.error.message}`);
    return parsed.data;
  };
  const decoded = new WeakMap<StoredItem['body'], T>();
  return {
    encode: (value) => {
      const body = parse(value) as { [field: string]: Json };
      const written = Math.max(version, restoreUnknown(value, body) ?? version);
      const ttl = uselessAtMs === undefined ? {} : { [TTL_FIELD]: Math.ceil(uselessAtMs(value) / 1000) };
      return { [VERSION_FIELD]: written, ...body, ...ttl };
    },
    encodeFields: (fields) => {
      const body: { [field: string]: Json } = {};
      for (const [name, value] of Object.entries(fields)) {
        const field = Object.hasOwn(schema.shape, name) ? (schema.shape[name] as z.ZodType) : undefined;
        if (field === undefined) throw new Bug(`a ${kind} record has no field ${name}`);
        const parsed = field.safeParse(value);
        if (!parsed.success) throw new Bug(`no valid ${name} of a ${kind} record: ${parsed.error.message}`);
        restoreUnknown(value, parsed.data);
        body[name] = parsed.data as Json;
      }
      return body;
    },
    encodeEntry: (change) => {
      const field = Object.hasOwn(schema.shape, change.field) ? (schema.shape[change.field] as z.ZodType) : undefined;
      if (field === undefined) throw new Bug(`a ${kind} record has no field ${change.field}`);
      const parsed = field.safeParse(change.kind === 'set' ? { [change.entry]: change.value } : {});
      if (!parsed.success)
        throw new Bug(`no valid entry ${change.entry} of ${change.field} of a ${kind}: ${parsed.error.message}`);
      return change;
    },
    decode: (body) => {
      // What is frozen stays as it was decoded: a store in memory hands out one and the same body again and again.
      const known = decoded.get(body);
      if (known !== undefined) return known;
      const found = body[VERSION_FIELD];
      if (typeof found !== 'number' || found < 1 || found > version + 1)
        throw new Bug(`a ${kind} record has version ${JSON.stringify(found)}; this release reads 1 to ${version + 1}`);
      const value = parse(body);
      carryUnknown(body, value, { aheadVersion: found > version ? found : null, known: NO_CONTENT });
      if (Object.isFrozen(body)) decoded.set(body, frozen(value));
      return value;
    },
  };
}

/** Freezes the value and all that it holds: it is shared by whoever reads the record. */
function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const content of Object.values(value)) frozen(content);
  return Object.freeze(value);
}
