/**
 * Failures of the client library. `outcome` tells of a write what is known: NOT_APPLIED - no attempt can have had an
 * effect; UNKNOWN - an attempt may have been applied, now or later (repeat it with the same write id to find out). Reads
 * are always NOT_APPLIED.
 */
export type ClientErrorCode =
  /** The deadline passed; `cause` is the last problem met. */
  | 'DEADLINE'
  | 'TABLE_NOT_FOUND'
  | 'INVALID_REQUEST'
  | 'UNAUTHENTICATED'
  | 'FORBIDDEN'
  | 'WRITE_ID_REUSED'
  /** Rows of one batch whose shard was split while it was unknown whether they were written: repeated they might be written twice. */
  | 'SPLIT_MEANWHILE'
  /** A problem that repetition may solve; seen by callers only as the `cause` of DEADLINE. */
  | 'RETRYABLE';

export type Outcome = 'NOT_APPLIED' | 'UNKNOWN';

export class ClientError extends Error {
  override readonly name = 'ClientError';
  readonly code: ClientErrorCode;
  readonly outcome: Outcome;

  constructor(code: ClientErrorCode, message: string, details: { outcome?: Outcome; cause?: unknown } = {}) {
    super(message, details.cause === undefined ? {} : { cause: details.cause });
    this.code = code;
    this.outcome = details.outcome ?? 'NOT_APPLIED';
  }
}
