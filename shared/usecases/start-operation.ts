import type { Decided } from '../domain/decision.ts';
import { conflict } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import type { Generation, OperationId, ShardId } from '../domain/ids.ts';
import { operationId } from '../domain/ids.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import { executionName } from '../domain/operation.ts';
import type { Json, OperationRecord, OperationType } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Change, Deps, Principal, RecordConflict, RecordWrite } from '../ports.ts';
import { asJson, decisionWrite } from './decisions.ts';
import { principalName } from './principal.ts';

/** The one way to start an operation: its record and what it claims in ONE commit, then its state machine. */

export interface NewOperation {
  readonly type: OperationType;
  /** Drawn by `newOperationId` when other writes name it, or `childOperationId` for a part of another operation: a repeat then finds it. */
  readonly operationId?: OperationId;
  /** The request, validated: the machine's steps read it. */
  readonly input: Json;
  readonly progress: { readonly total: number; readonly unit: string };
  readonly plan?: Json;
  readonly parentId?: OperationId;
  /** Generations that the plan was made from: the start is refused with PLAN_STALE when one has moved. */
  readonly basedOn?: readonly { readonly shardId: ShardId; readonly generation: Generation }[];
  /** What commits with the record: at most 40 writes. */
  readonly also?: Change;
}

export type StartRefusal =
  | { readonly kind: 'PLAN_STALE'; readonly fault: Fault }
  /** A condition of `also.writes` did not hold; `index` counts those writes. */
  | { readonly kind: 'CONFLICT'; readonly conflict: RecordConflict };

/** Generations that are checked inside the commit; with a longer plan they are read before it, and each part checks its own. */
const PLAN_CHECKS_IN_COMMIT_MAX = 40;
const READ_CONCURRENCY = 16;
/** Digits of the time part: base 36 milliseconds stay at 9 digits until the year 5188. */
const TIME_DIGITS = 9;

/** Time-ordered, so that the list of operations is in order of creation. Under an idempotency key it is the request's own, also when that is repeated. */
export const newOperationId = (deps: Deps): OperationId => deps.takeOperationId?.() ?? freshOperationId(deps);

/** One that nothing bears yet, whatever the request: where something of the operation is written before it. */
export const freshOperationId = (deps: Deps): OperationId => operationIdAt(deps.clock.wallMs(), deps.random.hex(6));

/** `unique`: hexadecimal digits. */
export const operationIdAt = (wallMs: number, unique: string): OperationId =>
  operationId(`op-${wallMs.toString(36).padStart(TIME_DIGITS, '0')}-${unique}`);

/**
 * Records the operation and starts it. If the start fails now, the reconciler makes it up: the request is recorded. With an
 * `operationId` that exists already, that operation is the answer and nothing is written.
 */
export async function startOperation(
  deps: Deps,
  principal: Principal,
  request: NewOperation,
): Promise<Result<OperationRecord, StartRefusal>> {
  const checks = await planChecks(deps, request.basedOn ?? []);
  if (!checks.ok) {
    const existing = request.operationId === undefined ? null : await existingOperation(deps, request.operationId);
    return existing === null ? err({ kind: 'PLAN_STALE', fault: checks.error }) : ok(existing);
  }
  const operation = newOperation(deps, principal, request);
  const own: readonly RecordWrite[] = [
    { kind: 'put', entity: 'operation', value: operation, when: [{ kind: 'absent' }] },
    { kind: 'put', entity: 'openOperation', value: { operationId: operation.operationId }, when: [{ kind: 'absent' }] },
    decisionWrite(deps, principal, decisionOf(operation, request.basedOn ?? [])),
  ];
  const also = request.also ?? { writes: [], audit: [], events: [] };
  const committed = await deps.records.commit({
    writes: [...own, ...also.writes, ...checks.value],
    audit: [
      {
        entity: `operation:${operation.operationId}`,
        number: 1,
        action: 'OPERATION_CREATED',
        principal: principalName(principal),
        detail: { type: operation.type, ...(operation.parentId === null ? {} : { parent_id: operation.parentId }) },
      },
      ...also.audit,
    ],
    events: also.events,
  });
  if (!committed.ok) {
    const existing = await existingOperation(deps, operation.operationId);
    if (existing !== null) return ok(existing);
    const index = committed.error.index - own.length;
    if (index >= also.writes.length) return err({ kind: 'PLAN_STALE', fault: planStale(null) });
    return err({ kind: 'CONFLICT', conflict: { ...committed.error, index } });
  }
  await startExecution(deps, operation);
  return ok(operation);
}

