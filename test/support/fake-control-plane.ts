import type { NodeCommand } from '../../shared/contracts/node/commands.ts';
import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import type { NodeReport, ReportsResponse } from '../../shared/contracts/node/heartbeat.ts';

type ReportResult = ReportsResponse['results'][number];
type WireReplica = WireDescriptor['replicas'][number];

export interface FakeNode {
  readonly nodeId: string;
  nodeEpoch: number;
  storeUuid: string;
  address: { host: string; port: number };
}

/** Sender of a report: the credential says which node, under which node epoch. */
export interface Reporter {
  readonly nodeId: string;
  readonly nodeEpoch: number;
}

/**
 * The truth about shards for tests of data nodes: descriptors, and the conditions of PROTOCOL's transitions, without a store.
 * Every write of a descriptor is conditional on epoch and generation; nothing is ever written below `min_in_sync`.
 */
export class FakeControlPlane {
  readonly nodes = new Map<string, FakeNode>();
  readonly shards = new Map<string, WireDescriptor>();
  /** Everything that was reported, for assertions. */
  readonly reports: { readonly from: Reporter; readonly report: NodeReport; readonly result: ReportResult }[] = [];
  /** As when the proposed session's node epoch is over: IN_SYNC is refused, whatever the rest says. */
  refusesInSync = false;
  private commands = 0;
  private readonly nowMs: () => number;

  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  /** Registration is a fence (L4): it raises the node epoch. */
  register(nodeId: string, storeUuid: string, port: number): FakeNode {
    const nodeEpoch = (this.nodes.get(nodeId)?.nodeEpoch ?? 0) + 1;
    const node = { nodeId, nodeEpoch, storeUuid, address: { host: nodeId, port } };
    this.nodes.set(nodeId, node);
    return node;
  }

  fence(nodeId: string): void {
    this.node(nodeId).nodeEpoch++;
  }

  node(nodeId: string): FakeNode {
    const node = this.nodes.get(nodeId);
    if (node === undefined) throw new Error(`no node ${nodeId}`);
    return node;
  }

  /** A shard over the whole key space, every replica in sync (all empty), led by the first node. */
  createShard(parts: {
    shardId: string;
    nodeIds: readonly string[];
    minInSync: number;
    keyType?: 'string' | 'int64';
    startKey?: string;
    endKey?: string | null;
  }): WireDescriptor {
    const replicas = parts.nodeIds.map((nodeId) => this.entry(nodeId, `${parts.shardId}.${nodeId}`, 'IN_SYNC'));
    const leader = replicas[0]!;
    const descriptor: WireDescriptor = {
      shard_id: parts.shardId,
      table_id: 'table-1',
      table: 'cities',
      key_type: parts.keyType ?? 'string',
      start_key: parts.startKey ?? '',
      end_key: parts.endKey ?? null,
      epoch: 1,
      generation: 1,
      leader: { node_id: leader.node_id, replica_id: leader.replica_id, node_epoch: leader.node_epoch },
      min_in_sync: parts.minInSync,
      replicas,
      intent: null,
      state: { kind: 'ACTIVE' },
      data_loss: false,
      created_at_ms: 0,
      leader_since_ms: 0,
    };
    this.shards.set(parts.shardId, descriptor);
    return descriptor;
  }

  /** With the addresses of now, as the production directory answers. */
  shard(shardId: string): WireDescriptor {
    const shard = this.shards.get(shardId);
    if (shard === undefined) throw new Error(`no shard ${shardId}`);
    return {
      ...shard,
      replicas: shard.replicas.map((replica) => ({
        ...replica,
        address: this.nodes.get(replica.node_id)?.address ?? null,
      })),
    };
  }

  inSync(shardId: string): string[] {
    return this.shard(shardId)
      .replicas.filter((replica) => replica.sync_status === 'IN_SYNC')
      .map((replica) => replica.node_id)
      .sort();
  }

