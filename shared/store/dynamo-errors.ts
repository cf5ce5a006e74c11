import {
  ConditionalCheckFailedException,
  TransactionCanceledException,
  TransactionConflictException,
  TransactionInProgressException,
} from '@aws-sdk/client-dynamodb';
import type { AttributeValue, CancellationReason } from '@aws-sdk/client-dynamodb';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import { Bug } from '../domain/result.ts';
import { StoreError } from '../ports.ts';
import type { StoreErrorCode } from '../ports.ts';

/** What an error of the SDK means to the store. */
export type DynamoFailure =
  /** A condition did not hold; `attributes` are the item's at that moment, null if there is no item. */
  | { readonly kind: 'CONDITION'; readonly index: number; readonly attributes: Record<string, unknown> | null }
  /** Another transaction held an item: nothing was decided, to be retried apart from failed conditions (S4). */
  | { readonly kind: 'CONFLICT' }
  | { readonly kind: 'OTHER'; readonly error: Error };

const THROTTLING: ReadonlySet<string> = new Set([
  'ProvisionedThroughputExceededException',
  'ThrottlingException',
  'RequestLimitExceeded',
  'LimitExceededException',
  // as reasons of a cancelled transaction
  'ThrottlingError',
  'ProvisionedThroughputExceeded',
]);

export function classify(error: unknown): DynamoFailure {
  if (error instanceof ConditionalCheckFailedException)
    return { kind: 'CONDITION', index: 0, attributes: plain(error.Item) };
  if (error instanceof TransactionConflictException || error instanceof TransactionInProgressException)
    return { kind: 'CONFLICT' };
  if (error instanceof TransactionCanceledException) return ofCancellation(error, error.CancellationReasons ?? []);
  return { kind: 'OTHER', error: toStoreError(error) };
}

/** A failed condition is final and goes first; a conflict may pass; the rest are reasons to give up. */
function ofCancellation(error: TransactionCanceledException, reasons: readonly CancellationReason[]): DynamoFailure {
  const index = reasons.findIndex((reason) => reason.Code === 'ConditionalCheckFailed');
  if (index >= 0) return { kind: 'CONDITION', index, attributes: plain(reasons[index]?.Item) };
  const codes = reasons.map((reason) => reason.Code ?? 'None').filter((code) => code !== 'None');
  if (codes.includes('ValidationError')) return { kind: 'OTHER', error: refused(describe(reasons), error) };
  if (codes.includes('TransactionConflict')) return { kind: 'CONFLICT' };
  if (codes.some((code) => THROTTLING.has(code)))
    return { kind: 'OTHER', error: new StoreError('THROTTLED', describe(reasons), { cause: error }) };
  return {
    kind: 'OTHER',
    error: new StoreError('UNAVAILABLE', `transaction cancelled: ${describe(reasons)}`, { cause: error }),
  };
}

const describe = (reasons: readonly CancellationReason[]): string =>
  reasons.map(({ Code, Message }, index) => `${index}: ${Code ?? 'None'} ${Message ?? ''}`).join('; ');

function toStoreError(error: unknown): Error {
  const { name, message } = error instanceof Error ? error : { name: 'unknown', message: String(error) };
  if (name === 'ValidationException' || name === 'IdempotentParameterMismatchException') return refused(message, error);
  const code: StoreErrorCode = THROTTLING.has(name) ? 'THROTTLED' : 'UNAVAILABLE';
  return new StoreError(code, `DynamoDB: ${name}: ${message}`, { cause: error });
}

/** DynamoDB found the request itself wrong: over a limit, or a bug of this store. */
function refused(message: string, cause: unknown): Error {
  return /size|too large|exceed|limit/i.test(message)
    ? new StoreError('LIMIT_EXCEEDED', `DynamoDB: ${message}`, { cause })
    : new Bug(`DynamoDB refuses the request: ${message}`, { cause });
}

/** Errors carry items as the wire has them; the document client translates answers only. */
const plain = (item: Record<string, AttributeValue> | undefined): Record<string, unknown> | null =>
  item === undefined || Object.keys(item).length === 0 ? null : unmarshall(item);