/** A shard's own operation stands in the journal of the shard; the generations are those that the plan was made from. */
const decisionOf = (
  { operationId: id, type, input, plan, parentId }: OperationRecord,
  basedOn: NonNullable<NewOperation['basedOn']>,
): Decided => ({
  entity: basedOn.length === 1 ? `shard:${basedOn.map(({ shardId }) => shardId).join()}` : `operation:${id}`,
  kind: 'OPERATION',
  code: 'STARTED',
  inputs: asJson({
    type,
    input,
    plan,
    based_on: basedOn.length > PLAN_CHECKS_IN_COMMIT_MAX ? basedOn.length : basedOn,
  }),
  rejected: [],
  outcome: { operation_id: id, parent_id: parentId },
});

/** Starts the operation's present execution; one that is there already is success. What fails here is left to the reconciler. */
export async function startExecution(
  deps: Deps,
  { type, operationId: id, run }: Pick<OperationRecord, 'type' | 'operationId' | 'run'>,
): Promise<void> {
  try {
    await deps.operations.start(type, id, run);
  } catch (error) {
    deps.log.warn('operation-not-started', {
      operationId: id,
      execution: executionName(id, run),
      message: String(error),
    });
  }
}

async function existingOperation(deps: Deps, id: OperationId): Promise<OperationRecord | null> {
  return (await deps.records.get('operation', { operationId: id }))?.value ?? null;
}

function newOperation(deps: Deps, principal: Principal, request: NewOperation): OperationRecord {
  const nowMs = deps.clock.wallMs();
  return {
    operationId: request.operationId ?? newOperationId(deps),
    type: request.type,
    status: 'PENDING',
    outcome: null,
    progress: { done: 0, total: request.progress.total, unit: request.progress.unit },
    control: 'RUN',
    run: 1,
    runSteps: 0,
    runStartedAtMs: 0,
    cancellable: true,
    undoing: false,
    parentId: request.parentId ?? null,
    plan: request.plan ?? null,
    waitingOn: null,
    input: request.input,
    state: {},
    steps: [],
    createdBy: principalName(principal),
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    executionArn: null,
    error: null,
  };
}

/** Checks of the generations, for the commit; refuses at once what has moved already. */
async function planChecks(
  deps: Deps,
  basedOn: NonNullable<NewOperation['basedOn']>,
): Promise<Result<readonly RecordWrite[], Fault>> {
  const located = await mapBounded(basedOn, READ_CONCURRENCY, ({ shardId }) => deps.directory.locate(shardId));
  const checks: RecordWrite[] = [];
  const checked = new Set<ShardId>();
  for (const [index, { shardId, generation }] of basedOn.entries()) {
    const found = located[index] ?? null;
    if (found === null || found.shard.generation !== generation) return err(planStale(shardId));
    // A plan may give a shard another leader and move a replica of it: a transaction names an item once.
    if (checked.has(shardId)) continue;
    checked.add(shardId);
    checks.push({
      kind: 'check',
      entity: 'shard',
      id: { page: found.page, startKey: found.shard.startKey },
      when: [
        { kind: 'equals', field: 'shardId', value: shardId },
        { kind: 'equals', field: 'generation', value: generation },
      ],
    });
  }
  return ok(checks.length > PLAN_CHECKS_IN_COMMIT_MAX ? [] : checks);
}

const planStale = (shardId: ShardId | null): Fault =>
  conflict(
    'PLAN_STALE',
    `${shardId === null ? 'A shard' : `Shard ${shardId}`} changed since the plan was made. Ask for a new plan (dry_run), and apply that one.`,
    shardId === null ? {} : { detail: { shard_id: shardId } },
  );
