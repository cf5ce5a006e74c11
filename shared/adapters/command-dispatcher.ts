import { COMMANDS_PER_MESSAGE_MAX, commandAckSchema } from '../contracts/node/commands.ts';
import type { CommandAck, NodeCommand } from '../contracts/node/commands.ts';
import { toWireDescriptor } from '../contracts/node/descriptor.ts';
import type { Clock, Logger, Random } from '../domain/environment.ts';
import { commandId, epoch, generation, nodeEpoch } from '../domain/ids.ts';
import type { CommandId, NodeId } from '../domain/ids.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import { ACKNOWLEDGED } from '../domain/operation.ts';
import type { CommandRecord, Json } from '../domain/records.ts';
import { invariant } from '../domain/result.ts';
import { replicaOn } from '../domain/shard.ts';
import { timeOrderedIds } from '../domain/time-ordered-id.ts';
import { SignerError } from '../ports.ts';
import type {
  AddressBook,
  CommandAnswer,
  CommandDispatcher,
  CommandDraft,
  NodeAddress,
  NodeClient,
  OperationStarter,
  Records,
  Settings,
  TokenAuthority,
} from '../ports.ts';
import { createCommandBatches } from './command-batches.ts';
import type { CommandEnd } from './command-batches.ts';
import { createCommandMailbox } from './command-mailbox.ts';

export interface CommandDispatcherParts {
  readonly records: Records;
  readonly nodes: NodeClient;
  readonly operations: OperationStarter;
  readonly tokens: TokenAuthority;
  readonly addresses: AddressBook;
  readonly clock: Clock;
  readonly random: Random;
  readonly settings: Pick<Settings, 'pushToNodes'>;
  readonly log: Logger;
}

/** Nodes that commands are pushed to at once: a zone's nodes may all be silent until the push times out. */
const PUSHED_NODES_MAX = 100;
/** Commands of one batch: its list of ids stays far below the 400 KB of an item. */
const BATCH_COMMANDS_MAX = 2_000;
/** After this time a command is dropped. Longer than any task waits; what is decided meanwhile comes with commands of its own. */
const COMMAND_LIFETIME_MS = 3_600_000;
/** Nobody decides again that a replica is to be removed once the shard is gone: the command waits for nodes that are down. */
const REMOVAL_LIFETIME_MS = 7 * 24 * 3_600_000;

/** A command that is ready to go, and what it was made from. */
interface Outgoing {
  readonly commandId: CommandId;
  readonly draft: CommandDraft;
  readonly signed: Json;
}

