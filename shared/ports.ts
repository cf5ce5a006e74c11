import type { Clock, Logger, Random, Timers } from './domain/environment.ts';
import type {
  CommandId,
  EncodedKey,
  NodeEpoch,
  NodeId,
  OperationId,
  PackId,
  PageId,
  ReplicaId,
  Revision,
  ShardId,
  TableId,
  TableName,
  Generation,
} from './domain/ids.ts';
import type { LivenessRecord } from './domain/lease.ts';
import type { LivenessPack } from './domain/liveness-pack.ts';
import type {
  AuditEntry,
  CommandBatch,
  CommandRecord,
  ConfigRecord,
  DecisionRecord,
  DetectorRecord,
  EventRecord,
  FeedHead,
  FeedPack,
  IdempotencyRecord,
  JoinTokenRecord,
  Json,
  NodePaceRecord,
  NodeRecord,
  NodeReplica,
  NodeStatsRecord,
  OpenIntent,
  OpenOperation,
  OperationPart,
  OperationRecord,
  OperationSlot,
  OwnedShard,
  PageHeader,
  ReplicaLogRecord,
  RootSeparator,
  RouteVersion,
  ShardLocator,
  ShardRecovery,
  TableRecord,
} from './domain/records.ts';
import type { Result } from './domain/result.ts';
import type { ShardDescriptor } from './domain/shard.ts';
import type { Receipt } from './domain/transfer.ts';

export type { Clock, Logger, Random, Timers };

// ---------------------------------------------------------------------------------------------------------------------
// Metadata store: key-value items, as far as DynamoDB goes (DESIGN section 4). dynamo-store and sqlite-store implement it.
// ---------------------------------------------------------------------------------------------------------------------

/** Tables by concern, so that each Lambda role gets only what it needs. */
export type StoreTable = 'topology' | 'liveness' | 'catalog' | 'operations' | 'access' | 'events';

export interface ItemKey {
  readonly table: StoreTable;
  readonly pk: string;
  readonly sk: string;
}

/** One stored item. `revision` starts at 1 and is raised by every write; `writeId` names the write that made it. */
export interface StoredItem {
  readonly key: ItemKey;
  readonly revision: Revision;
  readonly writeId: string;
  /** Attributes besides keys, revision and write id. */
  readonly body: { readonly [field: string]: Json };
}

/** The closed language of conditions. A path is a field, or a field and the name of one entry of its map. */
export type FieldPath = string | readonly [field: string, entry: string];
export type Condition =
  | { readonly kind: 'absent' }
  | { readonly kind: 'present' }
  | { readonly kind: 'revision'; readonly is: Revision }
  | { readonly kind: 'equals'; readonly field: FieldPath; readonly value: string | number | boolean | null }
  /** The field is a number smaller than `value`. */
  | { readonly kind: 'below'; readonly field: FieldPath; readonly value: number };

/** One entry of a map: set, or removed (removing what is not there changes nothing). */
export type EntryWrite =
  | { readonly kind: 'set'; readonly field: string; readonly entry: string; readonly value: Json }
  | { readonly kind: 'remove'; readonly field: string; readonly entry: string };

export type ItemWrite =
  /**
   * Replaces the whole item. `when` must hold `absent` or `revision` (else Bug), because the new revision is computed from
   * it: 1 under `absent`, the named revision + 1 under `revision`. Other conditions may stand beside.
   */
  | {
      readonly kind: 'put';
      readonly key: ItemKey;
      readonly body: StoredItem['body'];
      readonly when: readonly Condition[];
    }
  /**
   * Sets top-level fields of an existing item (`present` is implied), and single entries of its maps (that these fields hold maps is
   * implied), and raises its revision. Two writers of different entries do not disturb one another.
   */
  | {
      readonly kind: 'update';
      readonly key: ItemKey;
      readonly set: StoredItem['body'];
      /** No field that `set` names too; no entry twice (else Bug). */
      readonly entries?: readonly EntryWrite[];
      readonly when: readonly Condition[];
    }
  | { readonly kind: 'delete'; readonly key: ItemKey; readonly when: readonly Condition[] }
  /** Transactions only: fails the transaction unless the conditions hold. */
  | { readonly kind: 'check'; readonly key: ItemKey; readonly when: readonly Condition[] };

