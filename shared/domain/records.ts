import type {
  CommandId,
  EncodedKey,
  Generation,
  Incarnation,
  NodeEpoch,
  NodeId,
  OperationId,
  PageId,
  ReplicaId,
  ShardId,
  StoreUuid,
  TableId,
  TableName,
  Epoch,
} from './ids.ts';
import type { KeyType } from './keys.ts';
import type { LeaseProfileName } from './lease.ts';
import type { NodeLabels } from './rebalance/rules.ts';

/** Stored records that are not decided upon in a file of their own. Liveness: lease.ts. Shards: shard.ts. */

/** Values that survive a round trip through the store and JSON. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** What a node is good for: the basis of placement rules and of its share of the data. */
export interface NodePlacement {
  readonly labels: NodeLabels;
  /** Capacity relative to the other nodes, above 0; a node of weight 2 gets twice the share of one of weight 1. */
  readonly capacityWeight: number;
  /** OPERATOR: set by a call, and kept whatever the node says of itself when it registers. */
  readonly setBy: 'REGISTRATION' | 'OPERATOR';
}

/** Of a node that says nothing of itself. */
export const DEFAULT_NODE_PLACEMENT: NodePlacement = { labels: {}, capacityWeight: 1, setBy: 'REGISTRATION' };

/** A node's identity and address; what changes with its lease is in `LivenessRecord`. */
export interface NodeRecord {
  readonly nodeId: NodeId;
  readonly host: string;
  readonly port: number;
  readonly zone: string;
  /** ACTIVE until a drain for decommission starts; DECOMMISSIONED is a tombstone, never deleted. */
  readonly membership: 'ACTIVE' | 'DECOMMISSIONING' | 'DECOMMISSIONED';
  readonly cordoned: boolean;
  /**
   * Somebody works on the node until `untilMs` (wall clock): it is cordoned, its leaders go elsewhere, its replicas are not replaced.
   * The reconcile tick ends it; `cordonedBefore` is what the node goes back to.
   */
  readonly maintenance: { readonly untilMs: number; readonly cordonedBefore: boolean } | null;
  /** The node's public key (JWK, ES256); null for a node that registered without one. */
  readonly publicKey: { readonly [key: string]: Json } | null;
  /** Node epoch of the registration that wrote host and port: an address cached under a lower one is stale. */
  readonly addressNodeEpoch: number;
  readonly version: string;
  readonly registeredAtMs: number;
  /** Absent in records from before there was placement: `DEFAULT_NODE_PLACEMENT`. */
  readonly placement?: NodePlacement;
}

/** Statistics that a node sent on its slower beat, as the wire carries them; busiest shards first. For display and planning. */
export interface NodeStatsRecord {
  readonly nodeId: NodeId;
  readonly nodeEpoch: number;
  readonly stats: Json;
  readonly atMs: number;
}

export interface TableRecord {
  readonly table: TableName;
  readonly tableId: TableId;
  readonly keyType: KeyType;
  readonly state: 'CREATING' | 'ACTIVE' | 'DELETING';
  readonly replicationFactor: number;
  /** True if the table's creator set the replication factor; false if it follows `config/replication`. */
  readonly replicationFactorIsOwn: boolean;
  readonly shardCount: number;
  readonly operationId: OperationId;
  readonly createdAtMs: number;
}

/** Header of a directory page (DESIGN section 4): covers `[low, high)` of one table; `right` is the next page. */
export interface PageHeader {
  readonly page: PageId;
  readonly tableId: TableId;
  readonly low: EncodedKey;
  readonly high: EncodedKey | null;
  readonly generation: number;
  readonly count: number;
  readonly right: PageId | null;
}

/** Entry of a table's root: the page that starts at `low`. Late entries are made safe by `right`. */
export interface RootSeparator {
  readonly tableId: TableId;
  readonly low: EncodedKey;
  readonly page: PageId;
}

/** Finds a shard by id. A split keeps the left part's id, so the start key never changes. */
export interface ShardLocator {
  readonly shardId: ShardId;
  readonly tableId: TableId;
  readonly table: TableName;
  readonly startKey: EncodedKey;
}

