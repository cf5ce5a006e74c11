import type { CommandAck, NodeCommand } from '../../shared/contracts/node/commands.ts';
import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import { done, refused } from './command-acks.ts';
import { spawn } from './context.ts';
import type { HostContext } from './context.ts';
import type { ReplicaRegistry } from './commands.ts';
import type { RowCounter } from './row-counter.ts';
import type { ShardReplica } from './shard-replica.ts';

/** A preparation that takes longer is acknowledged by a report: the push that brought the command does not wait for it. */
const ANSWERED_WITHIN_MS = 200;

/** The commands of a split (S1). */
export class SplitCommands {
  private readonly context: HostContext;
  private readonly registry: ReplicaRegistry;
  private readonly counter: RowCounter;
  /** Counts under way, by parent: a repeated command waits for the same one. */
  private readonly preparing = new Map<string, { readonly key: string; readonly counted: Promise<boolean> }>();

  constructor(context: HostContext, registry: ReplicaRegistry, counter: RowCounter) {
    this.context = context;
    this.registry = registry;
    this.counter = counter;
  }

  /** The intent is durable here, so that any later word of the split leads to the fork; the right part's size is counted ahead. */
  async prepare(command: NodeCommand, replica: ShardReplica): Promise<CommandAck> {
    const { env, commits, reporter } = this.context;
    const known = replica.descriptor();
    const { descriptor } = command;
    if (command.epoch < known.epoch) return refused(command, 'STALE_EPOCH', `epoch ${known.epoch} is known`);
    // A replica's status may have changed meanwhile: the newer descriptor still announces the same split.
    if (command.generation < known.generation && !announcesSameSplit(known, descriptor))
      return refused(command, 'STALE_GENERATION', `generation ${known.generation} is known`);
    if (descriptor?.state.kind !== 'SPLITTING' || descriptor.state.split_key === null)
      return refused(command, 'NOT_SPLITTING', 'the descriptor announces no split at a key');
    const { split_key: key, child } = descriptor.state;
    if (!child.replicas.some((copy) => copy.parent_replica_id === command.replica_id))
      return refused(command, 'NOT_SPLITTING', 'the intent names no copy to fork from this replica');
    replica.adopt(descriptor);
    await replica.settled();
    const durable = await commits.submit((tx) => {
      const meta = tx.replica(command.shard_id);
      if (meta?.replicaId !== command.replica_id || meta.maxEpoch > descriptor.epoch) return false;
      if (meta.descriptor.generation < descriptor.generation)
        tx.patchReplica(command.shard_id, { descriptor, maxEpoch: Math.max(meta.maxEpoch, descriptor.epoch) });
      return true;
    });
    if (!durable.ok) return refused(command, 'STORAGE', durable.error.message);
    if (!durable.value) return refused(command, 'STALE_EPOCH', 'a higher epoch was promised');
    const counted = this.count(command.shard_id, key);
    const inTime = await Promise.race([
      counted.then(() => true),
      env.timers.sleep(ANSWERED_WITHIN_MS).then(() => false),
    ]);
    if (inTime) return done(command);
    const reported = counted.then(() => reporter.report({ type: 'command_ack', ...done(command) }));
    spawn(env, 'report a prepared split', reported);
    return { ...done(command), outcome: 'ACCEPTED' };
  }

  /** Done when the copy is forked, durably: by this command, or by whatever told of the split before. */
  async apply(command: NodeCommand, replica: ShardReplica): Promise<CommandAck> {
    const { descriptor, related } = command;
    if (descriptor === null || related === null)
      return refused(command, 'INVALID_COMMAND', 'both halves of the split are needed');
    const entry = related.replicas.find((copy) => copy.node_id === command.node_id);
    replica.adopt(descriptor, related);
    await replica.settled();
    const child = this.registry.find(related.shard_id);
    if (entry !== undefined && child?.replicaId === entry.replica_id) {
      child.adopt(related);
      return done(command);
    }
    if (entry === undefined || this.context.engine.wasRemoved(entry.replica_id)) return done(command);
    if (this.context.engine.replica(command.shard_id)?.descriptor.end_key === related.start_key)
      return refused(command, 'NOT_FORKED', 'this copy could not be forked; create the replica, its leader fills it');
    return refused(command, 'STORAGE', 'the fork is not durable; send the command again');
  }

  private count(shardId: string, key: string): Promise<boolean> {
    const running = this.preparing.get(shardId);
    if (running?.key === key) return running.counted;
    const counted = this.counter.count(shardId, key).finally(() => {
      if (this.preparing.get(shardId)?.counted === counted) this.preparing.delete(shardId);
    });
    this.preparing.set(shardId, { key, counted });
    return counted;
  }
}

const announcesSameSplit = ({ state: known }: WireDescriptor, asked: WireDescriptor | null): boolean =>
  known.kind === 'SPLITTING' &&
  asked?.state.kind === 'SPLITTING' &&
  known.operation_id === asked.state.operation_id &&
  known.split_key === asked.state.split_key;
