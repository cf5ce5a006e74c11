import type { EncodedKey, NodeId, TableName } from '../domain/ids.ts';
import { compareKeys, KEY_SPACE_START } from '../domain/keys.ts';
import { SnapshotBuilder } from '../domain/rebalance/snapshot.ts';
import type { PlanSnapshot, SnapshotNode, SnapshotShard } from '../domain/rebalance/snapshot.ts';
import type { TableRecord } from '../domain/records.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import type { Deps } from '../ports.ts';
import type { ClusterView } from './cluster-view.ts';
import { everyRecord } from './every-record.ts';
import type { MoveUnderWay } from './moves-under-way.ts';

/** The cluster as a planner sees it, read page by page in parallel; descriptors become numbers as they come, so that memory stays bounded. */

/** Directory pages of one range, 512 to 1,024 shards: one unit of reading. */
const PAGES_PER_RANGE = 16;
/** Ranges that are read ahead: at 5 ms a query and 32 pages a query pair, a million shards take some 10 s. */
const RANGES_AHEAD = 32;
/** Shards of one scan: what is read beyond the end of a range is read twice. */
const SCAN_SHARDS = 256;

export interface SnapshotRequest {
  /** Shards of other tables stay out: a plan for one table alone. */
  readonly only?: TableName;
  /** Shards of other tables count where they are, and are not touched. */
  readonly movable?: TableName;
  /** Nodes taken for something else than they are. */
  readonly as?: ReadonlyMap<NodeId, SnapshotNode['state']>;
}

export async function readSnapshot(
  deps: Deps,
  view: ClusterView,
  moves: readonly MoveUnderWay[],
  request: SnapshotRequest = {},
): Promise<PlanSnapshot> {
  const builder = snapshotOf(view, request.as);
  const shardOf = shardReader(view, moves);
  const tables = await everyRecord(deps, 'table', {});
  for (const table of tables) {
    if (request.only !== undefined && table.table !== request.only) continue;
    // What is being created or deleted has operations of its own.
    const fixed = table.state !== 'ACTIVE' || (request.movable !== undefined && table.table !== request.movable);
    await eachShard(deps, table, (shard) => {
      const seen = shardOf(shard);
      builder.addShard(fixed ? { ...seen, activity: 'BUSY' } : seen);
    });
  }
  return builder.build();
}

/** Nodes by id, so that ties fall the same way every time; shards follow the placement rules that the view was read with. */
export function snapshotOf(view: ClusterView, as: SnapshotRequest['as'] = new Map()): SnapshotBuilder {
  const builder = new SnapshotBuilder(view.rules);
  for (const node of view.nodes) {
    const { nodeId, zone, state, disk, pace, weight, labels } = node;
    builder.addNode({
      nodeId,
      zone,
      state: as.get(nodeId) ?? state,
      ...(disk === undefined ? {} : { disk }),
      ...(pace === undefined ? {} : { pace }),
      ...(weight === undefined ? {} : { weight }),
      ...(labels === undefined ? {} : { labels }),
    });
  }
  return builder;
}

/** A descriptor with what nodes told of it. Bytes nobody named are the average of the leader's node. */
export function shardReader(
  view: ClusterView,
  moves: readonly MoveUnderWay[],
): (shard: ShardDescriptor) => SnapshotShard {
  const moving = new Map(moves.map((move) => [move.shardId, move]));
  const averages = new Map(
    view.nodes.map((node) => [
      node.nodeId,
      node.bytes === null || node.replicas === 0 ? 0 : Math.round(node.bytes / node.replicas),
    ]),
  );
  return (shard) => {
    const leader = view.byId.get(shard.leader.nodeId);
    const use = leader?.shardUse.get(shard.shardId);
    const move = moving.get(shard.shardId);
    const to = move?.to[0];
    return {
      shardId: shard.shardId,
      table: shard.table,
      generation: shard.generation,
      bytes: use?.bytes ?? averages.get(shard.leader.nodeId) ?? 0,
      load: use?.writesPerSecond ?? 0,
      leaderLoad: use?.readsPerSecond ?? 0,
      replicas: shard.replicas.map(({ nodeId, syncStatus }) => ({
        nodeId,
        sync: syncStatus === 'IN_SYNC' ? 'IN_SYNC' : 'BEHIND',
      })),
      leader: shard.leader.nodeId,
      activity: shard.state.kind === 'ACTIVE' && shard.intent === null ? 'IDLE' : 'BUSY',
      ...(move === undefined || to === undefined ? {} : { inFlight: { from: move.from, to } }),
    };
  };
}

/** Every shard of a table in key order. Ranges of pages are read ahead in parallel; a split meanwhile is seen on one side of it or on both. */
async function eachShard(deps: Deps, table: TableRecord, take: (shard: ShardDescriptor) => void): Promise<void> {
  const separators = await everyRecord(deps, 'separator', { tableId: table.tableId });
  const starts: EncodedKey[] = separators
    .map(({ low }) => low)
    .filter((_low, index) => index > 0 && index % PAGES_PER_RANGE === 0);
  const bounds: readonly EncodedKey[] = [KEY_SPACE_START, ...starts];
  const ahead: Promise<readonly ShardDescriptor[]>[] = [];
  const read = (index: number): Promise<readonly ShardDescriptor[]> => {
    const reading = readRange(deps, table, bounds[index] ?? KEY_SPACE_START, bounds[index + 1] ?? null);
    // It is awaited in its turn; until then its failure is nobody's.
    reading.catch(() => undefined);
    return reading;
  };
  for (let index = 0; index < bounds.length; index++) {
    while (ahead.length < RANGES_AHEAD && index + ahead.length < bounds.length) ahead.push(read(index + ahead.length));
    for (const shard of (await ahead.shift()) ?? []) take(shard);
  }
}

/** Shards that start in `[from, to)`. */
async function readRange(
  deps: Deps,
  { tableId }: TableRecord,
  from: EncodedKey,
  to: EncodedKey | null,
): Promise<readonly ShardDescriptor[]> {
  const shards: ShardDescriptor[] = [];
  let key: EncodedKey | null = from;
  while (key !== null && (to === null || compareKeys(key, to) < 0)) {
    const page: Awaited<ReturnType<Deps['directory']['scan']>> = await deps.directory.scan(tableId, {
      fromKey: key,
      limit: SCAN_SHARDS,
    });
    for (const { shard } of page.shards) {
      // The shard that holds `from` may start below it.
      const isHere = compareKeys(shard.startKey, from) >= 0 && (to === null || compareKeys(shard.startKey, to) < 0);
      if (isHere) shards.push(shard);
    }
    key = page.nextKey;
  }
  return shards;
}