/** See ports.ts, `CommandDispatcher`. Throws StoreError if a command can be neither pushed nor kept. */
export function createCommandDispatcher(parts: CommandDispatcherParts): CommandDispatcher {
  const { clock, log, tokens } = parts;
  const mailbox = createCommandMailbox(parts);
  const batches = createCommandBatches(parts);
  const newId = timeOrderedIds(parts);

  const prepare = async (
    drafts: readonly CommandDraft[],
  ): Promise<{ outgoing: readonly Outgoing[]; addresses: ReadonlyMap<string, NodeAddress> }> => {
    const addresses = await parts.addresses.of(drafts.flatMap(nodesNamedBy));
    const addressOf = (node: string): { host: string; port: number } | null => {
      const address = addresses.get(node);
      return address === undefined ? null : { host: address.host, port: address.port };
    };
    const outgoing: Outgoing[] = [];
    for (const draft of drafts) {
      const command: NodeCommand = {
        command_id: newId('cmd'),
        type: draft.type,
        node_id: draft.nodeId,
        shard_id: draft.shard.shardId,
        replica_id: draft.replicaId,
        epoch: draft.shard.epoch,
        generation: draft.shard.generation,
        issued_at_ms: Math.floor(clock.wallMs()),
        descriptor: draft.type === 'remove_replica' ? null : toWireDescriptor(draft.shard, addressOf),
        related: draft.related === undefined ? null : toWireDescriptor(draft.related, addressOf),
      };
      const signed = { ...command, ...(await tokens.signCommand(command)) };
      outgoing.push({ commandId: commandId(command.command_id), draft, signed });
    }
    return { outgoing, addresses };
  };

  /** Pushes node by node, in parallel; answers what came back, by command id. */
  const push = async (
    outgoing: readonly Outgoing[],
    addresses: ReadonlyMap<string, NodeAddress>,
  ): Promise<ReadonlyMap<string, CommandAck>> => {
    const acks = new Map<string, CommandAck>();
    if (!parts.settings.pushToNodes) return acks;
    await mapBounded([...byNode(outgoing)], PUSHED_NODES_MAX, async ([nodeId, commands]) => {
      const address = addresses.get(nodeId);
      if (address === undefined) return;
      for (let start = 0; start < commands.length; start += COMMANDS_PER_MESSAGE_MAX) {
        const message = commands.slice(start, start + COMMANDS_PER_MESSAGE_MAX);
        const pushed = await parts.nodes.push(
          address,
          message.map(({ signed }) => signed),
        );
        if (!pushed.ok) {
          log.info('commands not pushed', { nodeId, count: commands.length - start, reason: pushed.error.message });
          return; // the rest would wait for the same silence
        }
        const sent = new Set<string>(message.map((one) => one.commandId));
        for (const answer of pushed.value) {
          const ack = commandAckSchema.safeParse(answer);
          if (ack.success && sent.has(ack.data.command_id)) acks.set(ack.data.command_id, ack.data);
          else log.warn('node gave no valid acknowledgement', { nodeId });
        }
      }
    });
    return acks;
  };

  return {
    send: async (drafts) => {
      if (drafts.length === 0) return [];
      const { outgoing, addresses } = await prepare(drafts);
      const acks = await push(outgoing, addresses);
      const unanswered = outgoing.filter((one) => {
        const ack = acks.get(one.commandId);
        return ack === undefined || isPutOff(one.draft.type, ack);
      });
      await mailbox.keep(unanswered.map((one) => recordOf(one, null, clock)));
      await mailbox.notify(unanswered.map(({ draft }) => draft.nodeId));
      return outgoing.map((one) => answerOf(one, acks.get(one.commandId)));
    },

    sendForTask: async (drafts, { operationId, taskToken }) => {
      if (drafts.length === 0) {
        await parts.operations.succeedTask(taskToken, ACKNOWLEDGED);
        return;
      }
      invariant(drafts.length <= BATCH_COMMANDS_MAX, `a task waits for at most ${BATCH_COMMANDS_MAX} commands`);
      const { outgoing, addresses } = await prepare(drafts);
      const batchId = newId('batch');
      // All of it is stored before anything is sent: an acknowledgement finds its batch, whoever takes it.
      const pending = outgoing.map((one) => one.commandId);
      const expiresAtMs = clock.wallMs() + COMMAND_LIFETIME_MS;
      try {
        await batches.open({ batchId, operationId, taskToken, pending, failed: [], expiresAtMs });
        await mailbox.keep(outgoing.map((one) => recordOf(one, batchId, clock)));
      } catch (error) {
        // Nobody hears of it: who runs the step again opens a batch of its own.
        await batches.forget(batchId);
        throw error;
      }
      const acks = await push(outgoing, addresses);
      const ends = [...acks.values()].flatMap(endOf);
      if (ends.length > 0) await batches.settle(batchId, ends);
      const ended = new Set(ends.map((end) => end.commandId));
      await mailbox.discard(
        outgoing.filter((one) => ended.has(one.commandId)).map((one) => ({ ...one, nodeId: one.draft.nodeId })),
      );
      await mailbox.notify(outgoing.filter((one) => !acks.has(one.commandId)).map(({ draft }) => draft.nodeId));
    },

    pending: async (nodeId, limit) => {
      const waiting = await mailbox.read(nodeId, limit);
      return Promise.all(
        waiting.map((signed) =>
          tokens.refreshCommand(signed).catch((error: unknown) => {
            if (!(error instanceof SignerError)) throw error;
            // The lease must not hang on a key: the node refuses the command, and who wants it sends another.
            log.error('command not signed anew', { nodeId, error });
            return signed;
          }),
        ),
      );
    },

    acknowledge: async (nodeId, ack) => {
      const [end] = endOf({ ...ack, command_id: ack.commandId });
      if (end === undefined) return; // accepted: its end follows
      const command = await mailbox.find(nodeId, ack.commandId);
      if (command === null) return;
      if (command.batchId === null && isPutOff((command.command as { readonly type?: unknown }).type, ack)) return;
      // The batch first: a crash in between leaves a command whose repeated acknowledgement finds the batch as it is.
      if (command.batchId !== null) await batches.settle(command.batchId, [end]);
      await mailbox.discard([command]);
    },
  };
}

