import type { Fault } from '../domain/faults.ts';
import { shardId as toShardId } from '../domain/ids.ts';
import type { NodeId, OperationId } from '../domain/ids.ts';
import { unhealthyReason } from '../domain/membership.ts';
import { childOperationId } from '../domain/operation.ts';
import { targetForReplica } from '../domain/rebalance/replica-target.ts';
import type { TargetCandidate } from '../domain/rebalance/replica-target.ts';
import { allows, ruleFor } from '../domain/rebalance/rules.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { majority, replicaOn } from '../domain/shard.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import type { BudgetRefusal, InFlight } from '../domain/waves/budget.ts';
import type { FactorPart, LeaderPart, MovePart, WavePart } from '../domain/waves/parts.ts';
import { chooseRemovals } from '../domain/waves/removals.ts';
import type { Condition, Deps, LocatedShard, Principal } from '../ports.ts';
import type { ClusterView } from './cluster-view.ts';
import { checkMembershipChange, startMembershipChange } from './move-replica.ts';
import type { MembershipRequest } from './move-replica.ts';
import { startTransfer } from './transfer-leader.ts';

/**
 * Starts one part of an operation over many shards. The part is checked against shard and nodes as they are now (I-12), then against the budget;
 * its membership change is an operation of its own, whose id follows from the part's number, so that a repeated start starts nothing.
 */

export type PartStart =
  /** `source`: the node that feeds the copy; null for a leader transfer. */
  | { readonly kind: 'STARTED'; readonly source: NodeId | null; readonly childId: OperationId | null }
  /** It is as the part wants it already. */
  | { readonly kind: 'DONE' }
  /** Not now: too much is under way. */
  | { readonly kind: 'BUDGET'; readonly limit: BudgetRefusal }
  /** Not as things are; `code` tells why. */
  | { readonly kind: 'REFUSED'; readonly code: string };

export interface Surroundings {
  readonly principal: Principal;
  readonly operationId: OperationId;
  /** What the operation's record must be when a child is started: a step that comes late starts nothing for an operation that went on. */
  readonly when: readonly Condition[];
  readonly view: ClusterView;
  readonly inFlight: InFlight;
  /** Called before the child is started: a crash in between leaves a part that says which child to look for. */
  readonly beforeStart: (number: number, childId: OperationId | null) => Promise<void>;
}

const refused = (code: string): PartStart => ({ kind: 'REFUSED', code });

export async function startPart(deps: Deps, around: Surroundings, number: number, part: WavePart): Promise<PartStart> {
  const located = await deps.directory.locate(toShardId(part.shardId));
  if (part.kind === 'LEADER')
    return located === null ? refused('SHARD_NOT_FOUND') : transfer(deps, around, number, part, located);
  const childId = childOperationId(around.operationId, number);
  if ((await deps.records.get('operation', { operationId: childId })) !== null)
    return { kind: 'STARTED', source: located?.shard.leader.nodeId ?? null, childId };
  if (located === null) return refused('SHARD_NOT_FOUND');
  if (located.shard.state.kind !== 'ACTIVE') return refused('SHARD_BUSY');
  const table = await deps.records.get('table', { table: located.shard.table });
  if (table?.value.tableId !== located.shard.tableId || table.value.state !== 'ACTIVE')
    return refused('TABLE_NOT_ACTIVE');
  // The table's factor was changed since, by whoever brings its shards to it.
  if (part.kind === 'FACTOR' && part.replicationFactor !== table.value.replicationFactor) return refused('PLAN_STALE');
  const wanted =
    part.kind === 'MOVE'
      ? moveRequest(around, part, located.shard, table.value.replicationFactor)
      : factorRequest(around, part, located.shard);
  if (!wanted.ok) return wanted.error;
  return startChange(deps, around, { number, childId, located, request: wanted.value });
}

async function startChange(
  deps: Deps,
  around: Surroundings,
  change: {
    readonly number: number;
    readonly childId: OperationId;
    readonly located: LocatedShard;
    readonly request: MembershipRequest;
  },
): Promise<PartStart> {
  const { located, request, childId, number } = change;
  const { shard } = located;
  // A change that only takes replicas away copies nothing.
  const source = request.add.length === 0 ? null : shard.leader.nodeId;
  const limit = source === null ? null : around.inFlight.refusalOfMove({ to: request.add, source });
  if (limit !== null) return { kind: 'BUDGET', limit };
  const checked = await checkMembershipChange(deps, shard, request);
  if (!checked.ok) return checked.error.code === 'NOTHING_TO_DO' ? { kind: 'DONE' } : refused(checked.error.code);
  await around.beforeStart(number, childId);
  const { principal, operationId: parentId } = around;
  const started = await startMembershipChange(deps, principal, located, {
    input: checked.value,
    operationId: childId,
    parentId,
    checks: [{ kind: 'check', entity: 'operation', id: { operationId: parentId }, when: around.when }],
  });
  // CONFLICT: the shard changed under the start; the part is looked at again.
  if (!started.ok) return refused(started.error.code);
  if (source !== null) around.inFlight.addMove({ to: request.add, source });
  return { kind: 'STARTED', source, childId };
}

type Wanted = Result<MembershipRequest, PartStart>;

