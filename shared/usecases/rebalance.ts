import type { RebalancePlanBody } from '../contracts/api/rebalance.ts';
import { conflict, invalid } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { tableName } from '../domain/ids.ts';
import type { OperationId, TableName } from '../domain/ids.ts';
import type { RebalancePlan } from '../domain/rebalance/plan.ts';
import type { Json, OperationRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { partJson } from '../domain/waves/parts.ts';
import type { WavePart } from '../domain/waves/parts.ts';
import type { Deps, Principal, UnauditedWrite } from '../ports.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import { everyRecord } from './every-record.ts';
import { freeSlot } from './operation-slot.ts';
import { makePlan, partsOfBody, partsOfPlan, shownPlan } from './rebalance-plan.ts';
import type { RebalanceMode } from './rebalance-plan.ts';
import { freshOperationId, startOperation } from './start-operation.ts';
import { tableNotFound } from './table-lookup.ts';
import type { UseCase } from './types.ts';

/** Even load over the nodes (DESIGN section 8, call 5). */

export const REBALANCE_SLOT = 'rebalance';
/** Shards up to which the plan is made while the caller waits: some seconds of reading. In a larger cluster the operation makes it. */
export const PLANNED_AT_ONCE_SHARDS_MAX = 50_000;
/** Moves kept in the operation's own record, for display; all of them are its parts. */
const PLAN_KEPT_ENTRIES = 200;
const WRITES_MAX = 100;
const TRANSACTIONS_AT_ONCE = 8;

export const rebalanceShards: UseCase<'rebalanceShards'> = async (deps, principal, { body }) => {
  const mode = body.mode ?? 'all';
  const target = await tableOf(deps, mode, body.table);
  if (!target.ok) return target;
  const table = target.value;
  if (body.plan !== undefined && body.dry_run !== true) return applyPlan(deps, principal, { mode, table }, body.plan);
  if ((await shardsOf(deps)) > PLANNED_AT_ONCE_SHARDS_MAX) {
    if (body.dry_run === true) return err(PLAN_TOO_LARGE);
    const started = await startRebalance(deps, principal, { mode, table }, null);
    if (!started.ok) return started;
    const message = `Rebalancing in progress: its plan is being made, see GET /operations/${started.value.operationId}`;
    return ok({
      status: 'initiated',
      rebalanced_shards: 0,
      message,
      operation_id: started.value.operationId,
      plan: null,
    });
  }
  const plan = await makePlan(deps, { mode, table });
  const shown = shownPlan(plan);
  const answer = { status: 'initiated' as const, rebalanced_shards: plan.moves.length + plan.leaderMoves.length };
  if (body.dry_run === true)
    return ok({ ...answer, message: 'Nothing was changed: this is the plan', operation_id: null, plan: shown });
  const kept = shownPlan(plan, PLAN_KEPT_ENTRIES);
  const started = await startRebalance(deps, principal, { mode, table }, { parts: partsOfPlan(plan), shown: kept });
  if (!started.ok) return started;
  return ok({
    ...answer,
    message: 'Rebalancing in progress',
    operation_id: started.value.operationId,
    plan: shown,
  });
};

async function applyPlan(
  deps: Deps,
  principal: Principal,
  request: Wanted,
  plan: RebalancePlanBody,
): ReturnType<typeof rebalanceShards> {
  const parts = partsOfBody(plan);
  const { moves, leader_moves } = plan;
  const shown = { moves: moves.slice(0, PLAN_KEPT_ENTRIES), leader_moves: leader_moves.slice(0, PLAN_KEPT_ENTRIES) };
  const started = await startRebalance(deps, principal, request, { parts, shown }, parts);
  if (!started.ok) return started;
  return ok({
    status: 'initiated',
    rebalanced_shards: parts.length,
    message: 'Rebalancing in progress',
    operation_id: started.value.operationId,
    plan: null,
  });
}

interface Wanted {
  readonly mode: RebalanceMode;
  readonly table: TableName | null;
}

/**
 * Starts a rebalance, of which there is one at a time: REBALANCE_RUNNING otherwise. `planned` null: the operation makes its plan by itself.
 * `basedOn`: refused with PLAN_STALE if one of these shards is at another generation.
 */
export async function startRebalance(
  deps: Deps,
  principal: Principal,
  { mode, table }: Wanted,
  planned: { readonly parts: readonly WavePart[]; readonly shown: Json } | null,
  basedOn: readonly WavePart[] = [],
): Promise<Result<OperationRecord, Fault>> {
  const slot = await freeSlot(deps, REBALANCE_SLOT);
  if (!slot.ok) return err(running(slot.error.holder));
  // Its parts come before it: those of a start whose outcome nobody learned must not be taken for its own.
  const operationId = freshOperationId(deps);
  if (planned !== null) await writePlan(deps, operationId, planned.parts);
  const carried = slot.value.carried as { readonly pace?: Json } | null;
  const started = await startOperation(deps, principal, {
    type: 'rebalance',
    operationId,
    input: { mode, table, planned: planned !== null, pace: carried?.pace ?? null },
    progress: { total: planned?.parts.length ?? 0, unit: 'shards' },
    ...(planned === null ? {} : { plan: planned.shown }),
    basedOn: basedOn.map(({ shardId, generation }) => ({ shardId, generation })),
    also: { writes: [slot.value.taking(operationId)], audit: [], events: [] },
  });
  if (started.ok) return started;
  if (planned !== null) await dropPlan(deps, operationId, planned.parts.length);
  return err(started.error.kind === 'PLAN_STALE' ? started.error.fault : running(null));
}

/** The parts come first: an operation that starts finds its plan complete. */
async function writePlan(deps: Deps, operationId: OperationId, parts: readonly WavePart[]): Promise<void> {
  const updatedAtMs = deps.clock.wallMs();
  const writes = parts.map((part, number): UnauditedWrite => ({
    kind: 'put',
    entity: 'operationPart',
    value: { operationId, number, value: partJson(part), status: 'PLANNED', childId: null, reason: null, updatedAtMs },
    when: [{ kind: 'absent' }],
  }));
  await inBatches(deps, writes);
}

/** Takes back the parts of a start that was refused: they belong to nobody, and nobody would ever remove them. */
async function dropPlan(deps: Deps, operationId: OperationId, parts: number): Promise<void> {
  const writes = Array.from({ length: parts }, (_none, number): UnauditedWrite => ({
    kind: 'delete',
    entity: 'operationPart',
    id: { operationId, number },
    when: [],
  }));
  await inBatches(deps, writes);
}

async function inBatches(deps: Deps, writes: readonly UnauditedWrite[]): Promise<void> {
  const batches = Array.from({ length: Math.ceil(writes.length / WRITES_MAX) }, (_, batch) =>
    writes.slice(batch * WRITES_MAX, (batch + 1) * WRITES_MAX),
  );
  await mapBounded(batches, TRANSACTIONS_AT_ONCE, (batch) => deps.records.observeAll(batch));
}

async function tableOf(
  deps: Deps,
  mode: RebalanceMode,
  name: string | undefined,
): Promise<Result<TableName | null, Fault>> {
  if (name === undefined) {
    if (mode !== 'scatter') return ok(null);
    return err(invalid('INVALID_REQUEST', 'Name the table that shall be scattered.', { field: 'table' }));
  }
  const stored = await deps.records.get('table', { table: tableName(name) });
  return stored === null ? err(tableNotFound(name)) : ok(stored.value.table);
}

const shardsOf = async (deps: Deps): Promise<number> =>
  (await everyRecord(deps, 'table', {})).reduce((sum, table) => sum + table.shardCount, 0);

const running = (holder: OperationId | null): Fault =>
  conflict(
    'REBALANCE_RUNNING',
    `A rebalance is under way${holder === null ? '' : ` (${holder})`}. Wait for its end, or cancel it.`,
    holder === null ? {} : { detail: { operation_id: holder } },
  );

const PLAN_TOO_LARGE = conflict(
  'PLAN_TOO_LARGE',
  `Above ${PLANNED_AT_ONCE_SHARDS_MAX} shards the plan is made by the operation itself. Start it without dry_run, pause it, and look at GET /operations/{id}/parts.`,
);

export type { RebalancePlan };
