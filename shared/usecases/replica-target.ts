import { nodeUseSchema } from '../contracts/node/node-use.ts';
import { nodeRefusal } from '../domain/membership.ts';
import type { TargetNode, ZoneView } from '../domain/membership.ts';
import type { NodeId, ReplicaId, ShardId } from '../domain/ids.ts';
import { barredBy, ruleFor } from '../domain/rebalance/rules.ts';
import type { NodeRecord } from '../domain/records.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import { replicaOn } from '../domain/shard.ts';
import type { Deps } from '../ports.ts';
import { everyRecord } from './every-record.ts';
import { placementOf } from './node-placement.ts';
import { mayHold, placementRules } from './placement-config.ts';

/** What the membership decisions have to know of nodes: leases, free space, zones. All reads are strong. */

/** Nodes of one zone that are looked at for one that could take a replica; if none of so many can, the zone counts as full. */
const NODES_PER_ZONE_MAX = 50;
/** Space that stays free on a node, as a share of its capacity: logs, snapshots under way and compaction need room as well. */
const RESERVE_SHARE = 0.1;

export interface NodeUse {
  /** Bytes of all shards on the node; null if it did not tell. */
  readonly bytes: number | null;
  /** Bytes that new replicas may take; null if the node does not tell its capacity. */
  readonly freeBytes: number | null;
  /** Bytes of the shards that it named last. */
  readonly shardBytes: ReadonlyMap<string, number>;
}

const NOTHING_KNOWN: NodeUse = { bytes: null, freeBytes: null, shardBytes: new Map() };

/** What nodes told of their use on their slower beat. */
export async function nodeUse(deps: Deps, nodeIds: readonly NodeId[]): Promise<ReadonlyMap<NodeId, NodeUse>> {
  const stored = await deps.records.getMany(
    'nodeStats',
    nodeIds.map((nodeId) => ({ nodeId })),
  );
  return new Map(nodeIds.map((nodeId, index) => [nodeId, useOf(stored[index]?.value.stats)]));
}

function useOf(stats: unknown): NodeUse {
  const parsed = nodeUseSchema.safeParse(stats);
  if (!parsed.success) return NOTHING_KNOWN;
  const { bytes, disk, busiest, disk_full: isFull } = parsed.data;
  return {
    bytes: bytes ?? null,
    freeBytes:
      isFull === true ? 0 : disk === undefined ? null : disk.capacity_bytes * (1 - RESERVE_SHARE) - disk.used_bytes,
    shardBytes: new Map((busiest ?? []).map((one) => [one.shard_id, one.bytes])),
  };
}

/** Bytes of a shard as its leader, or else any other replica, told last; null if none did. */
export function shardBytes(shard: ShardDescriptor, use: ReadonlyMap<NodeId, NodeUse>): number | null {
  const told = (nodeId: NodeId): number | undefined => use.get(nodeId)?.shardBytes.get(shard.shardId);
  const all = shard.replicas.flatMap((replica) => told(replica.nodeId) ?? []);
  return told(shard.leader.nodeId) ?? (all.length === 0 ? null : Math.max(...all));
}

/** A node as a place for a replica of `shard`; null: no node is registered under the id. */
export async function readTarget(deps: Deps, shard: ShardDescriptor, nodeId: NodeId): Promise<TargetNode | null> {
  const node = await deps.records.get('node', { nodeId });
  if (node === null) return null;
  const lease = (await deps.liveness.of([nodeId])).get(nodeId) ?? null;
  const use = await nodeUse(deps, [...new Set([nodeId, ...shard.replicas.map((replica) => replica.nodeId)])]);
  const { rules } = await placementRules(deps);
  const freeBytes = use.get(nodeId)?.freeBytes ?? null;
  // An empty shard needs some room as well: a node whose disk is full takes nothing.
  const neededBytes = Math.max(1, shardBytes(shard, use) ?? 0);
  return {
    node: node.value,
    lease,
    room: freeBytes === null ? null : { freeBytes, neededBytes },
    barredBy: barredBy(rules, shard.table, placementOf(node.value).labels),
  };
}

/**
 * Zones as the zone rule needs them for a replica in `zone`: replicas that stay, and the zones that could take it instead. Other
 * nodes are read only if the zone holds a replica that stays: the common case costs a few reads in a fleet of any size.
 */
export async function readZones(
  deps: Deps,
  shard: ShardDescriptor,
  zone: string,
  leaving: readonly ReplicaId[],
): Promise<ZoneView> {
  const staying = shard.replicas.filter((replica) => !leaving.includes(replica.replicaId));
  const nodes = await deps.records.getMany(
    'node',
    staying.map(({ nodeId }) => ({ nodeId })),
  );
  const held = new Map<string, number>();
  for (const node of nodes) if (node !== null) held.set(node.value.zone, (held.get(node.value.zone) ?? 0) + 1);
  if (!held.has(zone)) return { held, able: new Set() };
  return { held, able: await ableZones(deps, shard, (name) => (held.get(name) ?? 0) < (held.get(zone) ?? 0)) };
}

/** Those of the wanted zones that have a node which could take a replica of the shard. */
async function ableZones(
  deps: Deps,
  shard: ShardDescriptor,
  wanted: (zone: string) => boolean,
): Promise<ReadonlySet<string>> {
  const byZone = new Map<string, NodeRecord[]>();
  const rule = ruleFor((await placementRules(deps)).rules, shard.table);
  for (const node of await everyRecord(deps, 'node', {})) {
    const able = mayHold(rule, node) && replicaOn(shard, node.nodeId) === undefined;
    if (!able || !wanted(node.zone)) continue;
    const nodes = byZone.get(node.zone) ?? [];
    if (nodes.length < NODES_PER_ZONE_MAX) byZone.set(node.zone, [...nodes, node]);
  }
  const ids = [...byZone.values()].flat().map((node) => node.nodeId);
  const leases = await deps.liveness.of(ids);
  const isAble = (node: NodeRecord): boolean =>
    nodeRefusal({ node, lease: leases.get(node.nodeId) ?? null, room: null }) === null;
  return new Set([...byZone].filter(([, nodes]) => nodes.some(isAble)).map(([zone]) => zone));
}

/** Progress of a copy: bytes that the new node holds, of those that the leader has; null where they did not tell. */
export async function copyProgress(
  deps: Deps,
  shard: ShardDescriptor,
  target: NodeId,
): Promise<{ readonly copied: number | null; readonly total: number | null }> {
  const use = await nodeUse(deps, [...new Set([shard.leader.nodeId, target])]);
  const told = (nodeId: NodeId, id: ShardId): number | null => use.get(nodeId)?.shardBytes.get(id) ?? null;
  return { copied: told(target, shard.shardId), total: told(shard.leader.nodeId, shard.shardId) };
}
