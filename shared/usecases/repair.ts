import type { LivenessView } from '../domain/election.ts';
import { currentInSync } from '../domain/membership.ts';
import type { NodeId, ShardId } from '../domain/ids.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import { isMaintained } from '../domain/rebalance/node-state.ts';
import { targetForReplica } from '../domain/rebalance/replica-target.ts';
import { ruleFor } from '../domain/rebalance/rules.ts';
import type { Json, NodeRecord, TableRecord } from '../domain/records.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import type { FactorPart, MovePart } from '../domain/waves/parts.ts';
import type { RebalanceSettings } from '../domain/waves/settings.ts';
import type { Deps, Principal } from '../ports.ts';
import { replicationSlots } from './change-replication.ts';
import { readCluster } from './cluster-view.ts';
import { findShards, shardCursorJson, shardCursorOf } from './copy-counts.ts';
import type { RangeLimits, ShardCursor } from './copy-counts.ts';
import { shardsOn } from './drain-node.ts';
import { everyRecord } from './every-record.ts';
import { readAllLiveness } from './liveness-view.ts';
import { freeSlot } from './operation-slot.ts';
import { shardReader } from './plan-snapshot.ts';
import { newOperationId, startOperation } from './start-operation.ts';

/**
 * Repair: replicas of nodes that are lost for good, as far as one can tell, are made anew elsewhere; and shards that were left with another number of
 * copies than their table's replication factor get that many.
 */

export const REPAIR_SLOT = 'repair-shards';
/** Where the count of copies stands, and when it goes on. */
const COUNT_SLOT = 'copy-count';
const COUNT_EVERY_MS = 60_000;
/** Shards whose copies one tick counts: 150 RCU a minute; all of a million in eight hours. */
const COUNTED: RangeLimits = { scannedMax: 2_000, foundMax: 500 };
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

/**
 * Shards of one range that have another number of copies than their table's replication factor, where no change of it is at work: one that gave up,
 * or whose undoing did, leaves such shards. Copies too many are taken away only where all are in sync, so that no removal has to wait;
 * `min_in_sync` follows the copies.
 */
export async function countParts(
  deps: Deps,
  from: ShardCursor | null,
  busy: ReadonlySet<ShardId>,
): Promise<{
  readonly parts: readonly FactorPart[];
  readonly shards: readonly ShardDescriptor[];
  readonly held: number;
  readonly cursor: ShardCursor | null;
}> {
  const [tables, leases] = await Promise.all([everyRecord(deps, 'table', {}), readAllLiveness(deps)]);
  const view: LivenessView = new Map(leases.map((lease) => [lease.nodeId, lease]));
  const isOff = (shard: ShardDescriptor, { replicationFactor }: TableRecord): boolean =>
    shard.state.kind === 'ACTIVE' &&
    (shard.replicas.length < replicationFactor ||
      (shard.replicas.length > replicationFactor && currentInSync(shard, view).length === shard.replicas.length));
  const { found, cursor } = await findShards(deps, tables, from, COUNTED, isOff);
  const changing = await tablesChanging(deps, new Set(found.map(({ table }) => table)));
  const off = found.filter(({ table }) => !changing.has(table));
  const free = off.filter(({ shard }) => !busy.has(shard.shardId));
  const parts = free.map(({ shard: { shardId, generation }, table: { replicationFactor } }): FactorPart => ({
    kind: 'FACTOR',
    shardId,
    generation,
    replicationFactor,
    bytes: 0,
  }));
  return { parts, shards: free.map(({ shard }) => shard), held: off.length, cursor };
}

/** Those of the tables whose factor an operation is changing. */
async function tablesChanging(deps: Deps, tables: ReadonlySet<TableRecord>): Promise<ReadonlySet<TableRecord>> {
  const changing = new Set<TableRecord>();
  for (const table of tables)
    for (const slot of replicationSlots(table)) if (!(await freeSlot(deps, slot)).ok) changing.add(table);
  return changing;
}