/** The condition of write number `index` did not hold; `current` is the item as it is (null if absent). */
export interface ConditionFailed {
  readonly code: 'CONDITION_FAILED';
  readonly index: number;
  readonly current: StoredItem | null;
}

/**
 * Reasons for which a store call throws `StoreError`. The outcome of a write that threw is unknown: an earlier attempt may
 * have been applied and its answer lost. Repeat it and take a failed condition as news (I-11).
 */
export type StoreErrorCode =
  | 'THROTTLED'
  /** Another transaction held an item, still after the store's own retries; distinct from a failed condition (S4). */
  | 'TRANSACTION_CONFLICT'
  | 'UNAVAILABLE'
  /** A limit of DynamoDB was passed: item over 400 KB, over 100 items or 4 MB in a transaction. A bug of the caller. */
  | 'LIMIT_EXCEEDED';

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface QueryRequest {
  readonly table: StoreTable;
  readonly pk: string;
  /** Inclusive bounds on the sort key; none = open. */
  readonly from?: string;
  readonly to?: string;
  readonly order: 'forward' | 'backward';
  /** 1 to 1,000 items. A page may hold fewer (1 MB) and still not be the last: see `next`. */
  readonly limit: number;
  /** Continues after this sort key (exclusive), in the direction of `order`. */
  readonly after?: string;
}

export interface QueryPage {
  readonly items: readonly StoredItem[];
  /** Sort key to pass as `after` for the next page; null at the end. A full page at the very end still names one: the next is empty. */
  readonly next: string | null;
}

/** Strong reads and conditional writes. Throws `StoreError`; a failed condition is a value. */
export interface MetadataStore {
  get(key: ItemKey): Promise<StoredItem | null>;
  /** Up to 100 keys; answers in the order of the keys. Each read is strong, the set is not a snapshot. */
  getMany(keys: readonly ItemKey[]): Promise<readonly (StoredItem | null)[]>;
  /** Transactional read of up to 100 keys: one snapshot. */
  getSnapshot(keys: readonly ItemKey[]): Promise<readonly (StoredItem | null)[]>;
  query(request: QueryRequest): Promise<QueryPage>;
  /** One put, update or delete. Returns the item after the write (null after a delete). */
  write(write: Exclude<ItemWrite, { kind: 'check' }>): Promise<Result<StoredItem | null, ConditionFailed>>;
  /** 1 to 100 writes on distinct items, all or none. */
  transact(writes: readonly ItemWrite[]): Promise<Result<void, ConditionFailed>>;
}

// ---------------------------------------------------------------------------------------------------------------------
// Records: the store, typed. Which entity lives under which key, and its codec, is written once in store/entities.ts.
// ---------------------------------------------------------------------------------------------------------------------

