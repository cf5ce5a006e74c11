import * as z from 'zod';
import { assertNever } from '../../domain/result.ts';
import type { MergeOrigin, ShardDescriptor, ShardState } from '../../domain/shard.ts';
import {
  counterSchema,
  epochSchema,
  hostSchema,
  keySchema,
  keyTypeSchema,
  nodeIdSchema,
  portSchema,
  syncStatusSchema,
  systemIdSchema,
  tableNameSchema,
} from '../primitives.ts';

/** Where the leader of a part sealed its log. */
const logEndSchema = z.object({ epoch: epochSchema, seq: counterSchema });

/**
 * A shard descriptor as nodes get it: the stored descriptor and the addresses of its nodes. `start_key` and `end_key`
 * are in the store's order-preserving encoding (domain/keys.ts); `key_type` tells how to show them.
 */
export const wireDescriptorSchema = z.object({
  shard_id: systemIdSchema,
  table_id: systemIdSchema,
  table: tableNameSchema,
  key_type: keyTypeSchema,
  start_key: keySchema,
  end_key: keySchema.nullable(),
  epoch: epochSchema,
  generation: counterSchema,
  leader: z.object({ node_id: nodeIdSchema, replica_id: systemIdSchema, node_epoch: epochSchema }),
  min_in_sync: z.int().min(1),
  replicas: z
    .array(
      z.object({
        replica_id: systemIdSchema,
        node_id: nodeIdSchema,
        node_epoch: epochSchema,
        store_uuid: systemIdSchema,
        sync_status: syncStatusSchema,
        /** Null when the control plane has no address of the node. */
        address: z.object({ host: hostSchema, port: portSchema }).nullable(),
      }),
    )
    .min(1)
    .max(15),
  intent: z
    .object({ kind: z.literal('TRANSFER'), target_replica_id: systemIdSchema, since_generation: counterSchema })
    .nullable(),
  state: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('ACTIVE') }),
    z.object({ kind: z.literal('DELETING'), operation_id: systemIdSchema }),
    z.object({ kind: z.literal('CHANGING_REPLICAS'), operation_id: systemIdSchema }),
    /** Intent of a split; `split_key` null asks the leader to propose one (report `split_key`). */
    z.object({
      kind: z.literal('SPLITTING'),
      operation_id: systemIdSchema,
      split_key: keySchema.nullable(),
      child: z.object({
        shard_id: systemIdSchema,
        replicas: z.array(z.object({ parent_replica_id: systemIdSchema, replica_id: systemIdSchema })).max(15),
      }),
    }),
    z.object({
      kind: z.literal('MERGING'),
      operation_id: systemIdSchema,
      side: z.enum(['LEFT', 'RIGHT']),
      other_shard_id: systemIdSchema,
    }),
  ]),
  data_loss: z.boolean(),
  created_at_ms: counterSchema,
  leader_since_ms: counterSchema,
  /** What the last merge joined (S2); missing unless the shard absorbed another one. */
  merged_from: z
    .object({
      right_shard_id: systemIdSchema,
      border_key: keySchema,
      end_key: keySchema.nullable(),
      left_end: logEndSchema,
      right_end: logEndSchema,
    })
    .exactOptional(),
});
export type WireDescriptor = z.infer<typeof wireDescriptorSchema>;

export type AddressOf = (node: string) => { host: string; port: number } | null;

export function toWireDescriptor(shard: ShardDescriptor, addressOf: AddressOf): WireDescriptor {
  return {
    shard_id: shard.shardId,
    table_id: shard.tableId,
    table: shard.table,
    key_type: shard.keyType,
    start_key: shard.startKey,
    end_key: shard.endKey,
    epoch: shard.epoch,
    generation: shard.generation,
    leader: { node_id: shard.leader.nodeId, replica_id: shard.leader.replicaId, node_epoch: shard.leader.nodeEpoch },
    min_in_sync: shard.minInSync,
    replicas: shard.replicas.map((replica) => ({
      replica_id: replica.replicaId,
      node_id: replica.nodeId,
      node_epoch: replica.nodeEpoch,
      store_uuid: replica.storeUuid,
      sync_status: replica.syncStatus,
      address: addressOf(replica.nodeId),
    })),
    intent:
      shard.intent === null
        ? null
        : {
            kind: 'TRANSFER',
            target_replica_id: shard.intent.targetReplicaId,
            since_generation: shard.intent.sinceGeneration,
          },
    state: toWireState(shard.state),
    data_loss: shard.dataLoss,
    created_at_ms: shard.createdAtMs,
    leader_since_ms: shard.leaderSinceMs,
    ...(shard.mergedFrom === undefined ? {} : { merged_from: toWireOrigin(shard.mergedFrom) }),
  };
}

const toWireOrigin = (origin: MergeOrigin): NonNullable<WireDescriptor['merged_from']> => ({
  right_shard_id: origin.rightShardId,
  border_key: origin.borderKey,
  end_key: origin.endKey,
  left_end: { ...origin.sealed.left },
  right_end: { ...origin.sealed.right },
});

function toWireState(state: ShardState): WireDescriptor['state'] {
  switch (state.kind) {
    case 'ACTIVE':
      return { kind: state.kind };
    case 'DELETING':
    case 'CHANGING_REPLICAS':
      return { kind: state.kind, operation_id: state.operationId };
    case 'SPLITTING':
      return {
        kind: state.kind,
        operation_id: state.operationId,
        split_key: state.splitKey,
        child: {
          shard_id: state.child.shardId,
          replicas: state.child.replicas.map((copy) => ({
            parent_replica_id: copy.parentReplicaId,
            replica_id: copy.replicaId,
          })),
        },
      };
    case 'MERGING':
      return {
        kind: state.kind,
        operation_id: state.operationId,
        side: state.side,
        other_shard_id: state.otherShardId,
      };
    default:
      return assertNever(state);
  }
}
