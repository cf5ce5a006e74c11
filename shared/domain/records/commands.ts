import type { CommandId, NodeId, OperationId } from '../ids.ts';
import type { Json } from './json.ts';

/** A command on its way to a node; queued when a push fails, completed by the node's acknowledgement. */
export interface CommandRecord {
  readonly commandId: CommandId;
  readonly nodeId: NodeId;
  /** The command as the node protocol (contracts/node) spells it, signature included. */
  readonly command: Json;
  readonly createdAtMs: number;
  /** After this wall-clock time the command is dropped; whoever needs it decides anew. */
  readonly expiresAtMs: number;
  /** Batch that waits for the acknowledgement; null for notices. */
  readonly batchId: string | null;
}

/** A set of commands that one waiting task token needs. */
export interface CommandBatch {
  readonly batchId: string;
  readonly operationId: OperationId;
  readonly taskToken: string | null;
  readonly pending: readonly string[];
  readonly failed: readonly { readonly commandId: string; readonly code: string; readonly message: string }[];
  /** After this wall-clock time no task waits for it: a batch whose opener died before it stored the commands is ended by nobody. */
  readonly expiresAtMs: number;
}