/** id: what finds the record. partition: what its siblings are listed by; `order` is their sort order. */
export interface Entities {
  /** Partition: all nodes. Sorted by node id. */
  node: { id: { nodeId: NodeId }; partition: Record<never, never>; value: NodeRecord };
  /** Partition: one of LIVENESS_BUCKETS, by hash of the node id. Sorted by node id. */
  liveness: { id: { nodeId: NodeId }; partition: { bucket: number }; value: LivenessRecord };
  /** Liveness table; partition: one of LIVENESS_BUCKETS, by hash of the pack id. Leases of nodes behind a relay. */
  livenessPack: { id: { packId: PackId }; partition: { bucket: number }; value: LivenessPack };
  /** Liveness table; partition: one of LIVENESS_BUCKETS, as for liveness. Sorted by node id. */
  nodeStats: { id: { nodeId: NodeId }; partition: { bucket: number }; value: NodeStatsRecord };
  /** Partition: all tables. Sorted by name. */
  table: { id: { table: TableName }; partition: Record<never, never>; value: TableRecord };
  page: { id: { page: PageId }; partition: { page: PageId }; value: PageHeader };
  /** Partition: the page. Sorted by start key. */
  shard: { id: { page: PageId; startKey: EncodedKey }; partition: { page: PageId }; value: ShardDescriptor };
  /** Partition: the table's root. Sorted by low key. */
  separator: { id: { tableId: TableId; low: EncodedKey }; partition: { tableId: TableId }; value: RootSeparator };
  locator: { id: { shardId: ShardId }; partition: { shardId: ShardId }; value: ShardLocator };
  /** Partition: the node. Sorted by shard id. */
  nodeReplica: { id: { nodeId: NodeId; shardId: ShardId }; partition: { nodeId: NodeId }; value: NodeReplica };
  /** Topology table; partition: all open intents. Sorted by shard id. */
  openIntent: { id: { shardId: ShardId }; partition: Record<never, never>; value: OpenIntent };
  /** Partition: all of the configuration. Sorted by key. */
  config: { id: { configKey: string }; partition: Record<never, never>; value: ConfigRecord };
  /** Partition: all operations. Sorted by operation id, which is time-ordered. */
  operation: { id: { operationId: OperationId }; partition: Record<never, never>; value: OperationRecord };
  /** Operations table; partition: all operations that have not ended. Sorted by operation id. */
  openOperation: { id: { operationId: OperationId }; partition: Record<never, never>; value: OpenOperation };
  /** Operations table; partition: the operation. Sorted by number. */
  operationPart: {
    id: { operationId: OperationId; number: number };
    partition: { operationId: OperationId };
    value: OperationPart;
  };
  /** Operations table; partition: all slots. Sorted by slot. */
  operationSlot: { id: { slot: string }; partition: Record<never, never>; value: OperationSlot };
  /** Topology table; partition: all shards that an operation owns. Sorted by shard id. */
  ownedShard: { id: { shardId: ShardId }; partition: Record<never, never>; value: OwnedShard };
  /** Liveness table; partition: the shard. Sorted by replica id. */
  replicaLog: {
    id: { shardId: ShardId; replicaId: ReplicaId };
    partition: { shardId: ShardId };
    value: ReplicaLogRecord;
  };
  /** Topology table; partition: all shards under recovery. Sorted by shard id. */
  shardRecovery: { id: { shardId: ShardId }; partition: Record<never, never>; value: ShardRecovery };
  /** Liveness table; partition: all nodes. Sorted by node id. Small, and seldom written. */
  nodePace: { id: { nodeId: NodeId }; partition: Record<never, never>; value: NodePaceRecord };
  /** Partition: the node. Sorted by command id, which is time-ordered. */
  command: { id: { nodeId: NodeId; commandId: CommandId }; partition: { nodeId: NodeId }; value: CommandRecord };
  commandBatch: { id: { batchId: string }; partition: { batchId: string }; value: CommandBatch };
  idempotency: {
    id: { scope: string; key: string };
    partition: { scope: string; key: string };
    value: IdempotencyRecord;
  };
  joinToken: { id: { tokenId: string }; partition: Record<never, never>; value: JoinTokenRecord };
  detector: { id: Record<never, never>; partition: Record<never, never>; value: DetectorRecord };
  /** Partition: the entity. Sorted by number. */
  audit: { id: { entity: string; number: number }; partition: { entity: string }; value: AuditEntry };
  /** Partition: one hour (`hour`, ISO, `2026-11-20T20`) and one of EVENT_BUCKETS. Sorted by event id, which is time-ordered. */
  event: {
    id: { createdAtMs: number; eventId: string };
    partition: { hour: string; bucket: number };
    value: EventRecord;
  };
  /** Events table; partition: the shard. Sorted by time, then generation. */
  routeVersion: {
    id: { shardId: ShardId; atMs: number; generation: Generation };
    partition: { shardId: ShardId };
    value: RouteVersion;
  };
  /** Events table. */
  feedHead: { id: { feed: string }; partition: { feed: string }; value: FeedHead };
  /** Events table; partition: the feed. Sorted by number. */
  feedPack: { id: { feed: string; number: number }; partition: { feed: string }; value: FeedPack };
  /** Events table; partition: the entity. Sorted by decision id, which is time-ordered. */
  decision: {
    id: { entity: string; decisionId: string };
    partition: { entity: string };
    value: DecisionRecord;
  };
}
export type EntityKind = keyof Entities;
export type EntityId<K extends EntityKind> = Entities[K]['id'];
export type EntityPartition<K extends EntityKind> = Entities[K]['partition'];
export type EntityValue<K extends EntityKind> = Entities[K]['value'];