  /** Any other change, as an operation of the control plane would make it. */
  change(shardId: string, change: (shard: WireDescriptor) => Partial<WireDescriptor>): WireDescriptor {
    const shard = this.shard(shardId);
    const next = { ...shard, ...change(shard), generation: shard.generation + 1 };
    this.shards.set(shardId, next);
    return next;
  }

  entry(nodeId: string, replicaId: string, status: WireReplica['sync_status']): WireReplica {
    const node = this.node(nodeId);
    return {
      replica_id: replicaId,
      node_id: nodeId,
      node_epoch: node.nodeEpoch,
      store_uuid: node.storeUuid,
      sync_status: status,
      address: node.address,
    };
  }

  /** E1. The old leader must be fenced and the candidate's entry current; void entries leave as far as `min_in_sync` allows. */
  elect(shardId: string, nodeId: string): WireDescriptor {
    const shard = this.shard(shardId);
    const candidate = shard.replicas.find((replica) => replica.node_id === nodeId);
    if (candidate?.sync_status !== 'IN_SYNC') throw new Error('not in sync');
    if (candidate.node_epoch !== this.node(nodeId).nodeEpoch) throw new Error('the entry is void');
    if (shard.leader.node_epoch === this.node(shard.leader.node_id).nodeEpoch) throw new Error('fence first');
    return this.install(shard, candidate);
  }

  /** E4: every entry is void; one that proved itself leads under its node's new epoch. */
  electOfTheVoid(shardId: string, nodeId: string): WireDescriptor {
    const shard = this.shard(shardId);
    const current = shard.replicas.some((replica) => replica.node_epoch === this.node(replica.node_id).nodeEpoch);
    if (current) throw new Error('an entry is current');
    const candidate = shard.replicas.find((replica) => replica.node_id === nodeId);
    if (candidate?.sync_status !== 'IN_SYNC') throw new Error('not in sync');
    const node = this.node(nodeId);
    if (candidate.store_uuid !== node.storeUuid) throw new Error('another directory');
    const renewed = { ...candidate, node_epoch: node.nodeEpoch };
    const replicas = shard.replicas.map((replica) => (replica === candidate ? renewed : replica));
    return this.install({ ...shard, replicas }, renewed);
  }

  /** E2, first half: the intent is in the descriptor before the old leader is asked. */
  intend(shardId: string, nodeId: string): WireDescriptor {
    return this.change(shardId, (shard) => ({
      intent: {
        kind: 'TRANSFER',
        target_replica_id: shard.replicas.find((replica) => replica.node_id === nodeId)!.replica_id,
        since_generation: shard.generation + 1,
      },
    }));
  }

  /** E2, second half: with the receipt any IN_SYNC replica may lead, the old one included. */
  transfer(shardId: string, nodeId: string, receipt: { epoch: number; generation: number }): WireDescriptor {
    const shard = this.shard(shardId);
    if (shard.intent === null || receipt.epoch !== shard.epoch || receipt.generation < shard.intent.since_generation)
      throw new Error('no valid receipt');
    const target = shard.replicas.find((replica) => replica.node_id === nodeId);
    if (target?.sync_status !== 'IN_SYNC') throw new Error('not in sync');
    if (target.node_epoch !== this.node(nodeId).nodeEpoch) throw new Error('the entry is void');
    return this.install(shard, target);
  }

  command(type: NodeCommand['type'], shardId: string, nodeId: string, of = this.shard(shardId)): NodeCommand {
    const replica = of.replicas.find((entry) => entry.node_id === nodeId)!;
    return {
      command_id: `command-${++this.commands}`,
      type,
      node_id: nodeId,
      shard_id: shardId,
      replica_id: replica.replica_id,
      epoch: of.epoch,
      generation: of.generation,
      issued_at_ms: this.nowMs(),
      descriptor: type === 'remove_replica' ? null : of,
      related: null,
    };
  }

  report(from: Reporter, reports: readonly NodeReport[]): ReportResult[] {
    return reports.map((report) => {
      const result = this.decide(from, report);
      this.reports.push({ from, report, result });
      return result;
    });
  }

