import type { CommandAck, NodeCommand } from '../../shared/contracts/node/commands.ts';
import { done, refused } from './command-acks.ts';
import type { HostContext } from './context.ts';
import { bringsRightPart } from './joins.ts';
import type { ShardReplica } from './shard-replica.ts';

/** The commands of a merge (S2). */
export class MergeCommands {
  private readonly context: HostContext;

  constructor(context: HostContext) {
    this.context = context;
  }

  /**
   * The leader of one side stops taking writes and answers with its receipt and the end of its log, once every member of the ack set holds
   * all of it. If a member does not answer in time, the leader goes on serving and nothing was promised.
   */
  async seal(command: NodeCommand, replica: ShardReplica): Promise<CommandAck> {
    const { descriptor } = command;
    if (command.epoch < replica.promisedEpoch())
      return refused(command, 'STALE_EPOCH', `epoch ${replica.promisedEpoch()} was promised`);
    if (descriptor?.state.kind !== 'MERGING')
      return refused(command, 'NOT_MERGING', 'the descriptor announces no merge');
    replica.adopt(descriptor);
    await replica.settled();
    const known = replica.descriptor();
    if (known.generation !== descriptor.generation)
      return refused(command, 'STALE_GENERATION', `generation ${known.generation} is known`);
    // A receipt of another registration would bar nothing there (E1, E2).
    if (known.leader.node_epoch !== this.context.lease.registration()?.nodeEpoch)
      return refused(command, 'NODE_EPOCH_MISMATCH', 'the leadership was given under another node epoch (E1)');
    if (known.leader.replica_id !== replica.replicaId)
      return refused(command, 'NOT_ELIGIBLE', 'another replica leads the shard');
    const sealed = await replica.seal(command.epoch);
    if (sealed.ok) return { ...done(command), receipt: sealed.value };
    switch (sealed.error) {
      case 'STALE':
        return refused(command, 'STALE_EPOCH', 'a higher epoch was promised');
      case 'NOT_SETTLED':
        return refused(
          command,
          'NOT_SETTLED',
          'not every member of the ack set holds the whole log; the shard goes on',
        );
      default:
        return refused(command, 'STORAGE', sealed.error.message);
    }
  }

  /** Done when the two copies are one, durably, or given up: by this command, or by whatever told of the merge before. */
  async apply(command: NodeCommand, replica: ShardReplica): Promise<CommandAck> {
    const { descriptor } = command;
    if (descriptor === null) return refused(command, 'INVALID_COMMAND', 'the merged descriptor is needed');
    replica.adopt(descriptor);
    await replica.settled();
    const meta = this.context.engine.replica(command.shard_id);
    if (meta?.replicaId === replica.replicaId && bringsRightPart(meta.descriptor, descriptor))
      return refused(command, 'STORAGE', 'the join is not durable; send the command again');
    return done(command);
  }
}