/** Partitions of the liveness table: a partition takes 1,000 writes a second; 16 carry 10,000 nodes of every profile. */
export const LIVENESS_BUCKETS = 16;
/** Partitions of one hour of events, for the same reason. */
export const EVENT_BUCKETS = 8;

export interface Stored<K extends EntityKind> {
  readonly value: EntityValue<K>;
  readonly revision: Revision;
}

export type RecordWrite = {
  [K in EntityKind]:
    | ({
        readonly kind: 'put';
        readonly entity: K;
        readonly value: EntityValue<K>;
        readonly when: readonly Condition[];
      } & (K extends 'shard' ? { readonly id: EntityId<K> } : unknown)) // a descriptor does not tell its page
    | {
        readonly kind: 'update';
        readonly entity: K;
        readonly id: EntityId<K>;
        readonly set: Partial<EntityValue<K>>;
        /** Entries of fields that are maps; the codec checks each value. */
        readonly entries?: readonly EntryWrite[];
        readonly when: readonly Condition[];
      }
    | { readonly kind: 'delete'; readonly entity: K; readonly id: EntityId<K>; readonly when: readonly Condition[] }
    | { readonly kind: 'check'; readonly entity: K; readonly id: EntityId<K>; readonly when: readonly Condition[] };
}[EntityKind];

/** The record whose condition failed, as it is now. */
export interface RecordConflict {
  readonly code: 'CONDITION_FAILED';
  readonly index: number;
  readonly current: Stored<EntityKind> | null;
}

/** Entities that may change without an audit entry (I-16 names them): observations, deliveries, derived indexes. */
export type UnauditedKind =
  | 'liveness'
  | 'livenessPack'
  | 'nodeStats'
  | 'detector'
  | 'idempotency'
  | 'command'
  | 'commandBatch'
  | 'separator'
  | 'feedHead'
  | 'feedPack'
  | 'decision'
  | 'operationPart'
  | 'replicaLog'
  | 'nodePace'
  | 'operationSlot'
  | 'ownedShard';
export type UnauditedWrite = Extract<RecordWrite, { entity: UnauditedKind }>;

/** One audited mutation: its writes, its audit entry and its events commit in one transaction, or none does. */
export interface Change {
  readonly writes: readonly RecordWrite[];
  /** Usually one; an operation that changes several entities writes one for each. */
  readonly audit: readonly Omit<AuditEntry, 'atMs'>[];
  readonly events: readonly { readonly eventType: string; readonly payload: Json }[];
}

export interface RecordQuery<K extends EntityKind> {
  readonly partition: EntityPartition<K>;
  /** Inclusive bounds, given as ids of the entity (only the part that sorts counts). */
  readonly from?: EntityId<K>;
  readonly to?: EntityId<K>;
  readonly order: 'forward' | 'backward';
  readonly limit: number;
  /** Opaque `next` of the page before. */
  readonly after?: string;
}

export interface RecordPage<K extends EntityKind> {
  readonly items: readonly Stored<K>[];
  readonly next: string | null;
}

/** The typed store. All reads are strong. Throws `StoreError`. */
export interface Records {
  get<K extends EntityKind>(kind: K, id: EntityId<K>): Promise<Stored<K> | null>;
  getMany<K extends EntityKind>(kind: K, ids: readonly EntityId<K>[]): Promise<readonly (Stored<K> | null)[]>;
  query<K extends EntityKind>(kind: K, query: RecordQuery<K>): Promise<RecordPage<K>>;
  /** Commits an audited change. `index` of a conflict counts `writes`; a clash of audit numbers counts as index -1. */
  commit(change: Change): Promise<Result<void, RecordConflict>>;
  /** One unaudited write; returns the record after it. */
  observe<W extends UnauditedWrite>(write: W): Promise<Result<Stored<W['entity']> | null, RecordConflict>>;
  /** Several unaudited writes, all or none. */
  observeAll(writes: readonly UnauditedWrite[]): Promise<Result<void, RecordConflict>>;
}

/**
 * The one way to read liveness: a node's lease lives in its own item or in a pack (L1), and only here the two are put together.
 * All reads are strong. What is read is a basis for conditional writes, which name the node epoch.
 */
