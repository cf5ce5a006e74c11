import { utf8Bytes } from '../domain/keys.ts';
import type { Json } from '../domain/records.ts';
import { Bug, invariant } from '../domain/result.ts';
import { StoreError } from '../ports.ts';
import { revision } from '../domain/ids.ts';
import type { Revision } from '../domain/ids.ts';
import type { Condition, ItemKey, ItemWrite, QueryRequest, StoredItem } from '../ports.ts';

/**
 * DynamoDB's limits, held by both stores before a call goes out. Source: Amazon DynamoDB Developer Guide, "Quotas" and
 * "Item sizes and formats".
 */
export const ITEM_BYTES_MAX = 400 * 1024;
export const PARTITION_KEY_BYTES_MAX = 2048;
export const SORT_KEY_BYTES_MAX = 1024;
/** Items of one transaction, written or read. */
export const TRANSACTION_ITEMS_MAX = 100;
export const TRANSACTION_BYTES_MAX = 4 * 1024 * 1024;
/** Keys of one batch of reads. */
export const BATCH_KEYS_MAX = 100;
/** Bytes that one Query reads before it answers with what it has. */
export const QUERY_PAGE_BYTES_MAX = 1024 * 1024;
/** Items that a caller may ask for in one Query; the store's own bound, so that lists stay bounded (STYLE rule 14). */
export const QUERY_ITEMS_MAX = 1000;

/** Attributes that the store itself writes; a body may not use these names. */
export const STORE_ATTRIBUTES = { partitionKey: 'pk', sortKey: 'sk', revision: 'rev', writeId: 'w' } as const;
const RESERVED: ReadonlySet<string> = new Set(Object.values(STORE_ATTRIBUTES));

/** What revision and write id add to an item: names, a number, and an id of up to 32 characters. */
const OVERHEAD_BYTES = 60;
const NUMBER_BYTES_MAX = 21;
/** Nearest to zero that a number may be, zero itself apart. */
export const NUMBER_MAGNITUDE_MIN = 1e-130;

/** Decimal digits of a safe integer that is not negative. */
function integerDigits(value: number): number {
  let digits = 1;
  for (let bound = 10; value >= bound; bound *= 10) digits++;
  return digits;
}

function numberBytes(value: number): number {
  if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value)))
    throw new Bug(`the store can't hold the number ${value} exactly`);
  if (value !== 0 && Math.abs(value) < NUMBER_MAGNITUDE_MIN)
    throw new Bug(`the store can't hold ${value}: it is too near to zero`);
  const digits = Number.isInteger(value)
    ? integerDigits(Math.abs(value))
    : String(Math.abs(value)).replace(/[.e+-]/g, '').length;
  return Math.min(NUMBER_BYTES_MAX, Math.ceil(digits / 2) + 1 + (value < 0 ? 1 : 0));
}

/** Bytes of a value as DynamoDB counts them. Throws Bug for what is no JSON. */
function valueBytes(value: Json): number {
  if (value === null || typeof value === 'boolean') return 1;
  if (typeof value === 'string') return utf8Bytes(value);
  if (typeof value === 'number') return numberBytes(value);
  if (typeof value !== 'object') throw new Bug(`the store can't hold a value of type ${typeof value}`);
  if (Array.isArray(value)) return (value as readonly Json[]).reduce<number>((sum, v) => sum + 1 + valueBytes(v), 3);
  return 3 + fieldsBytes(value as { readonly [key: string]: Json }, 1);
}

function fieldsBytes(fields: { readonly [key: string]: Json | undefined }, perEntry: number): number {
  let bytes = 0;
  for (const name of Object.keys(fields)) {
    const value = fields[name];
    if (value !== undefined) bytes += perEntry + utf8Bytes(name) + valueBytes(value);
  }
  return bytes;
}

/** Bytes of a stored item as DynamoDB counts them: names and values of all attributes. */
export function itemBytes(key: ItemKey, body: StoredItem['body']): number {
  return OVERHEAD_BYTES + utf8Bytes(key.pk) + utf8Bytes(key.sk) + fieldsBytes(body, 0);
}

const exceeded = (message: string): StoreError => new StoreError('LIMIT_EXCEEDED', message);

export function checkItemSize(key: ItemKey, bytes: number): void {
  if (bytes > ITEM_BYTES_MAX)
    throw exceeded(`item ${key.table}/${key.pk}/${key.sk} would have ${bytes} bytes; at most ${ITEM_BYTES_MAX}`);
}