  private decide(from: Reporter, report: NodeReport): ReportResult {
    if (report.type === 'command_ack') return { outcome: 'APPLIED', code: null, message: null, descriptor: null };
    const answer = (outcome: ReportResult['outcome'], code: string | null = null): ReportResult => ({
      outcome,
      code,
      message: code,
      descriptor: this.shards.has(report.shard_id) ? this.shard(report.shard_id) : null,
    });
    if (!this.shards.has(report.shard_id)) {
      const begins = report.type === 'silent_leader' ? report.begins?.start_key : undefined;
      const absorbed = [...this.shards.keys()]
        .map((shardId) => this.shard(shardId))
        .some(
          ({ start_key: from, end_key: to, epoch }) =>
            begins !== undefined && from <= begins && (to === null || begins < to) && epoch > report.epoch,
        );
      return answer('REFUSED', absorbed ? 'SHARD_ABSORBED' : 'SHARD_NOT_FOUND');
    }
    const shard = this.shard(report.shard_id);
    if (report.type === 'split_key') {
      const { state } = shard;
      const asked =
        state.kind === 'SPLITTING' && state.operation_id === report.operation_id && state.split_key === null;
      if (!asked || report.epoch !== shard.epoch || report.generation !== shard.generation)
        return answer('REFUSED', 'NO_SPLIT_ASKED');
      this.change(shard.shard_id, () => ({
        state: report.split_key === null ? { kind: 'ACTIVE' } : { ...state, split_key: report.split_key },
      }));
      return answer('APPLIED');
    }
    if (report.type !== 'replica_status') return answer('NOTHING_TO_DO');
    if (report.epoch !== shard.epoch) return answer('REFUSED', 'EPOCH_STALE');
    if (report.generation !== shard.generation) return answer('REFUSED', 'GENERATION_STALE');
    if (from.nodeId !== shard.leader.node_id || from.nodeEpoch !== shard.leader.node_epoch)
      return answer('REFUSED', 'NOT_LEADER');
    const entry = shard.replicas.find((replica) => replica.replica_id === report.replica_id);
    if (entry === undefined) return answer('REFUSED', 'REPLICA_UNKNOWN');
    const same = entry.sync_status === report.sync_status && entry.node_epoch === report.node_epoch;
    if (same) return answer('NOTHING_TO_DO');
    if (report.sync_status === 'IN_SYNC' && this.refusesInSync) return answer('REFUSED', 'NODE_FENCED');
    const inSync = shard.replicas.filter((replica) => replica.sync_status === 'IN_SYNC').length;
    if (report.sync_status !== 'IN_SYNC' && entry.sync_status === 'IN_SYNC' && inSync <= shard.min_in_sync)
      return answer('REFUSED', 'NOT_ENOUGH_IN_SYNC');
    this.change(report.shard_id, (before) => ({
      replicas: before.replicas.map((replica) =>
        replica.replica_id === report.replica_id
          ? {
              ...replica,
              sync_status: report.sync_status,
              node_epoch: report.node_epoch,
              store_uuid: report.store_uuid,
            }
          : replica,
      ),
    }));
    return answer('APPLIED');
  }

  private install(shard: WireDescriptor, leader: WireReplica): WireDescriptor {
    let inSync = shard.replicas.filter((replica) => replica.sync_status === 'IN_SYNC').length;
    const replicas = shard.replicas.map((replica): WireReplica => {
      const isVoid = replica.node_epoch !== this.node(replica.node_id).nodeEpoch;
      if (replica.sync_status !== 'IN_SYNC' || !isVoid || inSync <= shard.min_in_sync) return replica;
      inSync--;
      return { ...replica, sync_status: 'OFFLINE' };
    });
    const next: WireDescriptor = {
      ...shard,
      epoch: shard.epoch + 1,
      generation: shard.generation + 1,
      leader: { node_id: leader.node_id, replica_id: leader.replica_id, node_epoch: leader.node_epoch },
      replicas,
      intent: null,
      leader_since_ms: this.nowMs(),
    };
    this.shards.set(shard.shard_id, next);
    return this.shard(shard.shard_id);
  }
}