export interface LivenessReader {
  /** Liveness of some nodes. Nodes that do not exist are missing. Throws StoreError UNAVAILABLE if a lease keeps moving. */
  of(nodeIds: Iterable<NodeId>): Promise<ReadonlyMap<NodeId, LivenessRecord>>;
  /** Every node's liveness: a fixed number of queries, and one item for each pack. A lease that moves just then is left out. */
  all(): Promise<LivenessRecord[]>;
}

// ---------------------------------------------------------------------------------------------------------------------
// Shard directory (DESIGN section 4).
// ---------------------------------------------------------------------------------------------------------------------

/** A descriptor and where it stood when it was read. */
export interface LocatedShard {
  readonly shard: ShardDescriptor;
  readonly page: PageId;
  readonly revision: Revision;
}

export interface ShardDirectory {
  /** The shard that holds `key`; one strongly consistent Query when the cached root is right. Null: no such table or not built yet. */
  lookup(tableId: TableId, key: EncodedKey): Promise<LocatedShard | null>;
  /** By shard id: locator, then lookup. Null if the shard does not exist. */
  locate(shardId: ShardId): Promise<LocatedShard | null>;
  /**
   * Shards in key order from the one that holds `fromKey`; of a table whose low end is deleted already, from the lowest that is
   * left. `nextKey` null at the end of the table.
   */
  scan(
    tableId: TableId,
    request: { fromKey: EncodedKey; limit: number },
  ): Promise<{ shards: readonly LocatedShard[]; nextKey: EncodedKey | null }>;
  /** Pointers to the replicas on a node, by shard id. */
  replicasOn(
    nodeId: NodeId,
    request: { after?: string; limit: number },
  ): Promise<{ replicas: readonly NodeReplica[]; next: string | null }>;
  /** Descriptors of several pointers, read strongly, in parallel; null where the shard or its replica on the node is gone. */
  resolve(pointers: readonly NodeReplica[]): Promise<readonly (LocatedShard | null)[]>;
  /**
   * The writes that replace a descriptor: put under shard id, generation and epoch of `from`, and the replica rows that differ.
   * `to.generation` must be `from.shard.generation + 1`; bounds must be equal.
   */
  replaceWrites(from: LocatedShard, to: ShardDescriptor): readonly RecordWrite[];
  /**
   * The writes that commit a split (S1): parent shrunk, child inserted with its locator and replica rows, the page header's generation and
   * count raised. PAGE_FULL: call `makeRoom` first. RACED: the page changed since the shard was located; locate it again.
   */
  splitWrites(
    from: LocatedShard,
    parts: { readonly parent: ShardDescriptor; readonly child: ShardDescriptor },
    audit: { principal: string; action: string },
  ): Promise<Pick<Change, 'writes' | 'audit'> | 'PAGE_FULL' | 'RACED'>;
  /**
   * The writes that commit a merge (S2): the left shard widened, the right one removed with its locator and replica rows, the headers of
   * both pages changed; where the shards are in two pages, the border between the pages moves. RACED: locate both again.
   */
  mergeWrites(
    parts: { readonly left: LocatedShard; readonly right: LocatedShard },
    merged: ShardDescriptor,
    audit: { principal: string; action: string },
  ): Promise<Pick<Change, 'writes' | 'audit'> | 'RACED'>;
  /** Splits a full page into two halves, so that a shard can be inserted. Does nothing if the page has room or is gone. */
  makeRoom(page: PageId, audit: { principal: string; action: string }): Promise<void>;
  /**
   * Appends contiguous shards at the high end of a table under construction, in transactions of at most 100 items with
   * audit entries for each shard. Idempotent: shards that exist already (same shard id) are left as they are. Raises DIRECTORY_MISMATCH as a Bug if
   * the shards do not continue the table.
   */
  append(
    tableId: TableId,
    shards: readonly ShardDescriptor[],
    audit: { principal: string; action: string },
  ): Promise<void>;
  /** Removes up to `limit` shards from the low end of a table being deleted, with their rows, locators, emptied pages and separators. True when none is left. */
  removeFirst(
    tableId: TableId,
    limit: number,
    audit: { principal: string; action: string },
  ): Promise<{ removed: readonly ShardDescriptor[]; done: boolean }>;
}

