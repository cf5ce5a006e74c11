import type { LivenessRecord } from '../../shared/domain/lease.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { CommandAnswer, CommandDraft } from '../../shared/ports.ts';
import { noteSweep, sweepFencedNode } from '../../shared/usecases/fail-over.ts';
import { fenceNode } from '../../shared/usecases/fence-node.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { registerNode } from '../../shared/usecases/register-node.ts';
import { report } from '../../shared/usecases/reports.ts';
import { ADMIN, nodePrincipal } from './use-case-world.ts';
import type { UseCaseWorld } from './use-case-world.ts';
import type { Receipt } from './world-checks.ts';

/**
 * Nodes that do what data nodes do with commands about membership, without data: they hold copies by replica id, leaders propose whoever is
 * there and holds his copy IN_SYNC (R2), deaths are fenced and swept, the dead return with or without their directory.
 */
export interface ReplicatingNodes {
  readonly receipts: Receipt[];
  /** Replica ids that each node holds. */
  held(node: number): readonly string[];
  /** No answer from now on; the node is fenced and swept as the detector does it. */
  kill(node: number): Promise<void>;
  /** Registers under a new node epoch. Its mailbox is delivered. */
  revive(node: number, directory?: 'KEPT' | 'WIPED'): Promise<void>;
  /** Whether leaders find the copies of a node in sync. */
  pace(node: number, inSync: 'AT_ONCE' | 'NEVER'): void;
  /** Leaders look at their followers once. */
  propose(shardIds: readonly string[]): Promise<void>;
  /** Living nodes hold what lists them: forked on demand (S1), or made anew after the leader missed it. `shards` are all there are: one that was merged away is one with the left part (S2). */
  holdListed(shards: readonly ShardDescriptor[]): void;
  /** A node that is alive and does not answer: what it is told waits in its mailbox. */
  deaf(node: number, isDeaf: boolean): void;
}

/** Nothing is written here: the end of a sealed log is made up. */
const ENTRIES_PER_EPOCH = 10;

