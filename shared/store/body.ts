import type { Json } from '../domain/records.ts';
import type { StoredItem } from '../ports.ts';

/** Fields of a body that have a value: JSON knows no undefined, and an optional field may be spelled out as undefined. */
export function definedFields(fields: StoredItem['body']): { [field: string]: Json } {
  for (const name of Object.keys(fields))
    if ((fields[name] as unknown) === undefined)
      return Object.fromEntries(Object.entries(fields).filter(([, value]) => (value as unknown) !== undefined));
  return { ...fields };
}