/** Lists a node's replicas with strong consistency: for failover and drain. A pointer; the descriptor is the truth. */
export interface NodeReplica {
  readonly nodeId: NodeId;
  readonly shardId: ShardId;
  readonly replicaId: ReplicaId;
  readonly tableId: TableId;
  readonly startKey: EncodedKey;
}

/** A shard whose descriptor carries an intent; written and deleted with it, so that the reconciler finds open intents (E2). */
export interface OpenIntent {
  readonly shardId: ShardId;
  readonly sinceMs: number;
}

export interface ConfigRecord {
  readonly configKey: string;
  readonly configValue: Json;
  readonly updatedAtMs: number;
}

export interface ReplicationConfig {
  readonly replicationFactor: number;
  readonly strategy: 'rack-aware';
}

/** Every kind of operation; each has a folder in state-machines. */
export const OPERATION_TYPES = [
  'create-table',
  'delete-table',
  'move-replica',
  'split-shard',
  'merge-shards',
  'rebalance',
  'drain-node',
  'repair-shards',
  'change-replication-factor',
] as const;
export type OperationType = (typeof OPERATION_TYPES)[number];
export type OperationStatus = 'PENDING' | 'RUNNING' | 'PAUSED' | 'SUCCEEDED' | 'FAILED' | 'CANCELLED';