// ---------------------------------------------------------------------------------------------------------------------
// The outside: nodes, operations, signatures.
// ---------------------------------------------------------------------------------------------------------------------

export interface NodeAddress {
  readonly nodeId: NodeId;
  readonly host: string;
  readonly port: number;
}

/** Pushes signed commands to a node. Never throws: an unreachable node is an answer. */
export interface NodeClient {
  push(
    node: NodeAddress,
    commands: readonly Json[],
  ): Promise<Result<readonly Json[], { code: 'NODE_UNREACHABLE'; message: string }>>;
}

/** A command before it has an id, a signature and a way to its node. */
export interface CommandDraft {
  readonly nodeId: NodeId;
  readonly type:
    | 'create_replica'
    | 'remove_replica'
    | 'become_leader'
    | 'apply_descriptor'
    | 'step_down'
    | 'prepare_split'
    | 'apply_split'
    | 'seal_merge'
    | 'apply_merge';
  readonly replicaId: ReplicaId;
  /** The shard whose epoch and generation the command carries. */
  readonly shard: ShardDescriptor;
  /** A shard that changed in the same commit, where the command is about two. */
  readonly related?: ShardDescriptor;
}

/** How a node answered a command that was pushed to it. */
export type CommandAnswer =
  | {
      readonly outcome: 'ACCEPTED' | 'DONE';
      readonly receipt: Pick<Receipt, 'epoch' | 'generation' | 'sealed'> | null;
    }
  | { readonly outcome: 'REFUSED'; readonly code: string; readonly message: string }
  /** No answer: the command waits in the node's mailbox for its next heartbeat. */
  | { readonly outcome: 'QUEUED' };

/** The way of commands to nodes: signed, pushed first, left in the node's mailbox when the push got no answer. */
export interface CommandDispatcher {
  /** Answers in the order of the drafts. Commands are idempotent; sending twice is harmless. */
  send(drafts: readonly CommandDraft[]): Promise<readonly CommandAnswer[]>;
  /**
   * Sends commands that a waiting task token needs: when all of them are DONE the token succeeds, when one is REFUSED it
   * fails with the code. Acknowledgements arrive by push, heartbeat or report.
   */
  sendForTask(
    drafts: readonly CommandDraft[],
    task: { readonly operationId: OperationId; readonly taskToken: string },
  ): Promise<void>;
  /** Up to `limit` commands in the node's mailbox, as the wire carries them. */
  pending(nodeId: NodeId, limit: number): Promise<readonly Json[]>;
  /** Takes an acknowledgement that the node `nodeId` gave by heartbeat or report. Unknown command ids are ignored. */
  acknowledge(
    nodeId: NodeId,
    ack: {
      readonly commandId: CommandId;
      readonly outcome: 'ACCEPTED' | 'DONE' | 'REFUSED';
      readonly code: string | null;
      readonly message: string | null;
    },
  ): Promise<void>;
}

/**
 * Addresses of nodes, cached by each process. An entry is read again when a higher node epoch than the cached one is asked for; all of
 * them are with 'BYPASS', for whom an address did not answer: the node may have registered elsewhere since, which no descriptor tells yet.
 */
export interface AddressBook {
  of(
    nodes: readonly { readonly nodeId: NodeId; readonly nodeEpoch: NodeEpoch }[],
    cache?: 'USE' | 'BYPASS',
  ): Promise<ReadonlyMap<string, NodeAddress>>;
}

/** Starts and answers state machines. */
export interface OperationStarter {
  /**
   * Starts execution number `run` (1 if left out) of the operation's state machine, under the name of `executionName` (ADR 0006). An
   * execution that exists already is success.
   */
  start(type: string, operationId: OperationId, run?: number): Promise<{ executionArn: string }>;
  /** True while execution number `run` is under way; false if it ended or was never started. */
  isRunning(type: string, operationId: OperationId, run: number): Promise<boolean>;
  /** Completes a waiting task token. An unknown or finished token is ignored (the wait timed out or was redriven). */
  succeedTask(taskToken: string, output: Json): Promise<void>;
  failTask(taskToken: string, code: string, message: string): Promise<void>;
}

