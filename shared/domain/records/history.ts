import type { EncodedKey, Epoch, Generation, NodeEpoch, NodeId, ShardId, TableId, TableName } from '../ids.ts';
import type { KeyType } from '../keys.ts';
import type { Json } from './json.ts';

/** One audited mutation (I-16). `number` counts the entity's mutations without a gap. */
export interface AuditEntry {
  /** `shard:<id>`, `node:<id>`, `table:<id>` ... */
  readonly entity: string;
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
