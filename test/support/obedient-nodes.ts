import type { CommandAck, NodeCommand } from '../../shared/contracts/node/commands.ts';
import type { Json } from '../../shared/domain/records.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { Receipt } from './world-checks.ts';

/**
 * Nodes without data that do at once what they are told: they hold copies by replica id as data nodes do, so that what is left on a node
 * at the end can be held against what the descriptors list.
 */
export class ObedientNodes {
  /** Receipts that nodes gave, for the checker of transitions (E2). */
  readonly receipts: Receipt[] = [];
  /** Node -> shard -> replica. */
  private readonly held = new Map<string, Map<string, string>>();
  private readonly removed = new Set<string>();
  private readonly commitsSoFar: () => number;

  /** `commitsSoFar`: of the store, to tell after which commit a receipt was given. */
  constructor(commitsSoFar: () => number) {
    this.commitsSoFar = commitsSoFar;
  }

  obey(command: Json): Json {
    const { command_id, type, node_id, shard_id, replica_id, epoch, generation, related } =
      command as unknown as NodeCommand;
    const copies = this.copiesOn(node_id);
    switch (type) {
      case 'create_replica':
        if (!this.removed.has(replica_id)) copies.set(shard_id, replica_id);
        break;
      case 'remove_replica':
        this.removed.add(replica_id);
        // R4: it never touches another replica of the shard.
        if (copies.get(shard_id) === replica_id) copies.delete(shard_id);
        break;
      case 'apply_split': {
        const own = related?.replicas.find((replica) => replica.node_id === node_id);
        if (related !== null && own !== undefined && !this.removed.has(own.replica_id))
          copies.set(related.shard_id, own.replica_id);
        break;
      }
      default:
        break;
    }
    const given = { shard_id, replica_id, epoch, generation };
    // A sealed log does not grow: the same end however often it is asked for (S2).
    const sealed = { ...given, sealed: { epoch, seq: 10 * epoch } };
    const receipt = type === 'step_down' ? given : type === 'seal_merge' ? sealed : null;
    if (receipt !== null) this.receipts.push({ ...receipt, afterCommits: this.commitsSoFar() });
    const ack: CommandAck = { command_id, outcome: 'DONE', code: null, message: null, receipt };
    return ack;
  }

  /**
   * Copies that nodes hold and no descriptor lists. `lost`: nodes that were fenced for good. A shard that was merged away is one with its left
   * neighbour: its copies are gone when that neighbour's are joined.
   */
  orphans(shards: readonly ShardDescriptor[], lost: ReadonlySet<string> = new Set()): string[] {
    const merged = new Set<string>(shards.flatMap(({ mergedFrom }) => mergedFrom?.rightShardId ?? []));
    const listed = new Set(shards.flatMap(({ replicas }) => replicas.map(placeOf)));
    return [...this.held].flatMap(([nodeId, copies]) =>
      [...copies]
        .filter(([shardId, replicaId]) => !merged.has(shardId) && !listed.has(placeOf({ nodeId, replicaId })))
        .filter(() => !lost.has(nodeId))
        .map(([shardId, replicaId]) => `I-10 ${nodeId} is left with ${replicaId} of ${shardId}, which nothing lists`),
    );
  }

  /** Copies that are listed and that their nodes do not hold. */
  missing(shards: readonly ShardDescriptor[], lost: ReadonlySet<string> = new Set()): string[] {
    return shards.flatMap(({ shardId, replicas }) =>
      replicas
        .filter(({ nodeId }) => !lost.has(nodeId))
        .filter(({ nodeId, replicaId }) => this.copiesOn(nodeId).get(shardId) !== replicaId)
        .map(({ nodeId, replicaId }) => `${nodeId} does not hold ${replicaId} of ${shardId}, which is listed`),
    );
  }

  private copiesOn(node: string): Map<string, string> {
    const known = this.held.get(node) ?? new Map<string, string>();
    this.held.set(node, known);
    return known;
  }
}

const placeOf = ({ nodeId, replicaId }: { readonly nodeId: string; readonly replicaId: string }): string =>
  `${nodeId} ${replicaId}`;