/** A long-running job (DESIGN section 7). State lives here; the state machine carries only the id and a step tag. */
export interface OperationRecord {
  readonly operationId: OperationId;
  readonly type: OperationType;
  readonly status: OperationStatus;
  readonly outcome: 'APPLIED' | 'ROLLED_BACK' | null;
  readonly progress: { readonly done: number; readonly total: number; readonly unit: string };
  /** What is asked of it from outside; it obeys at the next boundary of a step. */
  readonly control: 'RUN' | 'PAUSE' | 'CANCEL';
  /** Number of its execution, from 1: a resumed, redriven or continued operation runs in a new one. */
  readonly run: number;
  /** Steps that its present execution has saved, and when that execution began (wall clock): its share of history events is bounded. */
  readonly runSteps: number;
  readonly runStartedAtMs: number;
  /** False from the commit on that can't be undone any more: an accepted cancel is always obeyed, a later one is refused. */
  readonly cancellable: boolean;
  /** True once it began to undo what it did: whatever comes, it goes on undoing until it is rolled back. */
  readonly undoing: boolean;
  /** The operation that started it as a part of itself; null for one that a caller or a schedule asked for. */
  readonly parentId: OperationId | null;
  /** What it will do, or did, as data; null where there is nothing to tell. */
  readonly plan: Json;
  /** What the operation waits for, in words; null when it waits for nothing. */
  readonly waitingOn: string | null;
  /** The request, validated. */
  readonly input: Json;
  /** The operation's own state: phase and cursor. Read and written only by its steps. */
  readonly state: Json;
  readonly steps: readonly { readonly name: string; readonly atMs: number; readonly detail: string }[];
  readonly createdBy: string;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly executionArn: string | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** An operation that has not ended; written and deleted with its record, so that whoever resumes operations finds them. */
export interface OpenOperation {
  readonly operationId: OperationId;
}

/** One part of a large operation, such as one move of a rebalance. Written by the operation's own steps. */
export interface OperationPart {
  readonly operationId: OperationId;
  /** From 0, in the order of execution. */
  readonly number: number;
  readonly value: Json;
  readonly status: 'PLANNED' | 'RUNNING' | 'DONE' | 'SKIPPED' | 'FAILED';
  /** The operation that carries it out; null as long as none does. */
  readonly childId: OperationId | null;
  /** Why it was skipped or failed. */
  readonly reason: string | null;
  readonly updatedAtMs: number;
}

/**
 * A place that one operation at a time may hold: of two rebalances at once one is refused. It is taken in the commit that starts the operation, and
 * free again once that operation has ended; nobody has to give it back.
 */
export interface OperationSlot {
  /** What is exclusive, for example `rebalance` or `drain-node:node-7`. */
  readonly slot: string;
  readonly operationId: OperationId | null;
  /** The tick starts no other operation of this kind by itself before this wall-clock time. */
  readonly notBeforeMs: number;
  /** What the next operation takes over from the last one: its pace. */
  readonly carried: Json;
}

/** A shard that an operation owns; written and deleted with its descriptor's state, so that no lock outlives its operation (I-10). */
export interface OwnedShard {
  readonly shardId: ShardId;
  readonly operationId: OperationId;
  readonly sinceMs: number;
}

/**
 * What a replica's node last said of its log while the shard had no leader (R3): the basis of an UNCLEAN election (E4). An
 * observation: it counts only under the node epoch and the directory that its node has when it is used.
 */
export interface ReplicaLogRecord {
  readonly shardId: ShardId;
  readonly replicaId: ReplicaId;
  readonly nodeId: NodeId;
  readonly nodeEpoch: NodeEpoch;
  readonly storeUuid: StoreUuid;
  /** Position of the last entry of the log. */
  readonly lastEpoch: number;
  readonly lastSeq: number;
  /** False: the directory lost its identity, or the disk is damaged (L4). */
  readonly intact: boolean;
  readonly atMs: number;
}

/** A shard that an operator brought back after the loss of its quorum; written with its descriptor, deleted when the operator closes it. */
export interface ShardRecovery {
  readonly shardId: ShardId;
  readonly table: TableName;
  /** UNCLEAN: acknowledged writes may be missing. SHRINK: none is, but the list was taken below its `min_in_sync`. */
  readonly kind: 'UNCLEAN' | 'SHRINK';
  /** `min_in_sync` before: brought back by the reconciler once as many replicas are in sync. */
  readonly minInSync: number;
  /** Generation that the recovery gave to the descriptor. */
  readonly generation: Generation;
  readonly startedBy: string;
  readonly atMs: number;
  /** What was lost as far as it was known, as the plan told it. */
  readonly plan: Json;
}

/** What a node's statistics were judged to be, kept from beat to beat (gray failure). Written only when it changes. */
export interface NodePaceRecord {
  readonly nodeId: NodeId;
  readonly pace: 'NORMAL' | 'SLOW';
  /** Successive beats that spoke against the present pace. */
  readonly against: number;
  /** The beat that was judged last: its time as the statistics carry it. */
  readonly judgedAtMs: number;
  /** FULL: the node's disk refuses writes. */
  readonly disk: 'OK' | 'FULL';
  /** Why it is SLOW, in words; null while it is not. */
  readonly reason: string | null;
}

/** A command on its way to a node; queued when a push fails, completed by the node's acknowledgement. */
export interface CommandRecord {
  readonly commandId: CommandId;
  readonly nodeId: NodeId;
  /** The command as the node protocol (contracts/node) spells it, signature included. */
  readonly command: Json;
  readonly createdAtMs: number;
  /** After this wall-clock time the command is dropped; whoever needs it decides anew. */
  readonly expiresAtMs: number;
  /** Batch that waits for the acknowledgement; null for notices. */
  readonly batchId: string | null;
}

/** A set of commands that one waiting task token needs. */
export interface CommandBatch {
  readonly batchId: string;
  readonly operationId: OperationId;
  readonly taskToken: string | null;
  readonly pending: readonly string[];
  readonly failed: readonly { readonly commandId: string; readonly code: string; readonly message: string }[];
}

/** Answer kept under an `Idempotency-Key` for 24 h (I-11). */
export interface IdempotencyRecord {
  readonly scope: string;
  readonly key: string;
  readonly requestHash: string;
  /** Null while the first request is under way. */
  readonly answer: { readonly status: number; readonly body: Json } | null;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  /** Id of the operation that the request starts, if it starts one: a repeat after a lost answer finds that operation. */
  readonly operationId?: OperationId;
}

/** A join token that was issued; `usedBy` makes it single-use. */
export interface JoinTokenRecord {
  readonly tokenId: string;
  readonly createdBy: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly usedBy: { readonly nodeId: NodeId; readonly incarnation: Incarnation; readonly atMs: number } | null;
}

/** Record of the acting detector loop and of the brake (L5). `token` fences older loops' brake records. */
export interface DetectorRecord {
  readonly holder: string;
  readonly token: number;
  /** Raised by the holder at every tick; a standby takes over when it stands still for the loop's lease. */
  readonly beat: number;
  readonly released: boolean;
  readonly brake: { readonly engagedAtMs: number; readonly lost: number; readonly reason: string } | null;
}

export type EntityRef = string & { readonly entity?: never };

/** One audited mutation (I-16). `number` counts the entity's mutations without a gap. */
export interface AuditEntry {
  readonly entity: EntityRef;
  readonly number: number;
  readonly action: string;
  readonly principal: string;
  readonly atMs: number;
  readonly detail: Json;
}

/** Outbox event, written in the transaction of the change that it tells of. */
export interface EventRecord {
  readonly eventId: string;
  readonly eventType: string;
  readonly payload: Json;
  readonly createdAtMs: number;
}

/** What a route tells of a shard, as history and the change feed keep it. */
export interface RouteState {
  readonly startKey: EncodedKey;
  readonly endKey: EncodedKey | null;
  readonly epoch: Epoch;
  readonly generation: Generation;
  readonly leader: { readonly nodeId: NodeId; readonly nodeEpoch: NodeEpoch };
  readonly replicas: readonly {
    readonly nodeId: NodeId;
    readonly nodeEpoch: NodeEpoch;
    readonly syncStatus: 'IN_SYNC' | 'LAGGING' | 'OFFLINE';
  }[];
  readonly leaderSinceMs: number;
  readonly boundsSinceMs: number;
}

/**
 * One change of a shard that alters its route, written in the transaction of the change: the change feed is made from these, and they tell who led
 * a key at any time. `before` null: the shard came into being by a split; `after` null: it went into a merge.
 */
export interface RouteVersion {
  readonly shardId: ShardId;
  readonly tableId: TableId;
  readonly table: TableName;
  readonly keyType: KeyType;
  /** Wall clock, whole milliseconds; of a change of bounds its `boundsSinceMs`. */
  readonly atMs: number;
  /** Of the shard after the change; of a shard that went into a merge, that of the merged one. */
  readonly generation: Generation;
  readonly before: RouteState | null;
  readonly after: RouteState | null;
  /** The other shard that held a part of these keys until this change: the parent of a split's right part, the absorbed one of a merge. */
  readonly origin: {
    readonly shardId: ShardId;
    readonly generation: Generation;
    readonly boundsSinceMs: number;
  } | null;
}

/** A log that is numbered without a gap, whatever the order in which its entries were committed: routes of one table, or decisions. */
export interface FeedHead {
  readonly feed: string;
  /** Number of the last pack; 0: none yet. */
  readonly number: number;
  readonly atMs: number;
}

/** Some entries of a feed, under one number. */
export interface FeedPack {
  readonly feed: string;
  readonly number: number;
  readonly atMs: number;
  /** True: entries may have been lost just before this pack. Whoever follows the feed begins anew. */
  readonly cut: boolean;
  readonly entries: readonly FeedEntry[];
}

export type FeedEntry =
  | {
      readonly kind: 'ROUTE';
      readonly shardId: ShardId;
      readonly table: TableName;
      readonly keyType: KeyType;
      readonly route: RouteState;
    }
  /** The shard went into a merge; `generation` is the merged one's. */
  | { readonly kind: 'GONE'; readonly shardId: ShardId; readonly generation: Generation }
  /** Where a decision is kept. */
  | { readonly kind: 'DECISION'; readonly entity: string; readonly decisionId: string; readonly code: string };

/** A decision of the control plane with what it rested on (GET /decisions). */
export interface DecisionRecord {
  /** Sorts by time. */
  readonly decisionId: string;
  /** `shard:<id>`, `node:<id>`, `cluster` ... */
  readonly entity: string;
  readonly kind: string;
  /** What came out: ELECTED, NO_CANDIDATE, FENCED ... */
  readonly code: string;
  readonly principal: string;
  readonly atMs: number;
  /** What the pure decision was given; null if it was too large to keep. */
  readonly inputs: Json;
  readonly rejected: readonly { readonly candidate: string; readonly code: string }[];
  readonly outcome: Json;
}

export interface ClusterSettings {
  readonly leaseProfile: LeaseProfileName;
}
