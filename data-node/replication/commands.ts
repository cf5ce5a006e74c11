import type { CommandAck, NodeCommand } from '../../shared/contracts/node/commands.ts';
import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import { assertNever } from '../../shared/domain/result.ts';
import type { ReplicaMeta } from '../engine/types.ts';
import { done, refused } from './command-acks.ts';
import { spawn } from './context.ts';
import type { HostContext } from './context.ts';
import { MergeCommands } from './merge-commands.ts';
import type { RowCounter } from './row-counter.ts';
import type { ShardReplica } from './shard-replica.ts';
import { SplitCommands } from './split-commands.ts';

/** The replicas of a node, as commands change them. */
export interface ReplicaRegistry {
  find(shardId: string): ShardReplica | undefined;
  all(): Iterable<ShardReplica>;
  /** Takes up a replica that the engine holds now. */
  add(meta: ReplicaMeta): ShardReplica;
  drop(shardId: string): void;
}

const UNSETTLED = 'a split of a copy held here can not be looked up or stored now; send the command again';

/** Between two looks whether a new leader serves already, and for how long, ms. */
const SERVING_POLL_MS = 50;
const SERVING_WAIT_MS_MAX = 60_000;

/**
 * Commands of the control plane. Each checks replica id (R4), epoch and generation (E2), and is idempotent by what it says, so
 * that a repeated `command_id` needs no memory: the same command finds its work done.
 */
export class Commands {
  private readonly context: HostContext;
  private readonly registry: ReplicaRegistry;
  private readonly splits: SplitCommands;
  private readonly merges: MergeCommands;

  constructor(context: HostContext, registry: ReplicaRegistry, counter: RowCounter) {
    this.context = context;
    this.registry = registry;
    this.splits = new SplitCommands(context, registry, counter);
    this.merges = new MergeCommands(context);
  }

  apply(command: NodeCommand): Promise<CommandAck> {
    switch (command.type) {
      case 'create_replica':
        return this.createReplica(command);
      case 'remove_replica':
        return this.removeReplica(command);
      case 'become_leader':
        return this.withReplica(command, (replica) => this.becomeLeader(command, replica));
      case 'apply_descriptor':
        return this.withReplica(command, async (replica) => {
          if (command.descriptor !== null) await adopted(replica, command.descriptor);
          return done(command);
        });
      case 'step_down':
        return this.withReplica(command, (replica) => this.stepDown(command, replica));
      case 'prepare_split':
        return this.withReplica(command, (replica) => this.splits.prepare(command, replica));
      case 'apply_split':
        return this.withReplica(command, (replica) => this.splits.apply(command, replica));
      case 'seal_merge':
        return this.withReplica(command, (replica) => this.merges.seal(command, replica));
      case 'apply_merge':
        return this.withReplica(command, (replica) => this.merges.apply(command, replica));
      default:
        return assertNever(command.type);
    }
  }

