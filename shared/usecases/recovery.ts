import { LIST_LIMIT_DEFAULT, toTimestamp } from '../contracts/primitives.ts';
import { RECOVERY_SHARDS_MAX } from '../contracts/api/recovery.ts';
import type { WireRecoveryPlan } from '../contracts/api/recovery.ts';
import { conflict, invalid } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { nextGeneration, replicaId, shardId, tableName } from '../domain/ids.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import type { ShardRecovery } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { majority } from '../domain/shard.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import { electUnclean, planRecovery, shrinkBelow } from '../domain/unclean-election.ts';
import type { PlanObstacle, RecoveryPlan } from '../domain/unclean-election.ts';
import type { Deps, LocatedShard, Principal, RecordWrite, Stored } from '../ports.ts';
import { examine, findAffected, readLogs } from './affected-shards.ts';
import type { Affected } from './affected-shards.ts';
import { STORE_CONCURRENCY } from './concurrency.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { changeDescriptor, changeLocated, shardNotFound } from './descriptor-change.ts';
import { announceDescriptors, announceLeaders } from './fail-over.ts';
import { readAllLiveness, readLiveness } from './liveness-view.ts';
import { principalName } from './principal.ts';
import { explainObstacle, explainPlan } from './recovery-words.ts';
import { tableNotFound } from './table-lookup.ts';
import type { UseCase } from './types.ts';

/** UNCLEAN elections and forced shrinks by an operator (E4): planned first, applied exactly as planned, closed by hand. */

/** Replica rows that one search looks at: 40 queries and as many batches of reads. */
const SEARCH_POINTERS_MAX = 10_000;

interface RefusedShard {
  readonly shard_id: string;
  readonly table: string;
  readonly code: string;
  readonly explanation: string;
}
type Recovered = {
  readonly shard_id: string;
  readonly leader: string;
  readonly epoch: number;
  readonly generation: number;
};

export const recoverShards: UseCase<'recoverShards'> = async (deps, principal, { body }) => {
  if (body.plans !== undefined && body.dry_run !== true) {
    if (body.acknowledge_data_loss !== true)
      return err(
        conflict(
          'DATA_LOSS_NOT_ACKNOWLEDGED',
          'Acknowledged writes may be lost for good. Read the plans, then send them with acknowledge_data_loss: true.',
        ),
      );
    return ok(await applyPlans(deps, principal, body.plans));
  }
  if (body.plans === undefined && body.dry_run === false)
    return err(invalid('INVALID_REQUEST', 'Send the plans of a dry run, unchanged.', { field: 'plans' }));
  const found = await candidates(deps, body);
  if (!found.ok) return found;
  const plans: WireRecoveryPlan[] = [];
  const refused: RefusedShard[] = [];
  for (const { located, view, logs } of found.value.affected) {
    const { shard } = located;
    const planned = obstructed(shard) ?? planRecovery(shard, view, logs);
    if (planned.ok) plans.push(wirePlan(shard, planned.value));
    else refused.push(refusedShard(shard, planned.error));
  }
  for (const shard of found.value.led) refused.push(refusedShard(shard, { kind: 'LED' }));
  return ok({
    status: 'success' as const,
    message: `${plans.length} shards can be recovered by hand, ${refused.length} not (or not yet). Nothing was changed.`,
    dry_run: true,
    plans,
    refused,
    more: found.value.more,
    recovered: [],
  });
};

async function candidates(
  deps: Deps,
  scope: { readonly shard_id?: string | undefined; readonly table?: string | undefined },
): Promise<Result<{ affected: readonly Affected[]; led: readonly ShardDescriptor[]; more: boolean }, Fault>> {
  if (scope.shard_id !== undefined) {
    const located = await deps.directory.locate(shardId(scope.shard_id));
    if (located === null) return err(shardNotFound(scope.shard_id));
    const affected = await examine(deps, [located]);
    return ok({ affected, led: affected.length === 0 ? [located.shard] : [], more: false });
  }
  const table = scope.table === undefined ? null : tableName(scope.table);
  if (table !== null && (await deps.records.get('table', { table })) === null) return err(tableNotFound(table));
  const bounds = { shards: RECOVERY_SHARDS_MAX, pointers: SEARCH_POINTERS_MAX };
  return ok({ ...(await findAffected(deps, await readAllLiveness(deps), bounds, table)), led: [] });
}

type Obstacle = PlanObstacle | { readonly kind: 'SHARD_BUSY'; readonly operationId: string };

/** Copies of a shard that is being cut or joined are named by the intent: its operation has to be cancelled first. */
function obstructed(shard: ShardDescriptor): { ok: false; error: Obstacle } | null {
  const { state } = shard;
  if (state.kind === 'ACTIVE' || state.kind === 'CHANGING_REPLICAS') return null;
  return err({ kind: 'SHARD_BUSY', operationId: state.operationId });
}

