import type { Json } from './records.ts';

/**
 * Transport-neutral failures: a use case returns a `Fault`, the HTTP layer turns it into RFC 9457 problem details last.
 * `kind` decides the status, `code` is stable and documented, `message` tells the caller what to do.
 */
export type FaultKind =
  | 'INVALID' // 400
  | 'UNAUTHENTICATED' // 401
  | 'FORBIDDEN' // 403
  | 'NOT_FOUND' // 404
  | 'CONFLICT' // 409
  | 'PRECONDITION_FAILED' // 412
  | 'OVERLOADED' // 429
  | 'UNAVAILABLE'; // 503

/** Every code that a fault may carry: what callers may meet, besides those that only HTTP knows. */
export const FAULT_CODES = [
  'INVALID_REQUEST',
  'INVALID_KEY',
  'UNAUTHENTICATED',
  'TOKEN_EXPIRED',
  'JOIN_TOKEN_USED',
  'FORBIDDEN',
  'NOT_FOUND',
  'NODE_NOT_FOUND',
  'SHARD_NOT_FOUND',
  'TABLE_NOT_FOUND',
  'OPERATION_NOT_FOUND',
  'TABLE_EXISTS',
  'TABLE_NOT_ACTIVE',
  'NODE_ALIVE',
  'NODE_DECOMMISSIONED',
  'NODE_FENCED',
  'PACK_FULL',
  'SEQUENCE_STALE',
  'STORE_ROLLED_BACK',
  'STORE_MISMATCH',
  'EPOCH_STALE',
  'GENERATION_STALE',
  'NOT_LEADER',
  'REPLICA_UNKNOWN',
  'REPLICA_NOT_IN_SYNC',
  'NOT_ENOUGH_IN_SYNC',
  'NOT_ENOUGH_NODES',
  'OPERATION_ENDED',
  'NOT_CANCELLABLE',
  'NOT_PAUSED',
  'NOT_FAILED',
  'PLAN_STALE',
  'SHARD_BUSY',
  'NO_NEIGHBOUR',
  'NOT_NEIGHBOURS',
  'DATA_LOSS_FLAG',
  'STEP_DOWN_PENDING',
  'TRANSFER_PENDING',
  'ALREADY_ON_NODE',
  'NODE_CORDONED',
  'NODE_UNHEALTHY',
  'NODE_FULL',
  'PLACEMENT_RULE',
  'PLACEMENT_UNSATISFIABLE',
  'ZONE_HELD',
  'NOTHING_TO_DO',
  'TOO_FEW_REPLICAS',
  'ALREADY_LEADER',
  'REBALANCE_RUNNING',
  'DRAIN_RUNNING',
  'DRAIN_BLOCKED',
  'REPLICATION_CHANGE_RUNNING',
  'PLAN_TOO_LARGE',
  'DATA_LOSS_NOT_ACKNOWLEDGED',
  'NOT_UNDER_RECOVERY',
  'IDEMPOTENCY_KEY_REUSED',
  'IDEMPOTENT_REQUEST_UNDER_WAY',
  'REVISION_MISMATCH',
  'CURSOR_EXPIRED',
  'TABLE_NOT_YET',
  'HISTORY_EXPIRED',
  'CONFLICT',
  'OVERLOADED',
  'STORE_UNAVAILABLE',
  'SIGNER_UNAVAILABLE',
] as const;
export type FaultCode = (typeof FAULT_CODES)[number];

export interface Fault {
  readonly kind: FaultKind;
  readonly code: FaultCode;
  readonly message: string;
  /** Field at fault, in the wire's spelling, for INVALID. */
  readonly field?: string;
  /** Machine-readable facts, snake_case: the current epoch, the current route ... */
  readonly detail?: { readonly [key: string]: Json };
  readonly retryAfterSeconds?: number;
}

type FaultExtras = Pick<Fault, 'field' | 'detail' | 'retryAfterSeconds'>;

const make =
  (kind: FaultKind) =>
  (code: FaultCode, message: string, extras: FaultExtras = {}): Fault => ({ kind, code, message, ...extras });

export const invalid = make('INVALID');
export const unauthenticated = make('UNAUTHENTICATED');
export const forbidden = make('FORBIDDEN');
export const notFound = make('NOT_FOUND');
export const conflict = make('CONFLICT');
export const preconditionFailed = make('PRECONDITION_FAILED');
export const overloaded = make('OVERLOADED');
export const unavailable = make('UNAVAILABLE');