function moveRequest(around: Surroundings, part: MovePart, shard: ShardDescriptor, replicationFactor: number): Wanted {
  const leaving = replicaOn(shard, part.from);
  if (leaving === undefined) return err(refused('PLAN_STALE'));
  // A repair is for the lost only: the node may be back.
  const lease = around.view.byId.get(part.from)?.lease ?? null;
  if (part.reason === 'REPAIR' && unhealthyReason(lease) === null) return err(refused('NODE_RETURNED'));
  if (part.to !== null) {
    if (replicaOn(shard, part.to) !== undefined) return err(refused('PLAN_STALE'));
    return ok({ add: [part.to], remove: [leaving.replicaId], replicationFactor });
  }
  const keptOn = shard.replicas.map(({ nodeId }) => nodeId).filter((node) => node !== part.from);
  const target = chooseTarget(around, shard, { keptOn, replaces: part.from, bytes: part.bytes });
  return target.ok ? ok({ add: [target.value], remove: [leaving.replicaId], replicationFactor }) : target;
}

/** Adds replicas, removes some, or moves `min_in_sync` alone. */
function factorRequest(around: Surroundings, part: FactorPart, shard: ShardDescriptor): Wanted {
  const { replicationFactor } = part;
  const missing = replicationFactor - shard.replicas.length;
  if (missing === 0 && shard.minInSync === majority(replicationFactor)) return err({ kind: 'DONE' });
  const add: NodeId[] = [];
  for (let n = 0; n < missing; n++) {
    const keptOn = [...shard.replicas.map(({ nodeId }) => nodeId), ...add];
    const target = chooseTarget(around, shard, { keptOn, replaces: null, bytes: part.bytes });
    if (!target.ok) {
      // As many as there are nodes for now; the rest follows in another part.
      if (add.length > 0) break;
      return target;
    }
    add.push(target.value);
  }
  const rule = ruleFor(around.view.rules, shard.table);
  const holders = new Map(
    [...around.view.byId].map(([id, { zone, replicas, state, lease, labels = {} }]) => [
      id,
      {
        zone,
        replicas,
        alive: unhealthyReason(lease) === null,
        wanted: state === 'AVAILABLE' && allows(rule, labels),
      },
    ]),
  );
  const remove = chooseRemovals(shard, Math.max(0, -missing), holders).map(({ replicaId }) => replicaId);
  return ok({ add, remove, replicationFactor });
}

/** The node for a new replica: the emptiest of those that may take it and have room in the budget. */
function chooseTarget(
  around: Surroundings,
  shard: ShardDescriptor,
  wanted: { readonly keptOn: readonly NodeId[]; readonly replaces: NodeId | null; readonly bytes: number },
): Result<NodeId, PartStart> {
  const { view, inFlight } = around;
  const source = shard.leader.nodeId;
  const candidates: TargetCandidate[] = view.nodes.map((node) => ({
    ...node,
    replicas: node.replicas + inFlight.arrivingAt(node.nodeId),
  }));
  const rule = ruleFor(view.rules, shard.table);
  const best = targetForReplica({ ...wanted, rule }, candidates);
  if (best.nodeId === null) return err(refused(best.rejectedByReason[0]?.reason ?? 'NO_BETTER_TARGET'));
  const limit = inFlight.refusalOfMove({ to: [best.nodeId], source });
  if (limit === null) return ok(best.nodeId);
  if (limit !== 'NODE_IN') return err({ kind: 'BUDGET', limit });
  // The best one is busy receiving: another one of the same quality may be free. The zone rule must still see every node.
  const free = candidates.map((node) =>
    inFlight.refusalOfMove({ to: [node.nodeId], source }) === null || node.state !== 'AVAILABLE'
      ? node
      : { ...node, state: 'CORDONED' as const },
  );
  const other = targetForReplica({ ...wanted, rule }, free);
  const zoneOf = (id: NodeId | null): string | null => (id === null ? null : (view.byId.get(id)?.zone ?? null));
  const inZone = (zone: string | null): number => wanted.keptOn.filter((id) => zoneOf(id) === zone).length;
  // With the busy nodes out of sight a fuller zone may seem the best one left: then the part waits.
  if (other.nodeId === null || inZone(zoneOf(other.nodeId)) > inZone(zoneOf(best.nodeId)))
    return err({ kind: 'BUDGET', limit });
  return ok(other.nodeId);
}

async function transfer(
  deps: Deps,
  around: Surroundings,
  number: number,
  part: LeaderPart,
  { shard }: LocatedShard,
): Promise<PartStart> {
  if (shard.leader.nodeId === part.to) return { kind: 'DONE' };
  if (shard.leader.nodeId !== part.from) return refused('PLAN_STALE');
  if (shard.state.kind !== 'ACTIVE') return refused('SHARD_BUSY');
  const target = replicaOn(shard, part.to);
  if (target === undefined) return refused('PLAN_STALE');
  const limit = around.inFlight.refusalOfTransfer([part.from, part.to]);
  if (limit !== null) return { kind: 'BUDGET', limit };
  await around.beforeStart(number, null);
  const started = await startTransfer(deps, around.principal, shard.shardId, target.replicaId);
  if (!started.ok) return refused((started.error as Pick<Fault, 'code'>).code);
  around.inFlight.addTransfer([part.from, part.to]);
  return started.value.shard.leader.nodeId === part.to
    ? { kind: 'DONE' }
    : { kind: 'STARTED', source: null, childId: null };
}
