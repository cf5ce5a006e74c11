/**
 * Branded identifiers and versions: a shard id can't be passed where a node id belongs (STYLE rule 5).
 * A brand is a compile-time mark only; the values are plain strings and numbers.
 */
declare const brand: unique symbol;
type Branded<T, B extends string> = T & { readonly [brand]: B };

/** Chosen by the operator, for example `node-101`. Path-safe; see `ID_PATTERN`. */
export type NodeId = Branded<string, 'NodeId'>;
/** Random, never reused, never a counter (DESIGN section 4): `shard-` and 16 hex digits. */
export type ShardId = Branded<string, 'ShardId'>;
/** Random, never reused (R4): a re-added replica has another id than the removed one. */
export type ReplicaId = Branded<string, 'ReplicaId'>;
/** The name of a table. */
export type TableName = Branded<string, 'TableName'>;
/** Random; tells a table from an earlier table of the same name. */
export type TableId = Branded<string, 'TableId'>;
/** Random; one page of the shard directory. */
export type PageId = Branded<string, 'PageId'>;
/** Time-ordered and random; also the name of the Step Functions execution. */
export type OperationId = Branded<string, 'OperationId'>;
export type CommandId = Branded<string, 'CommandId'>;
/** One process start of a node (L4). Random. */
export type Incarnation = Branded<string, 'Incarnation'>;
/** Identity of a data directory (L4). Random; a wiped or rolled-back directory gets a new one. */
export type StoreUuid = Branded<string, 'StoreUuid'>;
/** A pack of leases (L1); the node id of the relay for which it was made. */
export type PackId = Branded<string, 'PackId'>;
/** A key in the store's order-preserving encoding; see keys.ts. */
export type EncodedKey = Branded<string, 'EncodedKey'>;

/** A shard's leader term: strictly increasing, the fencing token of every write and command (I-3, I-5). */
export type Epoch = Branded<number, 'Epoch'>;
/** Version of a shard's descriptor: +1 at every change (I-2). */
export type Generation = Branded<number, 'Generation'>;
/** Version of a node's lease; raising it fences the node (L1). */
export type NodeEpoch = Branded<number, 'NodeEpoch'>;
/** Version of any stored item, the condition of its next write. */
export type Revision = Branded<number, 'Revision'>;

/** Casts at the boundary, after validation (contracts, codecs) or at the place where an id is made. */
export const nodeId = (value: string): NodeId => value as NodeId;
export const shardId = (value: string): ShardId => value as ShardId;
export const replicaId = (value: string): ReplicaId => value as ReplicaId;
export const tableName = (value: string): TableName => value as TableName;
export const tableId = (value: string): TableId => value as TableId;
export const pageId = (value: string): PageId => value as PageId;
export const operationId = (value: string): OperationId => value as OperationId;
export const commandId = (value: string): CommandId => value as CommandId;
export const incarnation = (value: string): Incarnation => value as Incarnation;
export const storeUuid = (value: string): StoreUuid => value as StoreUuid;
export const packId = (value: string): PackId => value as PackId;
export const encodedKey = (value: string): EncodedKey => value as EncodedKey;
export const epoch = (value: number): Epoch => value as Epoch;
export const generation = (value: number): Generation => value as Generation;
export const nodeEpoch = (value: number): NodeEpoch => value as NodeEpoch;
export const revision = (value: number): Revision => value as Revision;

export const nextEpoch = (value: Epoch): Epoch => (value + 1) as Epoch;
export const nextGeneration = (value: Generation): Generation => (value + 1) as Generation;
export const nextNodeEpoch = (value: NodeEpoch): NodeEpoch => (value + 1) as NodeEpoch;

/** Ids that travel in paths: letters, digits, `.`, `_`, `-`; 1 to 64 characters; starts with a letter or digit. */
export const ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** Words that a path of the API needs (DESIGN section 8), therefore refused as ids. */
export const RESERVED_IDS: ReadonlySet<string> = new Set([
  'register',
  'rebalance',
  'replication',
  'rollouts',
  'batch',
  'changes',
  'heartbeats',
  'nodes',
  'health',
  'versions',
  'join-tokens',
  'search',
  'schedules',
  'verify',
  'restore',
  'token',
]);

/** True if `value` may be a node id or a table name. */
export function isUsableId(value: string): boolean {
  return ID_PATTERN.test(value) && !RESERVED_IDS.has(value.toLowerCase());
}