/**
 * A node whose disk refuses writes can't destroy a copy now, and nobody decides the removal again: the command stays in the mailbox, and comes
 * again with the next one or with the next registration, which a full disk leads to, as it stops the heartbeats.
 */
const isPutOff = (type: unknown, ack: { readonly outcome: string; readonly code: string | null }): boolean =>
  type === 'remove_replica' && ack.outcome === 'REFUSED' && ack.code === 'STORAGE';

/** The addressee and every node in the descriptor, under the node epochs by which the descriptor knows them. */
function nodesNamedBy({ nodeId, shard, related }: CommandDraft): {
  nodeId: NodeId;
  nodeEpoch: ReturnType<typeof nodeEpoch>;
}[] {
  const addressee = { nodeId, nodeEpoch: replicaOn(shard, nodeId)?.nodeEpoch ?? nodeEpoch(0) };
  const members = [...shard.replicas, ...(related?.replicas ?? [])];
  return [addressee, ...members.map((replica) => ({ nodeId: replica.nodeId, nodeEpoch: replica.nodeEpoch }))];
}

function byNode(outgoing: readonly Outgoing[]): ReadonlyMap<NodeId, readonly Outgoing[]> {
  const nodes = new Map<NodeId, Outgoing[]>();
  for (const one of outgoing) {
    const commands = nodes.get(one.draft.nodeId);
    if (commands === undefined) nodes.set(one.draft.nodeId, [one]);
    else commands.push(one);
  }
  return nodes;
}

function recordOf({ commandId: id, draft, signed }: Outgoing, batchId: string | null, clock: Clock): CommandRecord {
  const createdAtMs = clock.wallMs();
  const lifetimeMs = draft.type === 'remove_replica' ? REMOVAL_LIFETIME_MS : COMMAND_LIFETIME_MS;
  return {
    commandId: id,
    nodeId: draft.nodeId,
    command: signed,
    createdAtMs,
    expiresAtMs: createdAtMs + lifetimeMs,
    batchId,
  };
}

/** The end that an acknowledgement tells of; none when the command was only accepted. */
function endOf(ack: Pick<CommandAck, 'command_id' | 'outcome' | 'code' | 'message'>): CommandEnd[] {
  switch (ack.outcome) {
    case 'ACCEPTED':
      return [];
    case 'DONE':
      return [{ commandId: ack.command_id, outcome: 'DONE' }];
    case 'REFUSED':
      return [{ commandId: ack.command_id, outcome: 'REFUSED', ...reasonOf(ack) }];
  }
}

const reasonOf = ({ code, message }: Pick<CommandAck, 'code' | 'message'>): { code: string; message: string } => ({
  code: code ?? 'REFUSED',
  message: message ?? 'The node gave no reason.',
});

function answerOf({ draft }: Outgoing, ack: CommandAck | undefined): CommandAnswer {
  if (ack === undefined) return { outcome: 'QUEUED' };
  if (ack.outcome === 'REFUSED') return { outcome: 'REFUSED', ...reasonOf(ack) };
  const { receipt } = ack;
  // A receipt binds only the replica that was asked (E2).
  const isOurs = receipt?.shard_id === draft.shard.shardId && receipt.replica_id === draft.replicaId;
  if (receipt === null || !isOurs) return { outcome: ack.outcome, receipt: null };
  const { sealed } = receipt;
  return {
    outcome: ack.outcome,
    receipt: {
      epoch: epoch(receipt.epoch),
      generation: generation(receipt.generation),
      ...(sealed === undefined ? {} : { sealed }),
    },
  };
}
