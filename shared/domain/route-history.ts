import type { EncodedKey, Generation, ShardId } from './ids.ts';
import { compareKeys } from './keys.ts';
import type { RouteState, RouteVersion } from './records.ts';
import type { ShardDescriptor } from './shard.ts';

/** Versions of routes: what a change of a shard leaves behind, for those who follow routes and for those who ask about the past. */

/** How far back routes can be asked for: milliseconds. Audit entries stay longer. */
export const ROUTE_HISTORY_KEPT_MS = 90 * 24 * 3_600_000;
/** Packs of a feed are kept this long: milliseconds. */
export const FEED_KEPT_MS = 8 * 24 * 3_600_000;
/** Age at which a feed's cursor is refused: a day (clock skew, late deletions of nothing younger) before its packs may go. */
export const FEED_CURSOR_MS = FEED_KEPT_MS - 24 * 3_600_000;

export function routeStateOf(shard: ShardDescriptor): RouteState {
  const { startKey, endKey, epoch, generation, leader, replicas, leaderSinceMs, boundsSinceMs } = shard;
  return {
    startKey,
    endKey,
    epoch,
    generation,
    leader: { nodeId: leader.nodeId, nodeEpoch: leader.nodeEpoch },
    replicas: replicas.map(({ nodeId, nodeEpoch, syncStatus }) => ({ nodeId, nodeEpoch, syncStatus })),
    leaderSinceMs,
    // Shards of earlier releases do not tell it: they have had their bounds since they were made.
    boundsSinceMs: wholeMs(Math.max(boundsSinceMs, shard.createdAtMs)),
  };
}

const wholeMs = (wallMs: number): number => Math.floor(wallMs);

/** True if `key` lies within the bounds. */
export const holdsKey = (bounds: Pick<RouteState, 'startKey' | 'endKey'>, key: EncodedKey): boolean =>
  compareKeys(bounds.startKey, key) <= 0 && (bounds.endKey === null || compareKeys(key, bounds.endKey) < 0);

/** True if clients would be told another route: leader, epoch, bounds, or the nodes and their addresses (which belong to node epochs). */
export function altersRoute(from: ShardDescriptor, to: ShardDescriptor): boolean {
  return (
    from.epoch !== to.epoch ||
    from.leader.nodeId !== to.leader.nodeId ||
    from.leader.nodeEpoch !== to.leader.nodeEpoch ||
    from.startKey !== to.startKey ||
    from.endKey !== to.endKey ||
    membersOf(from) !== membersOf(to)
  );
}

const membersOf = (shard: ShardDescriptor): string =>
  shard.replicas
    .map(({ nodeId, nodeEpoch }) => `${nodeId} ${nodeEpoch}`)
    .toSorted()
    .join();

const common = ({ tableId, table, keyType }: ShardDescriptor) => ({ tableId, table, keyType });

/** The version that a change without new bounds leaves; null if the route stays as it is. */
export function versionOfChange(from: ShardDescriptor, to: ShardDescriptor, nowMs: number): RouteVersion | null {
  if (!altersRoute(from, to)) return null;
  const before = routeStateOf(from);
  return {
    ...common(to),
    shardId: to.shardId,
    // Processes' clocks differ: a version does not sort before what the shard already had.
    atMs: Math.max(wholeMs(nowMs), before.boundsSinceMs, wholeMs(before.leaderSinceMs)),
    generation: to.generation,
    before,
    after: routeStateOf(to),
    origin: null,
  };
}

/** The versions that a split leaves: of the parent, and of the right part, which came from it. */
export function versionsOfSplit(
  from: ShardDescriptor,
  { parent, child }: { readonly parent: ShardDescriptor; readonly child: ShardDescriptor },
): readonly RouteVersion[] {
  const before = routeStateOf(from);
  const [left, right] = [routeStateOf(parent), routeStateOf(child)];
  return [
    {
      ...common(parent),
      shardId: parent.shardId,
      atMs: left.boundsSinceMs,
      generation: parent.generation,
      before,
      after: left,
      origin: null,
    },
    {
      ...common(child),
      shardId: child.shardId,
      atMs: right.boundsSinceMs,
      generation: child.generation,
      before: null,
      after: right,
      origin: originOf(from.shardId, before),
    },
  ];
}

/** The versions that a merge leaves: of the left shard, which grew, and of the right one, which is gone. */
export function versionsOfMerge(
  left: ShardDescriptor,
  right: ShardDescriptor,
  merged: ShardDescriptor,
): readonly RouteVersion[] {
  const absorbed = routeStateOf(right);
  const after = routeStateOf(merged);
  const { generation } = merged;
  const of = { ...common(merged), atMs: after.boundsSinceMs, generation };
  return [
    {
      ...of,
      shardId: merged.shardId,
      before: routeStateOf(left),
      after,
      origin: originOf(right.shardId, absorbed),
    },
    { ...of, shardId: right.shardId, before: absorbed, after: null, origin: null },
  ];
}

const originOf = (
  shardId: ShardId,
  { generation, boundsSinceMs }: RouteState,
): { shardId: ShardId; generation: Generation; boundsSinceMs: number } => ({ shardId, generation, boundsSinceMs });

/** True if the change gave the shard its bounds, or took it away. */
export const changesBounds = ({ before, after }: RouteVersion): boolean =>
  before === null || after === null || before.startKey !== after.startKey || before.endKey !== after.endKey;
