import { toTimestamp } from '../contracts/primitives.ts';
import { DECISIONS_KEPT_MS } from '../domain/decision.ts';
import { stableBucket } from '../domain/liveness-bucket.ts';
import { Bug } from '../domain/result.ts';
import { FEED_KEPT_MS, ROUTE_HISTORY_KEPT_MS } from '../domain/route-history.ts';
import { EVENT_BUCKETS, LIVENESS_BUCKETS } from '../ports.ts';
import type { EntityId, EntityKind, EntityPartition, EntityValue, ItemKey, StoreTable } from '../ports.ts';
import { createCodec } from './codec.ts';
import type { Codec } from './codec.ts';
import * as cluster from './codecs/cluster.ts';
import * as history from './codecs/history.ts';
import * as operations from './codecs/operations.ts';
import * as recovery from './codecs/recovery.ts';
import * as topology from './codecs/topology.ts';

/** Where the records of one kind live, and how they are written. */
export interface EntitySpec<K extends EntityKind> {
  readonly table: StoreTable;
  /** Partition key of the record's siblings. */
  readonly partitionKey: (partition: EntityPartition<K>) => string;
  /** The partition that a record is in. */
  readonly partitionOf: (id: EntityId<K>) => EntityPartition<K>;
  /** What every sort key of the kind starts with; other kinds may share the partition. Ends in a character below U+007F. */
  readonly sortPrefix: string;
  /** The sort key's rest, in the order of the kind. */
  readonly sortKey: (id: EntityId<K>) => string;
  /** The id of a record; null if the record does not tell it (a descriptor does not tell its page). */
  readonly idOf: ((value: EntityValue<K>) => EntityId<K>) | null;
  readonly codec: Codec<EntityValue<K>>;
}

/** Digits of a number in a sort key: `Number.MAX_SAFE_INTEGER` has 16. */
const SORTED_NUMBER_DIGITS = 16;
/** Characters of an hour in ISO 8601, `2026-11-20T20`. */
const HOUR_CHARS = 13;

/** A log position is told again every 15 s while a shard has no leader; one that is older than this is of a shard long led. */
const REPLICA_LOG_KEPT_MS = 7 * 24 * 3_600_000;
/** Events are kept this long for whoever reads them later; they leave by the stream within seconds. */
const EVENT_KEPT_MS = 30 * 24 * 3_600_000;

const sortedNumber = (value: number): string => String(value).padStart(SORTED_NUMBER_DIGITS, '0');
/** The hour (UTC) by which events are partitioned. */
export const eventHour = (createdAtMs: number): string => toTimestamp(createdAtMs).slice(0, HOUR_CHARS);

const livenessPartition = ({ nodeId }: { nodeId: string }): { bucket: number } => ({
  bucket: stableBucket(nodeId, LIVENESS_BUCKETS),
});

/** Records that are alone in their partition. */
const ALONE = { sortKey: () => '' };