export function replicatingNodes(world: UseCaseWorld): ReplicatingNodes {
  const held = new Map<string, Map<string, string>>(); // node -> shard -> replica
  const dead = new Set<string>();
  const silent = new Set<string>();
  const never = new Set<string>();
  const mail = new Map<string, CommandDraft[]>();
  const removed = new Set<string>();
  const receipts: Receipt[] = [];
  const lives = new Map<string, number>();
  const nameOf = (node: number): string => `node-${node}`;
  const copies = (node: string): Map<string, string> => {
    const known = held.get(node) ?? new Map<string, string>();
    held.set(node, known);
    return known;
  };

  const given = ({ shard, replicaId }: CommandDraft, receipt: { epoch: number; generation: number }): void => {
    const afterCommits = world.committed.length;
    receipts.push({ shard_id: shard.shardId, replica_id: replicaId, ...receipt, afterCommits });
  };

  const obey = (draft: CommandDraft): CommandAnswer => {
    const { shard, replicaId, type } = draft;
    const own = copies(draft.nodeId);
    switch (type) {
      case 'create_replica':
        if (removed.has(replicaId)) return { outcome: 'REFUSED', code: 'REPLICA_UNKNOWN', message: 'removed (R4)' };
        own.set(shard.shardId, replicaId);
        break;
      case 'remove_replica':
        removed.add(replicaId);
        // R4: it never touches another replica of the shard.
        if (own.get(shard.shardId) === replicaId) own.delete(shard.shardId);
        break;
      case 'step_down': {
        const receipt = { epoch: shard.epoch, generation: shard.generation };
        given(draft, receipt);
        return { outcome: 'DONE', receipt };
      }
      case 'seal_merge': {
        const sealed = { epoch: shard.epoch, seq: ENTRIES_PER_EPOCH * shard.epoch };
        const receipt = { epoch: shard.epoch, generation: shard.generation };
        given(draft, receipt);
        return { outcome: 'DONE', receipt: { ...receipt, sealed } };
      }
      case 'apply_split': {
        const child = draft.related;
        const copy = child?.replicas.find((replica) => replica.nodeId === draft.nodeId);
        if (child !== undefined && copy !== undefined && !removed.has(copy.replicaId))
          own.set(child.shardId, copy.replicaId);
        break;
      }
      case 'apply_merge':
        // The right part is one with the left one.
        if (draft.related !== undefined) own.delete(draft.related.shardId);
        break;
      default:
        break;
    }
    return { outcome: 'DONE', receipt: null };
  };
  world.answer((draft) => {
    if (!dead.has(draft.nodeId) && !silent.has(draft.nodeId)) return obey(draft);
    mail.set(draft.nodeId, [...(mail.get(draft.nodeId) ?? []), draft]);
    return { outcome: 'QUEUED' };
  });

  const proposeFor = async (shard: ShardDescriptor): Promise<void> => {
    const { leader } = shard;
    const lease = (await world.deps.liveness.of([leader.nodeId])).get(leader.nodeId);
    if (dead.has(leader.nodeId) || lease?.nodeEpoch !== leader.nodeEpoch || lease.incarnation === null) return;
    const leases = await world.deps.liveness.of(shard.replicas.map((replica) => replica.nodeId));
    const due = shard.replicas.find((replica) => {
      const session = leases.get(replica.nodeId);
      const holds = copies(replica.nodeId).get(shard.shardId) === replica.replicaId;
      if (session === undefined || session.incarnation === null || dead.has(replica.nodeId) || !holds) return false;
      const isCurrent = replica.syncStatus === 'IN_SYNC' && replica.nodeEpoch === session.nodeEpoch;
      return !isCurrent && !never.has(replica.nodeId);
    });
    const session = due === undefined ? undefined : leases.get(due.nodeId);
    if (due === undefined || session === undefined) return;
    await reportAs(lease, leader.nodeId, {
      type: 'replica_status',
      shard_id: shard.shardId,
      epoch: shard.epoch,
      generation: shard.generation,
      replica_id: due.replicaId,
      node_epoch: session.nodeEpoch,
      store_uuid: session.storeUuid,
      sync_status: 'IN_SYNC',
    });
  };

  const reportAs = async (
    lease: LivenessRecord,
    node: string,
    one: Parameters<typeof report>[2]['body']['reports'][number],
  ): Promise<void> => {
    const incarnation = lease.incarnation ?? '';
    await world.call(
      'report',
      report,
      { params: { node_id: node }, body: { node_epoch: lease.nodeEpoch, incarnation, reports: [one] } },
      nodePrincipal(Number(node.slice('node-'.length)), lease.nodeEpoch, incarnation),
    );
  };

  return {
    receipts,
    held: (node) => [...copies(nameOf(node)).values()],
    kill: async (node) => {
      dead.add(nameOf(node));
      const by = SYSTEM('detector');
      const fenced = await fenceNode(world.deps, by, await world.liveness(node));
      for (let sweep = 0; fenced !== null && sweep < 2; sweep++) {
        const { found } = await sweepFencedNode(world.deps, by, fenced);
        await noteSweep(world.deps, await world.liveness(node), found === 0);
      }
    },
    revive: async (node, directory = 'KEPT') => {
      const name = nameOf(node);
      const life = (lives.get(name) ?? 1) + 1;
      lives.set(name, life);
      const { storeUuid } = await world.liveness(node);
      if (directory === 'WIPED') held.delete(name);
      const answer = await registerNode(world.deps, ADMIN, {
        params: {},
        query: {},
        body: {
          node_id: name,
          host: '127.0.0.1',
          port: 7000 + node,
          zone: `z${node}`,
          incarnation: `inc-${node}-${life}`,
          store_uuid: directory === 'KEPT' ? storeUuid : `store-${node}-${life}`,
        },
      });
      if (!answer.ok) throw new Error(answer.error.message);
      dead.delete(name);
      for (const draft of mail.get(name) ?? []) if (draft.type !== 'step_down') obey(draft);
      mail.delete(name);
    },
    pace: (node, inSync) => {
      if (inSync === 'NEVER') never.add(nameOf(node));
      else never.delete(nameOf(node));
    },
    deaf: (node, isDeaf) => {
      if (isDeaf) silent.add(nameOf(node));
      else silent.delete(nameOf(node));
    },
    holdListed: (shards) => {
      const present = new Set<string>(shards.map(({ shardId }) => shardId));
      for (const [node, own] of held)
        if (!dead.has(node)) for (const shardId of [...own.keys()]) if (!present.has(shardId)) own.delete(shardId);
      for (const shard of shards)
        for (const { nodeId: node, replicaId } of shard.replicas)
          if (!dead.has(node) && !removed.has(replicaId)) copies(node).set(shard.shardId, replicaId);
    },
    propose: async (shardIds) => {
      for (const id of shardIds) {
        const located = await world.directory.locate(id as ShardDescriptor['shardId']);
        if (located !== null) await proposeFor(located.shard);
      }
    },
  };
}