export function checkKey(key: ItemKey): void {
  const pkBytes = utf8Bytes(key.pk);
  const skBytes = utf8Bytes(key.sk);
  if (pkBytes < 1 || pkBytes > PARTITION_KEY_BYTES_MAX)
    throw exceeded(`a partition key has 1 to ${PARTITION_KEY_BYTES_MAX} bytes, not ${pkBytes}`);
  if (skBytes < 1 || skBytes > SORT_KEY_BYTES_MAX)
    throw exceeded(`a sort key has 1 to ${SORT_KEY_BYTES_MAX} bytes, not ${skBytes}`);
}

/** Keys of one read: at most 100. They may repeat. */
export function checkReadKeys(keys: readonly ItemKey[]): void {
  if (keys.length > BATCH_KEYS_MAX) throw exceeded(`${keys.length} keys in one read; at most ${BATCH_KEYS_MAX}`);
  keys.forEach(checkKey);
}

export function checkQuery(request: QueryRequest): void {
  if (!Number.isInteger(request.limit) || request.limit < 1 || request.limit > QUERY_ITEMS_MAX)
    throw exceeded(`a query asks for 1 to ${QUERY_ITEMS_MAX} items, not ${request.limit}`);
}

/** Text by which two keys are the same item. */
export const keyText = (key: ItemKey): string => JSON.stringify([key.table, key.pk, key.sk]);

function checkBody(body: StoredItem['body']): void {
  for (const name of Object.keys(body)) invariant(!RESERVED.has(name), `the store itself writes the attribute ${name}`);
}

/** DynamoDB refuses an update that names overlapping paths. */
function checkEntries(write: Extract<ItemWrite, { kind: 'update' }>): void {
  const seen = new Set<string>();
  for (const { field, entry } of write.entries ?? []) {
    invariant(!RESERVED.has(field), `the store itself writes the attribute ${field}`);
    invariant(!Object.hasOwn(write.set, field), `an update sets ${field} and an entry of it`);
    const path = JSON.stringify([field, entry]);
    invariant(!seen.has(path), `an update names the entry ${path} twice`);
    seen.add(path);
  }
}

/** The revision that a put leaves behind: it follows from its conditions, so that a repeated put leaves the same. */
export function revisionUnder(when: readonly Condition[]): Revision {
  for (const condition of when) {
    if (condition.kind === 'absent') return revision(1);
    if (condition.kind === 'revision') return revision(condition.is + 1);
  }
  throw new Bug("a put must require 'absent' or a revision: the new revision follows from it");
}

/** Checks one write; returns the bytes that it adds to a transaction. */
export function checkWrite(write: ItemWrite): number {
  checkKey(write.key);
  switch (write.kind) {
    case 'put': {
      checkBody(write.body);
      revisionUnder(write.when);
      const bytes = itemBytes(write.key, write.body);
      checkItemSize(write.key, bytes);
      return bytes;
    }
    case 'update': {
      checkBody(write.set);
      checkEntries(write);
      const entries = (write.entries ?? []).map((change): readonly [string, Json] => [
        `${change.field}.${change.entry}`,
        change.kind === 'set' ? change.value : null,
      ]);
      const bytes = itemBytes(write.key, { ...write.set, ...Object.fromEntries(entries) });
      checkItemSize(write.key, bytes);
      return bytes;
    }
    case 'delete':
      return itemBytes(write.key, {});
    case 'check':
      invariant(write.when.length > 0, `a check of ${write.key.pk}/${write.key.sk} has no condition`);
      return itemBytes(write.key, {});
  }
}

/** Checks a transaction: 1 to 100 writes on distinct items, at most 4 MB. */
export function checkTransaction(writes: readonly ItemWrite[]): void {
  if (writes.length < 1 || writes.length > TRANSACTION_ITEMS_MAX)
    throw exceeded(`a transaction has 1 to ${TRANSACTION_ITEMS_MAX} writes, not ${writes.length}`);
  let bytes = 0;
  const seen = new Set<string>();
  for (const write of writes) {
    bytes += checkWrite(write);
    const text = keyText(write.key);
    if (seen.has(text)) throw exceeded(`a transaction names the item ${text} twice`);
    seen.add(text);
  }
  if (bytes > TRANSACTION_BYTES_MAX)
    throw exceeded(`a transaction of ${bytes} bytes; at most ${TRANSACTION_BYTES_MAX}`);
}