export const entities: { readonly [K in EntityKind]: EntitySpec<K> } = {
  node: {
    table: 'topology',
    partitionKey: () => 'NODES',
    partitionOf: () => ({}),
    sortPrefix: 'N#',
    sortKey: ({ nodeId }) => nodeId,
    idOf: ({ nodeId }) => ({ nodeId }),
    codec: createCodec('node', 1, cluster.node),
  },
  liveness: {
    table: 'liveness',
    partitionKey: ({ bucket }) => `L#${bucket}`,
    partitionOf: livenessPartition,
    sortPrefix: 'N#',
    sortKey: ({ nodeId }) => nodeId,
    idOf: ({ nodeId }) => ({ nodeId }),
    codec: createCodec('liveness', 1, cluster.liveness),
  },
  livenessPack: {
    table: 'liveness',
    partitionKey: ({ bucket }) => `K#${bucket}`,
    partitionOf: ({ packId }) => ({ bucket: stableBucket(packId, LIVENESS_BUCKETS) }),
    sortPrefix: 'P#',
    sortKey: ({ packId }) => packId,
    idOf: ({ packId }) => ({ packId }),
    codec: createCodec('livenessPack', 1, cluster.livenessPack),
  },
  nodeStats: {
    table: 'liveness',
    partitionKey: ({ bucket }) => `T#${bucket}`,
    partitionOf: livenessPartition,
    sortPrefix: 'N#',
    sortKey: ({ nodeId }) => nodeId,
    idOf: ({ nodeId }) => ({ nodeId }),
    codec: createCodec('nodeStats', 1, cluster.nodeStats),
  },
  detector: {
    table: 'liveness',
    partitionKey: () => 'DETECTOR',
    partitionOf: () => ({}),
    sortPrefix: 'D',
    ...ALONE,
    idOf: () => ({}),
    codec: createCodec('detector', 1, cluster.detector),
  },
  table: {
    table: 'catalog',
    partitionKey: () => 'TABLES',
    partitionOf: () => ({}),
    sortPrefix: 'T#',
    sortKey: ({ table }) => table,
    idOf: ({ table }) => ({ table }),
    codec: createCodec('table', 1, topology.table),
  },
  page: {
    table: 'topology',
    partitionKey: ({ page }) => `P#${page}`,
    partitionOf: ({ page }) => ({ page }),
    sortPrefix: 'H',
    ...ALONE,
    idOf: ({ page }) => ({ page }),
    codec: createCodec('page', 1, topology.page),
  },
  shard: {
    table: 'topology',
    partitionKey: ({ page }) => `P#${page}`,
    partitionOf: ({ page }) => ({ page }),
    sortPrefix: 'K#',
    sortKey: ({ startKey }) => startKey,
    idOf: null,
    codec: createCodec('shard', 1, topology.shard),
  },
  separator: {
    table: 'topology',
    partitionKey: ({ tableId }) => `R#${tableId}`,
    partitionOf: ({ tableId }) => ({ tableId }),
    sortPrefix: 'K#',
    sortKey: ({ low }) => low,
    idOf: ({ tableId, low }) => ({ tableId, low }),
    codec: createCodec('separator', 1, topology.separator),
  },
  locator: {
    table: 'topology',
    partitionKey: ({ shardId }) => `S#${shardId}`,
    partitionOf: ({ shardId }) => ({ shardId }),
    sortPrefix: 'L',
    ...ALONE,
    idOf: ({ shardId }) => ({ shardId }),
    codec: createCodec('locator', 1, topology.locator),
  },
  nodeReplica: {
    table: 'topology',
    partitionKey: ({ nodeId }) => `N#${nodeId}`,
    partitionOf: ({ nodeId }) => ({ nodeId }),
    sortPrefix: 'S#',
    sortKey: ({ shardId }) => shardId,
    idOf: ({ nodeId, shardId }) => ({ nodeId, shardId }),
    codec: createCodec('nodeReplica', 1, topology.nodeReplica),
  },
  openIntent: {
    table: 'topology',
    partitionKey: () => 'INTENTS',
    partitionOf: () => ({}),
    sortPrefix: 'S#',
    sortKey: ({ shardId }) => shardId,
    idOf: ({ shardId }) => ({ shardId }),
    codec: createCodec('openIntent', 1, topology.openIntent),
  },
  config: {
    table: 'catalog',
    partitionKey: () => 'CONFIG',
    partitionOf: () => ({}),
    sortPrefix: 'C#',
    sortKey: ({ configKey }) => configKey,
    idOf: ({ configKey }) => ({ configKey }),
    codec: createCodec('config', 1, operations.config),
  },
  operation: {
    table: 'operations',
    partitionKey: () => 'OPERATIONS',
    partitionOf: () => ({}),
    sortPrefix: 'O#',
    sortKey: ({ operationId }) => operationId,
    idOf: ({ operationId }) => ({ operationId }),
    codec: createCodec('operation', 1, operations.operation),
  },
  openOperation: {
    table: 'operations',
    partitionKey: () => 'OPEN_OPERATIONS',
    partitionOf: () => ({}),
    sortPrefix: 'O#',
    sortKey: ({ operationId }) => operationId,
    idOf: ({ operationId }) => ({ operationId }),
    codec: createCodec('openOperation', 1, operations.openOperation),
  },
  operationPart: {
    table: 'operations',
    partitionKey: ({ operationId }) => `O#${operationId}`,
    partitionOf: ({ operationId }) => ({ operationId }),
    sortPrefix: 'P#',
    sortKey: ({ number }) => sortedNumber(number),
    idOf: ({ operationId, number }) => ({ operationId, number }),
    codec: createCodec('operationPart', 1, operations.operationPart),
  },
  operationSlot: {
    table: 'operations',
    partitionKey: () => 'OPERATION_SLOTS',
    partitionOf: () => ({}),
    sortPrefix: 'S#',
    sortKey: ({ slot }) => slot,
    idOf: ({ slot }) => ({ slot }),
    codec: createCodec('operationSlot', 1, operations.operationSlot),
  },
  ownedShard: {
    table: 'topology',
    partitionKey: () => 'OWNED_SHARDS',
    partitionOf: () => ({}),
    sortPrefix: 'S#',
    sortKey: ({ shardId }) => shardId,
    idOf: ({ shardId }) => ({ shardId }),
    codec: createCodec('ownedShard', 1, topology.ownedShard),
  },
  replicaLog: {
    table: 'liveness',
    partitionKey: ({ shardId }) => `G#${shardId}`,
    partitionOf: ({ shardId }) => ({ shardId }),
    sortPrefix: 'R#',
    sortKey: ({ replicaId }) => replicaId,
    idOf: ({ shardId, replicaId }) => ({ shardId, replicaId }),
    codec: createCodec('replicaLog', 1, recovery.replicaLog, ({ atMs }) => atMs + REPLICA_LOG_KEPT_MS),
  },
  shardRecovery: {
    table: 'topology',
    partitionKey: () => 'RECOVERIES',
    partitionOf: () => ({}),
    sortPrefix: 'S#',
    sortKey: ({ shardId }) => shardId,
    idOf: ({ shardId }) => ({ shardId }),
    codec: createCodec('shardRecovery', 1, recovery.shardRecovery),
  },
  nodePace: {
    table: 'liveness',
    partitionKey: () => 'PACE',
    partitionOf: () => ({}),
    sortPrefix: 'N#',
    sortKey: ({ nodeId }) => nodeId,
    idOf: ({ nodeId }) => ({ nodeId }),
    codec: createCodec('nodePace', 1, recovery.nodePace),
  },
  command: {
    table: 'operations',
    partitionKey: ({ nodeId }) => `N#${nodeId}`,
    partitionOf: ({ nodeId }) => ({ nodeId }),
    sortPrefix: 'C#',
    sortKey: ({ commandId }) => commandId,
    idOf: ({ nodeId, commandId }) => ({ nodeId, commandId }),
    codec: createCodec('command', 1, operations.command, ({ expiresAtMs }) => expiresAtMs),
  },
  commandBatch: {
    table: 'operations',
    partitionKey: ({ batchId }) => `B#${batchId}`,
    partitionOf: ({ batchId }) => ({ batchId }),
    sortPrefix: 'B',
    ...ALONE,
    idOf: ({ batchId }) => ({ batchId }),
    codec: createCodec('commandBatch', 1, operations.commandBatch, ({ expiresAtMs }) => expiresAtMs),
  },
  idempotency: {
    table: 'operations',
    partitionKey: ({ scope, key }) => `I#${encodeURIComponent(scope)}#${key}`,
    partitionOf: ({ scope, key }) => ({ scope, key }),
    sortPrefix: 'I',
    ...ALONE,
    idOf: ({ scope, key }) => ({ scope, key }),
    codec: createCodec('idempotency', 1, operations.idempotency, ({ expiresAtMs }) => expiresAtMs),
  },
  joinToken: {
    table: 'access',
    partitionKey: () => 'JOIN_TOKENS',
    partitionOf: () => ({}),
    sortPrefix: 'J#',
    sortKey: ({ tokenId }) => tokenId,
    idOf: ({ tokenId }) => ({ tokenId }),
    codec: createCodec('joinToken', 1, cluster.joinToken),
  },
  audit: {
    table: 'events',
    partitionKey: ({ entity }) => `A#${entity}`,
    partitionOf: ({ entity }) => ({ entity }),
    sortPrefix: 'A#',
    sortKey: ({ number }) => sortedNumber(number),
    idOf: ({ entity, number }) => ({ entity, number }),
    codec: createCodec('audit', 1, operations.audit),
  },
  event: {
    table: 'events',
    partitionKey: ({ hour, bucket }) => `E#${hour}#${bucket}`,
    partitionOf: ({ createdAtMs, eventId }) => ({
      hour: eventHour(createdAtMs),
      bucket: stableBucket(eventId, EVENT_BUCKETS),
    }),
    sortPrefix: 'E#',
    sortKey: ({ eventId }) => eventId,
    idOf: ({ createdAtMs, eventId }) => ({ createdAtMs, eventId }),
    codec: createCodec('event', 1, operations.event, ({ createdAtMs }) => createdAtMs + EVENT_KEPT_MS),
  },
  routeVersion: {
    table: 'events',
    partitionKey: ({ shardId }) => `V#${shardId}`,
    partitionOf: ({ shardId }) => ({ shardId }),
    sortPrefix: 'V#',
    sortKey: ({ atMs, generation }) => `${sortedNumber(atMs)}#${sortedNumber(generation)}`,
    idOf: ({ shardId, atMs, generation }) => ({ shardId, atMs, generation }),
    codec: createCodec('routeVersion', 1, history.routeVersion, ({ atMs }) => atMs + ROUTE_HISTORY_KEPT_MS),
  },
  feedHead: {
    table: 'events',
    partitionKey: ({ feed }) => `F#${feed}`,
    partitionOf: ({ feed }) => ({ feed }),
    sortPrefix: 'H',
    ...ALONE,
    idOf: ({ feed }) => ({ feed }),
    codec: createCodec('feedHead', 1, history.feedHead),
  },
  feedPack: {
    table: 'events',
    partitionKey: ({ feed }) => `F#${feed}`,
    partitionOf: ({ feed }) => ({ feed }),
    sortPrefix: 'P#',
    sortKey: ({ number }) => sortedNumber(number),
    idOf: ({ feed, number }) => ({ feed, number }),
    codec: createCodec('feedPack', 1, history.feedPack, ({ atMs }) => atMs + FEED_KEPT_MS),
  },
  decision: {
    table: 'events',
    partitionKey: ({ entity }) => `D#${entity}`,
    partitionOf: ({ entity }) => ({ entity }),
    sortPrefix: 'D#',
    sortKey: ({ decisionId }) => decisionId,
    idOf: ({ entity, decisionId }) => ({ entity, decisionId }),
    codec: createCodec('decision', 1, history.decision, ({ atMs }) => atMs + DECISIONS_KEPT_MS),
  },
};

