import type { Json } from '../domain/records.ts';
import type { StoredItem } from '../ports.ts';

/** Fields of a body that have a value: JSON knows no undefined, and an optional field may be spelled out as undefined. */
export function definedFields(fields: StoredItem['body']): { [field: string]: Json } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => (value as unknown) !== undefined));
}