function refusedShard(shard: ShardDescriptor, obstacle: Obstacle | { readonly kind: 'PLAN_STALE' }): RefusedShard {
  const explanation =
    obstacle.kind === 'SHARD_BUSY'
      ? `Operation ${obstacle.operationId} is at work on shard ${shard.shardId}. Cancel it first: POST /operations/${obstacle.operationId}/cancel.`
      : obstacle.kind === 'PLAN_STALE'
        ? `Shard ${shard.shardId} changed since the plan was made. Plan again with dry_run.`
        : explainObstacle(shard, obstacle);
  return { shard_id: shard.shardId, table: shard.table, code: obstacle.kind, explanation };
}

function wirePlan(shard: ShardDescriptor, plan: RecoveryPlan): WireRecoveryPlan {
  const { candidate } = plan;
  return {
    shard_id: plan.shardId,
    table: shard.table,
    kind: plan.kind,
    generation: plan.generation,
    epoch: plan.epoch,
    candidate: { replica_id: candidate.replicaId, node_id: candidate.nodeId },
    log_end: plan.logEnd === null ? null : { epoch: plan.logEnd.epoch, seq: plan.logEnd.seq },
    lost: plan.lost.map((one) => ({ replica_id: one.replicaId, node_id: one.nodeId, reason: one.reason })),
    rejected: plan.rejected.map((one) => ({ replica_id: one.replicaId, node_id: one.nodeId, code: one.code })),
    behind_entries: plan.behindEntries,
    missing_epochs: plan.missingEpochs,
    explanation: explainPlan(plan),
  };
}

async function applyPlans(deps: Deps, principal: Principal, plans: readonly WireRecoveryPlan[]) {
  const recovered: Recovered[] = [];
  const refused: RefusedShard[] = [];
  await mapBounded(plans, STORE_CONCURRENCY, async (plan) => {
    const outcome = await applyPlan(deps, principal, plan);
    if (outcome.ok) recovered.push(outcome.value);
    else refused.push(outcome.error);
  });
  return {
    status: 'success' as const,
    message: `${recovered.length} of ${plans.length} shards were recovered.`,
    dry_run: false,
    plans: [...plans],
    refused,
    more: false,
    recovered,
  };
}

async function applyPlan(
  deps: Deps,
  principal: Principal,
  plan: WireRecoveryPlan,
): Promise<Result<Recovered, RefusedShard>> {
  const located = await deps.directory.locate(shardId(plan.shard_id));
  if (located === null) {
    const { shard_id, table } = plan;
    return err({ shard_id, table, code: 'SHARD_NOT_FOUND', explanation: shardNotFound(shard_id).message });
  }
  const earlier = await deps.records.get('shardRecovery', { shardId: located.shard.shardId });
  const outcome = await changeLocated<Obstacle | { readonly kind: 'PLAN_STALE' }>(
    deps,
    located,
    {
      principal,
      action: plan.kind === 'UNCLEAN' ? 'LEADER_ELECTED_UNCLEAN' : 'QUORUM_SHRUNK',
      detail: { plan },
      also: (next) => [recoveryWrite(deps, principal, { plan, located, next, earlier })],
    },
    (shard) => decide(deps, shard, plan),
  );
  if (!outcome.ok) return err(refusedShard(located.shard, outcome.error));
  if (outcome.value === 'RACED' || outcome.value.kind === 'UNCHANGED')
    return err(refusedShard(located.shard, { kind: 'PLAN_STALE' }));
  const { shard } = outcome.value;
  deps.log.warn('recovered-by-hand', { shardId: shard.shardId, kind: plan.kind, nodeId: shard.leader.nodeId });
  await tell(deps, shard, plan.kind);
  const { epoch, generation, leader } = shard;
  return ok({ shard_id: shard.shardId, leader: leader.nodeId, epoch, generation });
}

/** The plan is made again from what is true now, and has to come out the same. */
async function decide(
  deps: Deps,
  shard: ShardDescriptor,
  plan: WireRecoveryPlan,
): Promise<Result<ShardDescriptor, Obstacle | { readonly kind: 'PLAN_STALE' }>> {
  const busy = obstructed(shard);
  if (busy !== null) return busy;
  const [view, logs] = await Promise.all([
    readLiveness(
      deps,
      shard.replicas.map((replica) => replica.nodeId),
    ),
    readLogs(deps, shard.shardId),
  ]);
  const planned = planRecovery(shard, view, logs);
  if (!planned.ok) return planned;
  const { kind, generation, candidate, logEnd } = planned.value;
  const same =
    kind === plan.kind &&
    generation === plan.generation &&
    candidate.replicaId === plan.candidate.replica_id &&
    (logEnd?.epoch ?? null) === (plan.log_end?.epoch ?? null) &&
    (logEnd?.seq ?? null) === (plan.log_end?.seq ?? null);
  if (!same) return err({ kind: 'PLAN_STALE' });
  if (kind === 'SHRINK') return shrinkBelow(shard, view);
  const newReplicaId = () => replicaId(`r-${deps.random.hex(8)}`);
  return electUnclean(shard, view, logs, newReplicaId, deps.clock.wallMs());
}