export const entitySpec = <K extends EntityKind>(kind: K): EntitySpec<K> => entities[kind];

/** The key of a record. */
export function recordKey<K extends EntityKind>(kind: K, id: EntityId<K>): ItemKey {
  const spec = entitySpec(kind);
  return {
    table: spec.table,
    pk: spec.partitionKey(spec.partitionOf(id)),
    sk: spec.sortPrefix + spec.sortKey(id),
  };
}

/** The key under which a put of `value` goes. `id` is needed for the kinds that do not tell it. */
export function putKey<K extends EntityKind>(kind: K, value: EntityValue<K>, id: EntityId<K> | undefined): ItemKey {
  const spec = entitySpec(kind);
  const known = id ?? spec.idOf?.(value);
  if (known === undefined) throw new Bug(`a put of a ${kind} must tell its id`);
  return recordKey(kind, known);
}

type SortBounds = { readonly from: string; readonly to: string };

/** One entry for each kind of record. */
const boundsByPrefix = new Map<string, SortBounds>();

/** Inclusive bounds of the sort keys of a kind: its prefix, and the prefix with its last character raised by one. */
export function sortBounds(prefix: string): SortBounds {
  const known = boundsByPrefix.get(prefix);
  if (known !== undefined) return known;
  const last = prefix.length - 1;
  const bounds = { from: prefix, to: prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1) };
  boundsByPrefix.set(prefix, bounds);
  return bounds;
}
