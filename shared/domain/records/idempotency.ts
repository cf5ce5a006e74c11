import type { OperationId } from '../ids.ts';
import type { Json } from './json.ts';

/** Answer kept under an `Idempotency-Key` for 24 h (I-11). */
export interface IdempotencyRecord {
  readonly scope: string;
  readonly key: string;
  readonly requestHash: string;
  /** Null while the first request is under way. */
  readonly answer: { readonly status: number; readonly body: Json } | null;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  /** Id of the operation that the request starts, if it starts one: a repeat after a lost answer finds that operation. */
  readonly operationId?: OperationId;
}
