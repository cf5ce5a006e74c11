import { nodeUseSchema } from '../contracts/node/node-use.ts';
import type { NodeId } from '../domain/ids.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import { nodeState } from '../domain/rebalance/node-state.ts';
import type { TargetCandidate } from '../domain/rebalance/replica-target.ts';
import type { PlacementRules } from '../domain/rebalance/rules.ts';
import type { NodeRecord } from '../domain/records.ts';
import type { Deps } from '../ports.ts';
import { STORE_CONCURRENCY } from './concurrency.ts';
import { everyRecord } from './every-record.ts';
import { readConditions } from './gray-failure.ts';
import { readAllLiveness } from './liveness-view.ts';
import { placementOf } from './node-placement.ts';
import { countReplicas } from './nodes.ts';
import { placementRules } from './placement-config.ts';

/** Every node as the planner and the choice of targets see it: state, zone, labels, disk, what it holds; and the rules for placing on them. */

/** Nodes up to which replicas are counted row by row; a larger fleet is believed what it told within the last 10 s. */
const NODES_COUNTED_MAX = 32;
const KEYS_PER_READ = 100;

/** What a node told of one of its busiest shards. */
export interface ShardUse {
  readonly bytes: number;
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
}

export interface ClusterNode extends TargetCandidate {
  readonly record: NodeRecord;
  readonly lease: LivenessRecord | null;
  /** Bytes of all its shards; null: it did not tell. */
  readonly bytes: number | null;
  readonly leaders: number | null;
  readonly clientMsP99: number | null;
  readonly shardUse: ReadonlyMap<string, ShardUse>;
}

export interface ClusterView {
  readonly nodes: readonly ClusterNode[];
  readonly byId: ReadonlyMap<NodeId, ClusterNode>;
  /** Placement rules in force, and the revision of their configuration. */
  readonly rules: PlacementRules;
  readonly rulesRevision: number;
}

/** Nodes by id, tombstones left out. A fixed number of queries, and one read for each 100 nodes; each is strong, the whole is no snapshot. */
export async function readCluster(deps: Deps): Promise<ClusterView> {
  const [records, leases, conditions, placement] = await Promise.all([
    everyRecord(deps, 'node', {}),
    readAllLiveness(deps),
    readConditions(deps),
    placementRules(deps),
  ]);
  // A full disk takes nothing either, and serves its leaders' writes no better.
  const slow = new Set(conditions.map(({ nodeId }) => nodeId));
  const present = records.filter((node) => node.membership !== 'DECOMMISSIONED');
  const leaseOf = new Map(leases.map((lease) => [lease.nodeId, lease]));
  const batches = Array.from({ length: Math.ceil(present.length / KEYS_PER_READ) }, (_, batch) =>
    present.slice(batch * KEYS_PER_READ, (batch + 1) * KEYS_PER_READ),
  );
  const stats = (
    await mapBounded(batches, STORE_CONCURRENCY, (batch) =>
      deps.records.getMany(
        'nodeStats',
        batch.map(({ nodeId }) => ({ nodeId })),
      ),
    )
  ).flat();
  const counted = present.length <= NODES_COUNTED_MAX;
  const nowMs = deps.clock.wallMs();
  const nodes = await mapBounded(present, STORE_CONCURRENCY, async (record, index): Promise<ClusterNode> => {
    const lease = leaseOf.get(record.nodeId) ?? null;
    const told = nodeUseSchema.safeParse(stats[index]?.value.stats ?? {});
    const use = told.success ? told.data : {};
    const disk = use.disk;
    const { labels, capacityWeight } = placementOf(record);
    return {
      nodeId: record.nodeId,
      zone: record.zone,
      state: nodeState(record, lease, nowMs),
      pace: slow.has(record.nodeId) ? 'SLOW' : 'NORMAL',
      labels,
      weight: capacityWeight,
      ...(disk === undefined ? {} : { disk: { capacityBytes: disk.capacity_bytes, usedBytes: disk.used_bytes } }),
      replicas: counted ? await countReplicas(deps, record.nodeId) : (use.shards ?? 0),
      record,
      lease,
      bytes: use.bytes ?? null,
      leaders: use.leaders ?? null,
      clientMsP99: use.client_ms_p99 ?? null,
      shardUse: new Map(
        (use.busiest ?? []).map((one) => [
          one.shard_id,
          {
            bytes: one.bytes,
            readsPerSecond: one.reads_per_second ?? 0,
            writesPerSecond: one.writes_per_second ?? 0,
          },
        ]),
      ),
    };
  });
  return {
    nodes,
    byId: new Map(nodes.map((node) => [node.nodeId, node])),
    rules: placement.rules,
    rulesRevision: placement.revision,
  };
}
