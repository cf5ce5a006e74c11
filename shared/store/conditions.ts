import type { Json } from '../domain/records.ts';
import { assertNever } from '../domain/result.ts';
import type { Condition, FieldPath, ItemWrite, StoredItem } from '../ports.ts';

/** The closed language of conditions, evaluated. `conditional-write.ts` says the same to DynamoDB. */

function valueAt(item: StoredItem, path: FieldPath): Json | undefined {
  if (typeof path === 'string') return own(item.body, path);
  const map = own(item.body, path[0]);
  if (map === null || typeof map !== 'object' || Array.isArray(map)) return undefined;
  return own(map as { readonly [key: string]: Json }, path[1]);
}

const own = (fields: { readonly [key: string]: Json }, name: string): Json | undefined =>
  Object.hasOwn(fields, name) ? fields[name] : undefined;

export function holds(condition: Condition, item: StoredItem | null): boolean {
  switch (condition.kind) {
    case 'absent':
      return item === null;
    case 'present':
      return item !== null;
    case 'revision':
      return item?.revision === condition.is;
    case 'equals':
      return item !== null && valueAt(item, condition.field) === condition.value;
    case 'below': {
      const value = item === null ? undefined : valueAt(item, condition.field);
      return typeof value === 'number' && value < condition.value;
    }
    default:
      return assertNever(condition);
  }
}

/** True if `write` may be applied to the item as it is. An update implies `present`. */
export const mayApply = (write: ItemWrite, item: StoredItem | null): boolean =>
  (write.kind !== 'update' || item !== null) && write.when.every((condition) => holds(condition, item));