/** What a token says about its bearer. */
export type Principal =
  | { readonly kind: 'admin'; readonly name: string }
  /** Bearer of a single-use join token. */
  | { readonly kind: 'joiner'; readonly tokenId: string }
  /** A registered node, by a credential of the control plane: speaks for itself only. */
  | {
      readonly kind: 'node';
      readonly nodeId: NodeId;
      readonly nodeEpoch: NodeEpoch;
      readonly incarnation: string;
      readonly issuedAtMs: number;
      readonly expiresAtMs: number;
    }
  /** A node that proves by its own key that it registered before; may only register or release. */
  | { readonly kind: 'nodeKey'; readonly nodeId: NodeId }
  /** The control plane itself: detector, reconciler, operation steps. */
  | { readonly kind: 'system'; readonly name: string };

export type TokenClaims =
  | { readonly kind: 'admin'; readonly name: string }
  | { readonly kind: 'joiner'; readonly tokenId: string }
  | { readonly kind: 'node'; readonly nodeId: NodeId; readonly nodeEpoch: NodeEpoch; readonly incarnation: string }
  /** For data nodes: which tables the bearer may read and write (`*` = all). */
  | {
      readonly kind: 'data';
      readonly name: string;
      readonly tables: readonly string[];
      readonly access: 'read' | 'read-write';
    };

/** A public key as JWKS entry; `kid` is its thumbprint (RFC 7638). */
export interface PublicJwk {
  readonly kty: 'EC';
  readonly crv: 'P-256';
  readonly x: string;
  readonly y: string;
  readonly kid: string;
  readonly alg: 'ES256';
  readonly use: 'sig';
}

/**
 * The root of all signatures: a key in KMS, in a file, or in memory. It signs seldom: certificates of process keys, and tokens of
 * administrators and joining nodes. Throws `SignerError`.
 */
export interface RootSigner {
  /** ES256 over `data` (at most 4,096 bytes): r || s, 64 bytes. */
  sign(data: Uint8Array): Promise<Uint8Array>;
  /** The key that signs, then those that are honoured besides (the next one, retired ones). */
  publicKeys(): Promise<readonly PublicJwk[]>;
}

/** The root key can't be used now, or not at all; the message says which key and why. */
export class SignerError extends Error {
  override readonly name = 'SignerError';
  readonly code = 'SIGNER_UNAVAILABLE';
}

/** What makes a command acceptable to its node (contracts/node/commands.ts). */
export interface CommandSignature {
  /** ES256 over the command's canonical JSON (RFC 8785), base64url. */
  readonly signature: string;
  readonly certificate: string;
}

/** Signatures of the control plane (ES256). Throws `SignerError` when a process key has to be certified and can't be. */
export interface TokenAuthority {
  issue(claims: TokenClaims, lifetimeMs: number): Promise<string>;
  /** Checks a bearer token of any kind that may call the API. */
  verify(token: string): Promise<Result<Principal, { code: 'TOKEN_INVALID' | 'TOKEN_EXPIRED'; message: string }>>;
  /** Signs a node command. */
  signCommand(command: Json): Promise<CommandSignature>;
  /** A signed command that has waited: as it is while its certificate lasts, else signed anew. */
  refreshCommand(signed: Json): Promise<Json>;
  /** Root keys (JWKS) by which nodes check tokens and commands. */
  publicKeys(): Promise<Json>;
}

/** What every use case gets. */
export interface Deps {
  readonly records: Records;
  readonly liveness: LivenessReader;
  readonly directory: ShardDirectory;
  readonly commands: CommandDispatcher;
  readonly addresses: AddressBook;
  readonly operations: OperationStarter;
  readonly tokens: TokenAuthority;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  readonly settings: Settings;
  /**
   * Of a request under an idempotency key: the id of the operation that it starts, the same whenever the request is repeated (I-11). Null from
   * the second operation of one request on.
   */
  readonly takeOperationId?: () => OperationId | null;
}

/** Deployment-wide settings, from the environment. */
export interface Settings {
  readonly leaseProfile: LivenessRecord['profile'];
  /** True if functions can reach nodes; false: heartbeat replies and client-carried epochs only. */
  readonly pushToNodes: boolean;
  readonly defaultReplicationFactor: number;
  /** Addresses of the hot calls apart from the API's own; null or missing: the API's own serves them. */
  readonly endpoints?: { readonly heartbeats: string | null; readonly routes: string | null };
}
