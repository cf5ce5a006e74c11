import type { OperationId } from '../ids.ts';
import type { Json } from './json.ts';

/** Every kind of operation; each has a folder in state-machines. */
export const OPERATION_TYPES = [
  'create-table',
  'delete-table',
  'move-replica',
  'split-shard',
  'merge-shards',
  'rebalance',
  'drain-node',
  'repair-shards',
  'change-replication-factor',
] as const;
export type OperationType = (typeof OPERATION_TYPES)[number];
export type OperationStatus = 'PENDING' | 'RUNNING' | 'PAUSED' | 'SUCCEEDED' | 'FAILED' | 'CANCELLED';

/** A long-running job (DESIGN section 7). State lives here; the state machine carries only the id and a step tag. */
export interface OperationRecord {
  readonly operationId: OperationId;
  readonly type: OperationType;
  readonly status: OperationStatus;
  readonly outcome: 'APPLIED' | 'ROLLED_BACK' | null;
  readonly progress: { readonly done: number; readonly total: number; readonly unit: string };
  /** What is asked of it from outside; it obeys at the next boundary of a step. */
  readonly control: 'RUN' | 'PAUSE' | 'CANCEL';
  /** Number of its execution, from 1: a resumed, redriven or continued operation runs in a new one. */
  readonly run: number;
  /** Steps that its present execution has saved, and when that execution began (wall clock): its share of history events is bounded. */
  readonly runSteps: number;
  readonly runStartedAtMs: number;
  /** False from the commit on that can't be undone any more: an accepted cancel is always obeyed, a later one is refused. */
  readonly cancellable: boolean;
  /** True once it began to undo what it did: whatever comes, it goes on undoing until it is rolled back. */
  readonly undoing: boolean;
  /** The operation that started it as a part of itself; null for one that a caller or a schedule asked for. */
  readonly parentId: OperationId | null;
  /** What it will do, or did, as data; null where there is nothing to tell. */
  readonly plan: Json;
  /** What the operation waits for, in words; null when it waits for nothing. */
  readonly waitingOn: string | null;
  /** The request, validated. */
  readonly input: Json;
  /** The operation's own state: phase and cursor. Read and written only by its steps. */
  readonly state: Json;
  readonly steps: readonly { readonly name: string; readonly atMs: number; readonly detail: string }[];
  readonly createdBy: string;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly executionArn: string | null;
  /** When a pause ends by itself, wall clock; null: nobody paused it. Missing in records of earlier releases. */
  readonly pausedUntilMs?: number | null;
  /** `step`: the step that kept failing, where one did. */
  readonly error: { readonly code: string; readonly message: string; readonly step?: string } | null;
}

/** An operation that has not ended; written and deleted with its record, so that whoever resumes operations finds them. */
export interface OpenOperation {
  readonly operationId: OperationId;
}

/** One part of a large operation, such as one move of a rebalance. Written by the operation's own steps. */
export interface OperationPart {
  readonly operationId: OperationId;
  /** From 0, in the order of execution. */
  readonly number: number;
  readonly value: Json;
  readonly status: 'PLANNED' | 'RUNNING' | 'DONE' | 'SKIPPED' | 'FAILED';
  /** The operation that carries it out; null as long as none does. */
  readonly childId: OperationId | null;
  /** Why it was skipped or failed. */
  readonly reason: string | null;
  readonly updatedAtMs: number;
}

/**
 * A place that one operation at a time may hold: of two rebalances at once one is refused. It is taken in the commit that starts the operation, and
 * free again once that operation has ended; nobody has to give it back.
 */
export interface OperationSlot {
  /** What is exclusive, for example `rebalance` or `drain-node:node-7`. */
  readonly slot: string;
  readonly operationId: OperationId | null;
  /** The tick starts no other operation of this kind by itself before this wall-clock time. */
  readonly notBeforeMs: number;
  /** What the next operation takes over from the last one: its pace. */
  readonly carried: Json;
}
