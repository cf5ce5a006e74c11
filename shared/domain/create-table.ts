import type { EncodedKey, ReplicaId, ShardId, TableId, TableName } from './ids.ts';
import { epoch, generation, shardId } from './ids.ts';
import { compareKeys, KEY_SPACE_START } from './keys.ts';
import type { KeyType } from './keys.ts';
import type { LivenessRecord } from './lease.ts';
import type { Placement } from './placement.ts';
import { invariant } from './result.ts';
import type { ShardDescriptor } from './shard.ts';
import { majority } from './shard.ts';

/** The first descriptors of a table. */

export interface NewTable {
  readonly table: TableName;
  readonly tableId: TableId;
  readonly keyType: KeyType;
  readonly replicationFactor: number;
  /** Encoded split keys, strictly ascending: n keys make n + 1 shards. */
  readonly splitKeys: readonly EncodedKey[];
}

export const shardCount = (table: NewTable): number => table.splitKeys.length + 1;

/** Start key of shard number `index`. */
export const startKeyOf = (table: NewTable, index: number): EncodedKey =>
  index === 0 ? KEY_SPACE_START : (table.splitKeys[index - 1] ?? KEY_SPACE_START);

/** Index of the first pair of split keys that do not ascend, or null. */
export function firstDisorder(splitKeys: readonly EncodedKey[]): number | null {
  for (let i = 1; i < splitKeys.length; i++) {
    if (compareKeys(splitKeys[i - 1] as EncodedKey, splitKeys[i] as EncodedKey) >= 0) return i;
  }
  return null;
}

/**
 * The descriptor of shard number `index`, all replicas IN_SYNC: their empty logs are equal. `liveness` must hold every
 * node of the placement.
 */
export function firstDescriptor(
  table: NewTable,
  index: number,
  placement: Placement,
  liveness: ReadonlyMap<string, LivenessRecord>,
  newReplicaId: () => ReplicaId,
  nowMs: number,
): ShardDescriptor {
  const replicas = placement.nodeIds.map((nodeId) => {
    const lease = liveness.get(nodeId);
    invariant(lease !== undefined, `placed on ${nodeId}, which has no lease`);
    return {
      replicaId: newReplicaId(),
      nodeId,
      nodeEpoch: lease.nodeEpoch,
      storeUuid: lease.storeUuid,
      syncStatus: 'IN_SYNC' as const,
    };
  });
  const [leader] = replicas;
  invariant(leader !== undefined, 'a placement names at least one node');
  return {
    shardId: shardIdOf(table.tableId, index),
    tableId: table.tableId,
    table: table.table,
    keyType: table.keyType,
    startKey: startKeyOf(table, index),
    endKey: index < table.splitKeys.length ? startKeyOf(table, index + 1) : null,
    epoch: epoch(1),
    generation: generation(1),
    leader: { replicaId: leader.replicaId, nodeId: leader.nodeId, nodeEpoch: leader.nodeEpoch },
    minInSync: majority(table.replicationFactor),
    replicas,
    intent: null,
    state: { kind: 'ACTIVE' },
    dataLoss: false,
    createdAtMs: nowMs,
    leaderSinceMs: nowMs,
    boundsSinceMs: nowMs,
  };
}

const MASK_64 = (1n << 64n) - 1n;

/**
 * The id of a new table's shard number `index`: the same for a replayed step, scattered like a random one (no counter, DESIGN
 * section 4). SplitMix64 (Steele, Lea, Flood 2014) over the table's own random id: a bijection of the index, so that ids of
 * one table never collide.
 */
export function shardIdOf(tableId: TableId, index: number): ShardId {
  // FNV-1a (64 bit) folds the table's id into the seed.
  let seed = 0xcbf29ce484222325n;
  for (let i = 0; i < tableId.length; i++) seed = ((seed ^ BigInt(tableId.charCodeAt(i))) * 0x100000001b3n) & MASK_64;
  let z = (seed + BigInt(index + 1) * 0x9e3779b97f4a7c15n) & MASK_64;
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK_64;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK_64;
  z ^= z >> 31n;
  return shardId(`shard-${z.toString(16).padStart(16, '0')}`);
}
