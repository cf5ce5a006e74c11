import type * as z from 'zod';
import type { Json } from '../domain/records.ts';
import { Bug } from '../domain/result.ts';
import type { StoredItem } from '../ports.ts';

/** Field of every stored record that carries its schema version. */
const VERSION_FIELD = 'v';

/**
 * Turns a record into an item's body and back. Writer and reader parse with the same schema (STYLE rule 15). Each body carries
 * its schema version `v`; a reader takes its own version, every earlier one, and one ahead, whose unknown fields it ignores,
 * so that two neighbouring releases run side by side. A new field therefore gets a default in the schema, and a field is
 * taken away one release after its last reader.
 */
export interface Codec<T> {
  encode(value: T): StoredItem['body'];
  /** Some top-level fields, for an update. The stored version stays. */
  encodeFields(fields: Partial<T>): StoredItem['body'];
  /** Throws Bug if the body is not a record of this kind in a version that this release can read. */
  decode(body: StoredItem['body']): T;
}

export function createCodec<T>(kind: string, version: number, schema: z.ZodObject & z.ZodType<T>): Codec<T> {
  const parse = (value: unknown): T => {
    const parsed = schema.safeParse(value);
    if (!parsed.success) throw new Bug(`no valid ${kind} record: ${parsed.error.message}`);
    return parsed.data;
  };
  return {
    encode: (value) => ({ [VERSION_FIELD]: version, ...(parse(value) as { [field: string]: Json }) }),
    encodeFields: (fields) => {
      const body: { [field: string]: Json } = {};
      for (const [name, value] of Object.entries(fields)) {
        const field = Object.hasOwn(schema.shape, name) ? (schema.shape[name] as z.ZodType) : undefined;
        if (field === undefined) throw new Bug(`a ${kind} record has no field ${name}`);
        const parsed = field.safeParse(value);
        if (!parsed.success) throw new Bug(`no valid ${name} of a ${kind} record: ${parsed.error.message}`);
        body[name] = parsed.data as Json;
      }
      return body;
    },
    decode: (body) => {
      const found = body[VERSION_FIELD];
      if (typeof found !== 'number' || found < 1 || found > version + 1)
        throw new Bug(`a ${kind} record has version ${JSON.stringify(found)}; this release reads 1 to ${version + 1}`);
      return parse(body);
    },
  };
}