function recoveryWrite(
  deps: Deps,
  principal: Principal,
  change: {
    readonly plan: WireRecoveryPlan;
    readonly located: LocatedShard;
    readonly next: ShardDescriptor;
    readonly earlier: Stored<'shardRecovery'> | null;
  },
): RecordWrite {
  const { plan, located, next, earlier } = change;
  const value: ShardRecovery = {
    shardId: next.shardId,
    table: next.table,
    // A loss that was not closed stays one.
    kind: earlier?.value.kind === 'UNCLEAN' ? 'UNCLEAN' : plan.kind,
    minInSync: Math.max(located.shard.minInSync, earlier?.value.minInSync ?? 1),
    generation: next.generation,
    startedBy: principalName(principal),
    atMs: deps.clock.wallMs(),
    plan,
  };
  const when = earlier === null ? ({ kind: 'absent' } as const) : ({ kind: 'revision', is: earlier.revision } as const);
  return { kind: 'put', entity: 'shardRecovery', value, when: [when] };
}

/** The leader learns of its role; nodes that live get the empty copies which it will fill. The leader asks again for those that stay missing. */
async function tell(deps: Deps, shard: ShardDescriptor, kind: RecoveryPlan['kind']): Promise<void> {
  if (kind === 'SHRINK') return announceDescriptors(deps, [shard]);
  await announceLeaders(deps, [shard]);
  const others = shard.replicas.filter((replica) => replica.replicaId !== shard.leader.replicaId);
  const view = await readLiveness(
    deps,
    others.map((replica) => replica.nodeId),
  );
  const alive = others.filter(({ nodeId }) => (view.get(nodeId)?.incarnation ?? null) !== null);
  try {
    await deps.commands.send(
      alive.map(({ nodeId, replicaId: id }) => ({ nodeId, type: 'create_replica', replicaId: id, shard })),
    );
  } catch (error) {
    deps.log.warn('announcement-lost', { type: 'create_replica', shardId: shard.shardId, message: String(error) });
  }
}

/** `min_in_sync` that a recovered shard is to have again: not above what its table's replication factor asks for by now. */
export async function wantedMinInSync(deps: Deps, recovery: ShardRecovery): Promise<number> {
  const table = await deps.records.get('table', { table: recovery.table });
  return table === null ? recovery.minInSync : Math.min(recovery.minInSync, majority(table.value.replicationFactor));
}

export const listRecoveries: UseCase<'listRecoveries'> = async (deps, _principal, { query }) => {
  const after = decodeCursor(query.cursor);
  if (!after.ok) return after;
  const page = await deps.records.query('shardRecovery', {
    partition: {},
    order: 'forward',
    limit: query.limit ?? LIST_LIMIT_DEFAULT,
    ...(after.value === null ? {} : { after: after.value }),
  });
  const shards = await mapBounded(page.items, STORE_CONCURRENCY, async ({ value }) => ({
    shard_id: value.shardId,
    table: value.table,
    kind: value.kind,
    generation: value.generation,
    min_in_sync: {
      present: (await deps.directory.locate(value.shardId))?.shard.minInSync ?? 0,
      wanted: await wantedMinInSync(deps, value),
    },
    started_by: value.startedBy,
    at: toTimestamp(value.atMs),
    plan: value.plan,
  }));
  return ok({ shards, next_cursor: encodeCursor(page.next) });
};

export const closeRecovery: UseCase<'closeRecovery'> = async (deps, principal, { params, body }) => {
  const id = shardId(params.shard_id);
  const recovery = await deps.records.get('shardRecovery', { shardId: id });
  const wanted = recovery === null ? 1 : await wantedMinInSync(deps, recovery.value);
  const outcome = await changeDescriptor<Fault>(
    deps,
    id,
    {
      principal,
      action: 'RECOVERY_CLOSED',
      detail: { note: body.note },
      also: () =>
        recovery === null
          ? []
          : [
              {
                kind: 'delete',
                entity: 'shardRecovery',
                id: { shardId: id },
                when: [{ kind: 'revision', is: recovery.revision }],
              },
            ],
    },
    (shard) => {
      if (!shard.dataLoss && recovery === null)
        return err(
          conflict('NOT_UNDER_RECOVERY', `Shard ${id} is not under recovery. List with GET /recovery/shards.`),
        );
      if (shard.minInSync < wanted)
        return err(
          conflict(
            'NOT_ENOUGH_IN_SYNC',
            `Shard ${id} has not enough copies yet (min_in_sync ${shard.minInSync} of ${wanted}). Wait for repair, or lower the replication factor.`,
          ),
        );
      return ok({ ...shard, generation: nextGeneration(shard.generation), dataLoss: false });
    },
  );
  if (!outcome.ok) return outcome;
  await announceDescriptors(deps, [outcome.value.shard]);
  return ok({ status: 'success', message: `The recovery of shard ${id} is closed.`, shard_id: id });
};
