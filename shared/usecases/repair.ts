import { currentInSync } from '../domain/membership.ts';
import type { NodeId, ShardId } from '../domain/ids.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import { isMaintained } from '../domain/rebalance/node-state.ts';
import { targetForReplica } from '../domain/rebalance/replica-target.ts';
import { ruleFor } from '../domain/rebalance/rules.ts';
import type { NodeRecord } from '../domain/records.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import type { MovePart } from '../domain/waves/parts.ts';
import type { RebalanceSettings } from '../domain/waves/settings.ts';
import type { Deps, Principal } from '../ports.ts';
import { readCluster } from './cluster-view.ts';
import { shardsOn } from './drain-node.ts';
import { everyRecord } from './every-record.ts';
import { readAllLiveness } from './liveness-view.ts';
import { freeSlot } from './operation-slot.ts';
import { shardReader } from './plan-snapshot.ts';
import { newOperationId, startOperation } from './start-operation.ts';

/** Repair: replicas of nodes that are lost for good, as far as one can tell, are made anew elsewhere. */

export const REPAIR_SLOT = 'repair-shards';
/** Replicas that one plan looks at, and moves that it holds. What lies beyond is planned when these are through. */
const CANDIDATES_MAX = 10_000;
const PARTS_MAX = 1_000;
/** Replicas for which the tick looks for a target before it starts anything. */
const SAMPLED = 50;

/** Nodes fenced for longer than `repair_after`. Left out: under maintenance, and those that a drain empties already. */
export async function lostNodes(deps: Deps, settings: RebalanceSettings): Promise<readonly NodeId[]> {
  const [nodes, leases] = await Promise.all([everyRecord(deps, 'node', {}), readAllLiveness(deps)]);
  const leaseOf = new Map(leases.map((lease) => [lease.nodeId, lease]));
  const nowMs = deps.clock.wallMs();
  return nodes
    .filter((node) => isLost(node, leaseOf.get(node.nodeId) ?? null, settings.repairAfterSeconds * 1000, nowMs))
    .map(({ nodeId }) => nodeId);
}

function isLost(node: NodeRecord, lease: LivenessRecord | null, afterMs: number, nowMs: number): boolean {
  if (node.membership === 'DECOMMISSIONING' || isMaintained(node, nowMs)) return false;
  if (lease === null || lease.incarnation !== null || lease.fencedAtMs === null) return false;
  return nowMs - lease.fencedAtMs >= afterMs;
}

/** What is to be made anew, shards with the fewest copies to spare first; one replica of each shard, since its membership changes one at a time (I-7). */
export async function repairParts(
  deps: Deps,
  settings: RebalanceSettings,
  busy: ReadonlySet<ShardId>,
): Promise<{
  readonly parts: readonly MovePart[];
  readonly shards: readonly ShardDescriptor[];
  readonly held: number;
}> {
  const found = new Map<ShardId, { readonly shard: ShardDescriptor; readonly from: NodeId }>();
  let held = 0;
  for (const node of await lostNodes(deps, settings)) {
    for await (const { shard } of shardsOn(deps, node)) {
      held += 1;
      if (!busy.has(shard.shardId) && !found.has(shard.shardId)) found.set(shard.shardId, { shard, from: node });
      if (held >= CANDIDATES_MAX) break;
    }
  }
  if (found.size === 0) return { parts: [], shards: [], held };
  const view = await readCluster(deps);
  const leases = new Map(view.nodes.flatMap(({ nodeId, lease }) => (lease === null ? [] : [[nodeId, lease] as const])));
  const shardOf = shardReader(view, []);
  const spare = (shard: ShardDescriptor): number => currentInSync(shard, leases).length - shard.minInSync;
  const ranked = [...found.values()]
    .map((one) => ({ ...one, spare: spare(one.shard) }))
    .sort((a, b) => a.spare - b.spare || (a.shard.shardId < b.shard.shardId ? -1 : 1))
    .slice(0, PARTS_MAX);
  const parts = ranked.map(({ shard, from }): MovePart => ({
    kind: 'MOVE',
    shardId: shard.shardId,
    generation: shard.generation,
    from,
    to: null,
    reason: 'REPAIR',
    bytes: shardOf(shard).bytes,
  }));
  return { parts, shards: ranked.map(({ shard }) => shard), held };
}

/** The tick: starts a repair if nodes are lost, nothing holds it back, and at least one of their replicas finds another node. */
export async function repairIfDue(deps: Deps, by: Principal, settings: RebalanceSettings): Promise<void> {
  if (settings.repair === 'off') return;
  if ((await lostNodes(deps, settings)).length === 0) return;
  // While so many nodes are lost that the store or the network is the likelier culprit, nothing is copied (L5).
  const detector = await deps.records.get('detector', {});
  if (detector !== null && detector.value.brake !== null) return;
  const stored = await deps.records.get('operationSlot', { slot: REPAIR_SLOT });
  if ((stored?.value.notBeforeMs ?? 0) > deps.clock.wallMs()) return;
  const slot = await freeSlot(deps, REPAIR_SLOT);
  if (!slot.ok) return;
  const { parts, shards, held } = await repairParts(deps, settings, new Set());
  if (parts.length === 0 || !(await someTarget(deps, parts, shards))) return;
  const operationId = newOperationId(deps);
  await startOperation(deps, by, {
    type: 'repair-shards',
    operationId,
    input: {},
    progress: { total: held, unit: 'replicas' },
    also: { writes: [slot.value.taking(operationId)], audit: [], events: [] },
  });
}

async function someTarget(
  deps: Deps,
  parts: readonly MovePart[],
  shards: readonly ShardDescriptor[],
): Promise<boolean> {
  const view = await readCluster(deps);
  return parts.slice(0, SAMPLED).some(({ from, bytes }, index) => {
    const shard = shards[index];
    if (shard === undefined || shard.state.kind !== 'ACTIVE') return false;
    const keptOn = shard.replicas.map(({ nodeId }) => nodeId).filter((node) => node !== from);
    const rule = ruleFor(view.rules, shard.table);
    return targetForReplica({ bytes, rule, keptOn, replaces: from }, view.nodes).nodeId !== null;
  });
}
