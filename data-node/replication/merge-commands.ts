import type { CommandAck, NodeCommand } from '../../shared/contracts/node/commands.ts';
import { done, refused } from './command-acks.ts';
import { spawn } from './context.ts';
import type { HostContext } from './context.ts';
import { bringsRightPart } from './joins.ts';
import type { ShardReplica } from './shard-replica.ts';

/** Between two looks of a sealed leader, ms. With push the merge has committed long before the first. */
const LOOK_EVERY_MS = 500;
/** As long as an operation waits for the other seal, ms; followers report a silent leader long before. */
const LOOK_AFTER_MS = 30_000;

/** The commands of a merge (S2). */
export class MergeCommands {
  private readonly context: HostContext;
  /** Shards whose seal is being looked after. */
  private readonly watched = new Set<string>();

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
    if (sealed.ok) {
      if (!this.watched.has(replica.shardId)) spawn(this.context.env, 'look after a seal', this.lookAfter(replica));
      return { ...done(command), receipt: sealed.value };
    }
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

  /**
   * A sealed shard serves nobody until its merge commits or is given up: who waits for the next heartbeat to learn it, waits long. So the leader
   * looks for itself, at last until others see to a silent leader.
   */
  private async lookAfter(replica: ShardReplica): Promise<void> {
    const { env, controlPlane } = this.context;
    const { shardId } = replica;
    const epoch = replica.promisedEpoch();
    this.watched.add(shardId);
    try {
      const untilMs = env.clock.monotonicMs() + LOOK_AFTER_MS;
      while (env.clock.monotonicMs() < untilMs) {
        await env.timers.sleep(LOOK_EVERY_MS);
        if (replica.promisedEpoch() > epoch || replica.meta() === undefined) return;
        const read = await controlPlane.getShard(shardId);
        // Absorbed, or unknown: the left part's leader, this very node, learns it from its own shard.
        if (read.ok && read.value !== null) replica.adopt(read.value);
      }
    } finally {
      this.watched.delete(shardId);
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
