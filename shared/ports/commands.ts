import type { CommandId, NodeEpoch, NodeId, OperationId, ReplicaId } from '../domain/ids.ts';
import type { Json } from '../domain/records.ts';
import type { Result } from '../domain/result.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import type { Receipt } from '../domain/transfer.ts';

export interface NodeAddress {
  readonly nodeId: NodeId;
  readonly host: string;
  readonly port: number;
}

/** Pushes signed commands to a node. Never throws: an unreachable node is an answer. */
export interface NodeClient {
  push(
    node: NodeAddress,
    commands: readonly Json[],
  ): Promise<Result<readonly Json[], { code: 'NODE_UNREACHABLE'; message: string }>>;
}

/** A command before it has an id, a signature and a way to its node. */
export interface CommandDraft {
  readonly nodeId: NodeId;
  readonly type:
    | 'create_replica'
    | 'remove_replica'
    | 'become_leader'
    | 'apply_descriptor'
    | 'step_down'
    | 'prepare_split'
    | 'apply_split'
    | 'seal_merge'
    | 'apply_merge';
  readonly replicaId: ReplicaId;
  /** The shard whose epoch and generation the command carries. */
  readonly shard: ShardDescriptor;
  /** A shard that changed in the same commit, where the command is about two. */
  readonly related?: ShardDescriptor;
}

/** How a node answered a command that was pushed to it. */
export type CommandAnswer =
  | {
      readonly outcome: 'ACCEPTED' | 'DONE';
      readonly receipt: Pick<Receipt, 'epoch' | 'generation' | 'sealed'> | null;
    }
  | { readonly outcome: 'REFUSED'; readonly code: string; readonly message: string }
  /** No answer: the command waits in the node's mailbox for its next heartbeat. */
  | { readonly outcome: 'QUEUED' };

/** The way of commands to nodes: signed, pushed first, left in the node's mailbox when the push got no answer. */
export interface CommandDispatcher {
  /** Answers in the order of the drafts. Commands are idempotent; sending twice is harmless. */
  send(drafts: readonly CommandDraft[]): Promise<readonly CommandAnswer[]>;
  /**
   * Sends commands that a waiting task token needs: when all of them are DONE the token succeeds, when one is REFUSED it
   * fails with the code. Acknowledgements arrive by push, heartbeat or report.
   */
  sendForTask(
    drafts: readonly CommandDraft[],
    task: { readonly operationId: OperationId; readonly taskToken: string },
  ): Promise<void>;
  /** Up to `limit` commands in the node's mailbox, as the wire carries them. */
  pending(nodeId: NodeId, limit: number): Promise<readonly Json[]>;
  /** Takes an acknowledgement that the node `nodeId` gave by heartbeat or report. Unknown command ids are ignored. */
  acknowledge(
    nodeId: NodeId,
    ack: {
      readonly commandId: CommandId;
      readonly outcome: 'ACCEPTED' | 'DONE' | 'REFUSED';
      readonly code: string | null;
      readonly message: string | null;
    },
  ): Promise<void>;
}

/**
 * Addresses of nodes, cached by each process. An entry is read again when a higher node epoch than the cached one is asked for; all of
 * them are with 'BYPASS', for whom an address did not answer: the node may have registered elsewhere since, which no descriptor tells yet.
 */
export interface AddressBook {
  of(
    nodes: readonly { readonly nodeId: NodeId; readonly nodeEpoch: NodeEpoch }[],
    cache?: 'USE' | 'BYPASS',
  ): Promise<ReadonlyMap<string, NodeAddress>>;
}