/** The tick: starts a repair if something is to be done, nothing holds it back, and at least one part of it finds a node. */
export async function repairIfDue(deps: Deps, by: Principal, settings: RebalanceSettings): Promise<void> {
  if (settings.repair === 'off') return;
  const nowMs = deps.clock.wallMs();
  const count = await deps.records.get('operationSlot', { slot: COUNT_SLOT });
  const counts = (count?.value.notBeforeMs ?? 0) <= nowMs;
  if (!counts && (await lostNodes(deps, settings)).length === 0) return;
  // While so many nodes are lost that the store or the network is the likelier culprit, nothing is copied (L5).
  const detector = await deps.records.get('detector', {});
  if (detector !== null && detector.value.brake !== null) return;
  const stored = await deps.records.get('operationSlot', { slot: REPAIR_SLOT });
  if ((stored?.value.notBeforeMs ?? 0) > nowMs) return;
  const slot = await freeSlot(deps, REPAIR_SLOT);
  if (!slot.ok) return;
  const from = shardCursorOf(count?.value.carried);
  const { parts, shards, held, cursor } = await everyRepair(deps, settings, counts ? from : 'LOST_ONLY', new Set());
  if (counts) {
    const taken = await deps.records.observe({
      kind: 'put',
      entity: 'operationSlot',
      value: {
        slot: COUNT_SLOT,
        operationId: null,
        notBeforeMs: nowMs + COUNT_EVERY_MS,
        carried: shardCursorJson(cursor),
      },
      when: [count === null ? { kind: 'absent' } : { kind: 'revision', is: count.revision }],
    });
    // Another tick was quicker: it does the work.
    if (!taken.ok) return;
  }
  if (parts.length === 0 || !(await someTarget(deps, parts, shards))) return;
  const operationId = newOperationId(deps);
  await startOperation(deps, by, {
    type: 'repair-shards',
    operationId,
    input: { counted_from: counts ? shardCursorJson(from) : 'LOST_ONLY' },
    progress: { total: held, unit: 'replicas' },
    also: { writes: [slot.value.taking(operationId)], audit: [], events: [] },
  });
}

/** The range in which a repair counts copies: from a cursor on; or only lost nodes are looked at. */
export type CountedFrom = ShardCursor | null | 'LOST_ONLY';

export function countedFrom(input: Json): CountedFrom {
  const { counted_from: from } = (input ?? {}) as { readonly [name: string]: Json };
  // A repair of an earlier release says nothing about it.
  return from === undefined || from === 'LOST_ONLY' ? 'LOST_ONLY' : shardCursorOf(from);
}

/** All that a repair has to do: what is lost first, then copies by their number; one part for each shard. */
export async function everyRepair(
  deps: Deps,
  settings: RebalanceSettings,
  from: CountedFrom,
  busy: ReadonlySet<ShardId>,
): Promise<{
  readonly parts: readonly (MovePart | FactorPart)[];
  readonly shards: readonly ShardDescriptor[];
  readonly held: number;
  readonly cursor: ShardCursor | null;
}> {
  const lost = await repairParts(deps, settings, busy);
  if (from === 'LOST_ONLY') return { ...lost, cursor: null };
  const taken = new Set([...busy, ...lost.parts.map(({ shardId }) => shardId)]);
  const counted = await countParts(deps, from, taken);
  return {
    parts: [...lost.parts, ...counted.parts],
    shards: [...lost.shards, ...counted.shards],
    held: lost.held + counted.held,
    cursor: counted.cursor,
  };
}

async function someTarget(
  deps: Deps,
  parts: readonly (MovePart | FactorPart)[],
  shards: readonly ShardDescriptor[],
): Promise<boolean> {
  const view = await readCluster(deps);
  return parts.slice(0, SAMPLED).some((part, index) => {
    const shard = shards[index];
    if (shard === undefined || shard.state.kind !== 'ACTIVE') return false;
    // Copies too many need no node.
    if (part.kind === 'FACTOR' && shard.replicas.length >= part.replicationFactor) return true;
    const replaces = part.kind === 'MOVE' ? part.from : null;
    const keptOn = shard.replicas.map(({ nodeId }) => nodeId).filter((node) => node !== replaces);
    const rule = ruleFor(view.rules, shard.table);
    return targetForReplica({ bytes: part.bytes, rule, keptOn, replaces }, view.nodes).nodeId !== null;
  });
}