  private async createReplica(command: NodeCommand): Promise<CommandAck> {
    const { commits, engine, lease } = this.context;
    const { shard_id: shardId, replica_id: replicaId, descriptor } = command;
    const registration = lease.registration();
    if (registration === null) return refused(command, 'NOT_REGISTERED', 'the node has no valid registration');
    const entry = descriptor?.replicas.find((replica) => replica.replica_id === replicaId);
    if (descriptor?.shard_id !== shardId || entry?.node_id !== registration.nodeId)
      return refused(command, 'REPLICA_UNKNOWN', 'the descriptor does not list the replica on this node');
    // A right part is forked where its parent is held, not filled from elsewhere (S1).
    const present = this.registry.find(shardId);
    const settled = await (present === undefined
      ? this.context.splits.forkOnDemand(descriptor, null)
      : present.replicaId === replicaId || this.context.splits.forkBeforeRemoval(present));
    if (!settled) return refused(command, 'SPLIT_UNSETTLED', UNSETTLED);
    const held = this.registry.find(shardId);
    if (held?.replicaId === replicaId) {
      await adopted(held, descriptor);
      return done(command);
    }
    if (engine.wasRemoved(replicaId)) return refused(command, 'REPLICA_UNKNOWN', 'the replica was removed (R4)');
    if (held !== undefined) {
      // Another replica of the shard on this node: the descriptor that lists the new one no longer lists it.
      if (descriptor.generation <= held.descriptor().generation)
        return refused(command, 'STALE_GENERATION', 'a newer generation is known');
      held.retire();
    }
    // IN_SYNC vouches for content: an empty copy may stand for it only in the directory that the entry names (L4), or when the
    // entry is void: then it is not electable before the leader has filled it (E1, R2).
    const isVoid = entry.node_epoch < registration.nodeEpoch;
    if (entry.sync_status === 'IN_SYNC' && entry.store_uuid !== registration.storeUuid && !isVoid)
      return refused(command, 'STORE_MISMATCH', 'the entry is in sync in another data directory');
    // I-5: the copy that the entry stood for may have promised more than this command tells of, which may be an old one.
    const newest = isVoid ? await this.newest(descriptor) : descriptor;
    if (newest === null)
      return refused(command, 'NOT_REGISTERED', 'the entry is void, and the present epoch can not be read now');
    const created = await commits.submit((tx): ReplicaMeta => {
      const present = tx.replica(shardId);
      if (present?.replicaId === replicaId) return present;
      if (present !== undefined) tx.removeReplica(shardId);
      const { storeUuid } = registration;
      return tx.createReplica({ shardId, replicaId, storeUuid, descriptor: newest, maxEpoch: newest.epoch });
    });
    if (!created.ok) {
      if (held !== undefined) this.reinstate(shardId);
      return refused(command, 'STORAGE', created.error.message);
    }
    if (this.registry.find(shardId)?.replicaId !== replicaId) this.registry.add(created.value);
    this.registry.find(shardId)?.considerLeading();
    return done(command);
  }

  /** The shard's descriptor by a strong read, or the given one where that is newer. Null: not to be had now. */
  private async newest(descriptor: WireDescriptor): Promise<WireDescriptor | null> {
    const read = await this.context.controlPlane.getShard(descriptor.shard_id);
    if (!read.ok) return null;
    return read.value !== null && read.value.generation > descriptor.generation ? read.value : descriptor;
  }

  private async removeReplica(command: NodeCommand): Promise<CommandAck> {
    const { commits } = this.context;
    const { shard_id: shardId, replica_id: replicaId } = command;
    const replica = this.registry.find(shardId);
    // Not the replica that is held: it is gone already, and must never touch another one (R4).
    if (replica?.replicaId !== replicaId) return done(command);
    if (!(await this.context.splits.forkBeforeRemoval(replica))) return refused(command, 'SPLIT_UNSETTLED', UNSETTLED);
    const known = replica.descriptor();
    // A newer descriptor that still lists the replica takes the command back, unless the whole shard goes.
    const wanted = replica.isListed() && known.state.kind !== 'DELETING';
    if (command.epoch < known.epoch && wanted) return refused(command, 'STALE_EPOCH', `epoch ${known.epoch} is known`);
    if (command.generation < known.generation && wanted)
      return refused(command, 'STALE_GENERATION', `generation ${known.generation} is known`);
    replica.retire();
    const removed = await commits.submit((tx) => {
      if (tx.replica(shardId)?.replicaId === replicaId) tx.removeReplica(shardId);
    });
    if (!removed.ok) {
      this.reinstate(shardId);
      return refused(command, 'STORAGE', removed.error.message);
    }
    if (this.registry.find(shardId) === replica) this.registry.drop(shardId);
    return done(command);
  }

