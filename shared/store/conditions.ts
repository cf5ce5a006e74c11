import type { Json } from '../domain/records.ts';
import { assertNever, Bug } from '../domain/result.ts';
import type { Condition, FieldPath, ItemWrite, StoredItem } from '../ports.ts';
import { mapFields } from './conditional-write.ts';

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

const isMap = (value: Json | undefined): value is { readonly [key: string]: Json } =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

/** True if `write` may be applied to the item as it is. An update implies `present`, and maps where it writes entries. */
export function mayApply(write: ItemWrite, item: StoredItem | null): boolean {
  if (write.kind === 'update') {
    if (item === null) return false;
    for (const field of mapFields(write)) if (!isMap(own(item.body, field))) return false;
  }
  return write.when.every((condition) => holds(condition, item));
}

/** The body after an update that may be applied. */
export function updatedBody(
  before: StoredItem['body'],
  write: Extract<ItemWrite, { kind: 'update' }>,
): StoredItem['body'] {
  const body: { [field: string]: Json } = { ...before, ...write.set };
  for (const change of write.entries ?? []) {
    const map = own(body, change.field);
    if (!isMap(map)) throw new Bug(`${change.field} is no map`);
    const rest = Object.entries(map).filter(([entry]) => entry !== change.entry);
    // `fromEntries` defines properties: an entry named `__proto__` stays an entry.
    body[change.field] = Object.fromEntries(
      change.kind === 'remove' ? rest : [...rest, [change.entry, change.value] as const],
    );
  }
  return body;
}
