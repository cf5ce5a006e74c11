import {
  encodedKey,
  epoch,
  generation,
  incarnation,
  nodeEpoch,
  nodeId,
  replicaId,
  shardId,
  storeUuid,
  tableId,
  tableName,
} from '../../shared/domain/ids.ts';
import type { LivenessRecord } from '../../shared/domain/lease.ts';
import type { Replica, ShardDescriptor, SyncStatus } from '../../shared/domain/shard.ts';

/** A replica `r-<node>` on `node-<node>` in the directory `store-<node>`. */
export function aReplica(node: number, syncStatus: SyncStatus = 'IN_SYNC', underNodeEpoch = 1): Replica {
  return {
    replicaId: replicaId(`r-${node}`),
    nodeId: nodeId(`node-${node}`),
    nodeEpoch: nodeEpoch(underNodeEpoch),
    storeUuid: storeUuid(`store-${node}`),
    syncStatus,
  };
}

export interface ShardParts {
  readonly id?: string;
  readonly start?: string;
  readonly end?: string | null;
  readonly epoch?: number;
  readonly generation?: number;
  /** Number of the node that leads; its node epoch is that of its replica. */
  readonly leader?: number;
  readonly replicas?: readonly Replica[];
  readonly minInSync?: number;
  readonly over?: Partial<ShardDescriptor>;
}

/** A shard over the whole key space, led by node 1, with replicas in sync on nodes 1, 2 and 3; `parts` says what differs. */
export function aShard(parts: ShardParts = {}): ShardDescriptor {
  const replicas = parts.replicas ?? [aReplica(1), aReplica(2), aReplica(3)];
  const leader = replicas.find((replica) => replica.nodeId === `node-${parts.leader ?? 1}`);
  if (leader === undefined) throw new Error('the leader needs a replica');
  return {
    shardId: shardId(parts.id ?? 'shard-1'),
    tableId: tableId('table-1'),
    table: tableName('cities'),
    keyType: 'string',
    startKey: encodedKey(parts.start ?? ''),
    endKey: parts.end === undefined || parts.end === null ? null : encodedKey(parts.end),
    epoch: epoch(parts.epoch ?? 1),
    generation: generation(parts.generation ?? 1),
    leader: { replicaId: leader.replicaId, nodeId: leader.nodeId, nodeEpoch: leader.nodeEpoch },
    minInSync: parts.minInSync ?? 2,
    replicas,
    intent: null,
    state: { kind: 'ACTIVE' },
    dataLoss: false,
    createdAtMs: 0,
    leaderSinceMs: 0,
    boundsSinceMs: 0,
    ...parts.over,
  };
}

/** Liveness item of `node-<node>` that holds node epoch 1; `over` says what differs. */
export function aLease(node: number, over: Partial<LivenessRecord> = {}): LivenessRecord {
  return {
    nodeId: nodeId(`node-${node}`),
    nodeEpoch: nodeEpoch(1),
    incarnation: incarnation(`inc-${node}`),
    sequence: 1,
    released: false,
    expired: null,
    fencedAtMs: null,
    openFence: null,
    profile: 'fast',
    storeUuid: storeUuid(`store-${node}`),
    attestation: 1,
    lastHeartbeatMs: 0,
    mail: 0,
    pack: null,
    ...over,
  };
}