  private async becomeLeader(command: NodeCommand, replica: ShardReplica): Promise<CommandAck> {
    const { lease } = this.context;
    if (command.epoch < replica.promisedEpoch())
      return refused(command, 'STALE_EPOCH', `epoch ${replica.promisedEpoch()} was promised`);
    const leading = replica.leadership();
    if (leading?.epoch === command.epoch) {
      if (command.descriptor !== null) await adopted(replica, command.descriptor);
      return leading.state() === 'SERVING' ? done(command) : this.accepted(command, replica);
    }
    const { descriptor } = command;
    if (descriptor === null || descriptor.generation < replica.descriptor().generation)
      return refused(command, 'STALE_GENERATION', `generation ${replica.descriptor().generation} is known`);
    if (descriptor.leader.node_epoch !== lease.registration()?.nodeEpoch)
      return refused(command, 'NODE_EPOCH_MISMATCH', 'the leadership is given under another node epoch (E1)');
    await adopted(replica, descriptor);
    const taken = replica.leadership();
    if (taken === null)
      return refused(command, 'NOT_ELIGIBLE', 'a receipt (E2), a promise or the copy bars this epoch');
    const durable = await taken.establish();
    if (!durable.ok)
      return refused(command, durable.error === 'STALE' ? 'STALE_EPOCH' : 'STORAGE', 'the epoch was not taken up');
    return this.accepted(command, replica);
  }

  private async stepDown(command: NodeCommand, replica: ShardReplica): Promise<CommandAck> {
    if (command.epoch < replica.promisedEpoch())
      return refused(command, 'STALE_EPOCH', `epoch ${replica.promisedEpoch()} was promised`);
    // S1 (m): a receipt names a generation that is applied, a fork that belongs to it included.
    if (command.descriptor !== null) await adopted(replica, command.descriptor);
    // The term belongs to another registration of this node: a receipt of this one would bar nothing there (E1, E2).
    if (replica.descriptor().leader.node_epoch !== this.context.lease.registration()?.nodeEpoch)
      return refused(command, 'NODE_EPOCH_MISMATCH', 'the leadership was given under another node epoch (E1)');
    // The receipt must name at least the intent's generation (E2).
    if (replica.descriptor().generation < command.generation)
      return refused(command, 'STALE_GENERATION', 'the descriptor of that generation is not known');
    const receipt = await replica.stepDown(command.epoch);
    if (!receipt.ok)
      return refused(command, receipt.error === 'STALE' ? 'STALE_EPOCH' : 'STORAGE', 'no receipt was persisted');
    return { ...done(command), receipt: receipt.value };
  }

  /** Acts on the replica that the command names (R4); one that is still part of a held parent is forked first (S1). */
  private async withReplica(
    command: NodeCommand,
    act: (replica: ShardReplica) => Promise<CommandAck>,
  ): Promise<CommandAck> {
    const { shard_id: shardId, replica_id: replicaId, descriptor } = command;
    if (this.registry.find(shardId) === undefined && descriptor !== null)
      await this.context.splits.forkOnDemand(descriptor, null);
    const replica = this.registry.find(shardId);
    if (replica?.replicaId === replicaId) return act(replica);
    return refused(command, 'REPLICA_UNKNOWN', 'the node does not hold the replica');
  }

  /** Answers ACCEPTED now and reports DONE once the shard is served. */
  private accepted(command: NodeCommand, replica: ShardReplica): CommandAck {
    spawn(this.context.env, 'report a new leader', this.reportServing(command, replica));
    return { ...done(command), outcome: 'ACCEPTED' };
  }

  private async reportServing(command: NodeCommand, replica: ShardReplica): Promise<void> {
    const { env, reporter } = this.context;
    const deadlineMs = env.clock.monotonicMs() + SERVING_WAIT_MS_MAX;
    while (env.clock.monotonicMs() < deadlineMs) {
      const leadership = replica.leadership();
      if (leadership?.epoch !== command.epoch) return;
      if (leadership.state() === 'SERVING') {
        await reporter.report({ type: 'command_ack', ...done(command) });
        return;
      }
      await env.timers.sleep(SERVING_POLL_MS);
    }
  }

  /** The engine could not remove what was retired: it is held on. */
  private reinstate(shardId: string): void {
    const meta = this.context.engine.replica(shardId);
    if (meta !== undefined) this.registry.add(meta);
  }
}

/** Resolves when the descriptor is taken note of, a split that it tells of included. */
function adopted(replica: ShardReplica, descriptor: WireDescriptor): Promise<void> {
  replica.adopt(descriptor);
  return replica.settled();
}
