import type { Fault } from '../domain/faults.ts';
import type { NodeId, OperationId, ReplicaId, ShardId } from '../domain/ids.ts';
import { decideAddReplica, decideMinInSync, decideRemoveReplica } from '../domain/membership.ts';
import type { AddRefusal, MinInSyncRefusal, RemoveRefusal } from '../domain/membership.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Replica } from '../domain/shard.ts';
import type { Deps, Principal, RecordWrite } from '../ports.ts';
import { changeDescriptor } from './descriptor-change.ts';
import type { Changed } from './descriptor-change.ts';
import { readLiveness } from './liveness-view.ts';
import { readTarget, readZones } from './replica-target.ts';

/**
 * One change of a shard's membership each: add a replica, remove one, move `min_in_sync`. All of them are idempotent, and void
 * unless the operation owns the shard (I-9).
 */

/** The operation that owns the shard. */
export interface Owner {
  readonly shardId: ShardId;
  readonly operationId: OperationId;
}

export type NodeNotFound = { readonly code: 'NODE_NOT_FOUND' };

/**
 * Lists a LAGGING replica (R4). `leaving`: replicas that the same operation will remove, whose zones become free. Void from the moment at
 * which the operation begins to undo: a replica that was taken back is never listed again.
 */
export async function addReplica(
  deps: Deps,
  principal: Principal,
  owner: Owner,
  replica: { readonly replicaId: ReplicaId; readonly nodeId: NodeId; readonly leaving: readonly ReplicaId[] },
): Promise<Result<Changed, AddRefusal | NodeNotFound | Fault>> {
  const { operationId } = owner;
  const { replicaId, nodeId } = replica;
  return changeDescriptor<AddRefusal | NodeNotFound>(
    deps,
    owner.shardId,
    {
      principal,
      action: 'REPLICA_ADDED',
      detail: { operation_id: operationId, replica: replicaId, node: nodeId },
      checks: () => [
        {
          kind: 'check',
          entity: 'operation',
          id: { operationId },
          when: [{ kind: 'equals', field: 'undoing', value: false }],
        },
      ],
    },
    async (shard) => {
      const target = await readTarget(deps, shard, nodeId);
      if (target === null) return err({ code: 'NODE_NOT_FOUND' });
      const zones = await readZones(deps, shard, target.node.zone, replica.leaving);
      return decideAddReplica(shard, operationId, replicaId, target, zones);
    },
  );
}

/** Takes a replica off the list. The node epochs of the counted survivors are checked in the same transaction (S3). */
export async function removeReplica(
  deps: Deps,
  principal: Principal,
  owner: Owner,
  removal: { readonly replicaId: ReplicaId; readonly replicationFactor: number },
): Promise<Result<Changed, RemoveRefusal | Fault>> {
  const { operationId } = owner;
  let counted: readonly Replica[] = [];
  return changeDescriptor<RemoveRefusal>(
    deps,
    owner.shardId,
    {
      principal,
      action: 'REPLICA_REMOVED',
      detail: { operation_id: operationId, replica: removal.replicaId },
      checks: () => nodeEpochChecks(counted),
    },
    async (shard) => {
      const view = await readLiveness(
        deps,
        shard.replicas.map(({ nodeId }) => nodeId),
      );
      const decided = decideRemoveReplica(shard, operationId, removal.replicaId, removal.replicationFactor, view);
      if (!decided.ok) return decided;
      counted = decided.value?.counted ?? [];
      return ok(decided.value?.shard ?? null);
    },
  );
}

/** Moves `min_in_sync` to a majority of `replicationFactor`. */
export async function changeMinInSync(
  deps: Deps,
  principal: Principal,
  owner: Owner,
  replicationFactor: number,
): Promise<Result<Changed, MinInSyncRefusal | Fault>> {
  const { operationId } = owner;
  return changeDescriptor<MinInSyncRefusal>(
    deps,
    owner.shardId,
    {
      principal,
      action: 'MIN_IN_SYNC_CHANGED',
      detail: { operation_id: operationId, replication_factor: replicationFactor },
    },
    async (shard) => {
      const view = await readLiveness(
        deps,
        shard.replicas.map(({ nodeId }) => nodeId),
      );
      return decideMinInSync(shard, operationId, replicationFactor, view);
    },
  );
}

/**
 * The entries' node epochs are still their nodes' (S3). A node's own Liveness item holds its node epoch wherever its lease lives (L1),
 * and every fence raises it there.
 */
export const nodeEpochChecks = (
  entries: readonly Pick<Replica, 'nodeId' | 'nodeEpoch'>[],
): Extract<RecordWrite, { kind: 'check' }>[] =>
  entries.map(({ nodeId, nodeEpoch }) => ({
    kind: 'check',
    entity: 'liveness',
    id: { nodeId },
    when: [{ kind: 'equals', field: 'nodeEpoch', value: nodeEpoch }],
  }));
