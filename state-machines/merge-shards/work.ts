import { shardId, tableName } from '../../shared/domain/ids.ts';
import type { ShardId, TableName } from '../../shared/domain/ids.ts';
import { hasEnded } from '../../shared/domain/operation.ts';
import type { Json, OperationRecord } from '../../shared/domain/records.ts';
import { ownerOf } from '../../shared/domain/shard.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { Deps, LocatedShard, Stored } from '../../shared/ports.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { DONE, fieldsOf, loadOperation, saveOperation, textOf } from '../step.ts';
import type { StepInput, StepResult } from '../step.ts';

/** What a merge-shards operation keeps between its steps, and the two shards as they are now. */

export const BY = SYSTEM('operation');

/** Each is the tag of the step that works on it. */
export const PHASES = ['co-locate', 'claim', 'lead', 'seal', 'apply'] as const;
export type Phase = (typeof PHASES)[number];

export interface State {
  readonly phase: Phase;
  /** Polls of the present phase. */
  readonly polls: number;
  /** Moves started so far: number of the newest child. */
  readonly moves: number;
  /** True from before the first seal was sent on: a leader may have promised not to lead at its epoch any more. */
  readonly sealing: boolean;
  /** Seals that were refused. */
  readonly refusals: number;
  /** Times that the seals were waited for, as the push of one was not answered. */
  readonly awaits: number;
  readonly committed: boolean;
}

const FIRST: State = {
  phase: 'co-locate',
  polls: 0,
  moves: 0,
  sealing: false,
  refusals: 0,
  awaits: 0,
  committed: false,
};

export function stateOf(operation: Pick<OperationRecord, 'state'>): State {
  const fields = fieldsOf(operation.state);
  const phase = PHASES.find((known) => known === fields['phase']);
  if (phase === undefined) return FIRST;
  return {
    phase,
    polls: Number(fields['polls']),
    moves: Number(fields['moves']),
    sealing: fields['sealing'] === true,
    refusals: Number(fields['refusals']),
    awaits: Number(fields['awaits'] ?? 0),
    committed: fields['committed'] === true,
  };
}

export const stateJson = (state: State): Json => ({ ...state });

export interface Work {
  readonly operation: Stored<'operation'>;
  readonly state: State;
  readonly leftId: ShardId;
  readonly rightId: ShardId;
  readonly table: TableName;
}

export async function load(deps: Deps, input: StepInput): Promise<Work> {
  const operation = await loadOperation(deps, input.operationId);
  const fields = fieldsOf(operation.value.input);
  return {
    operation,
    state: stateOf(operation.value),
    leftId: shardId(textOf(fields, 'shard_id')),
    rightId: shardId(textOf(fields, 'with_shard_id')),
    table: tableName(textOf(fields, 'table')),
  };
}

export interface Sides {
  readonly left: LocatedShard;
  readonly right: LocatedShard;
}

/** Both shards while they are neighbours; null once one is gone or has other bounds. */
export async function sidesOf(deps: Deps, work: Work): Promise<Sides | null> {
  const [left, right] = await Promise.all([deps.directory.locate(work.leftId), deps.directory.locate(work.rightId)]);
  if (left === null || right === null) return null;
  const meet = left.shard.tableId === right.shard.tableId && left.shard.endKey === right.shard.startKey;
  return meet ? { left, right } : null;
}

export const ownsSide = (work: Work, shard: ShardDescriptor): boolean =>
  shard.state.kind === 'MERGING' && ownerOf(shard) === work.operation.value.operationId;

/** Where an execution goes that runs a step out of its phase: on, as its Choice knows. */
const WAY_ON: Readonly<Record<Phase, string>> = {
  'co-locate': 'claim',
  claim: 'lead',
  lead: 'seal',
  seal: 'apply',
  apply: 'acknowledged',
};

/**
 * The answer of a step that is not at hand: invoked twice, or so late that the operation is in another phase or being undone. It has no
 * effect any more. Null: it is at hand.
 */
export function notAtHand({ operation, state }: Work, phase: Phase): StepResult | null {
  if (hasEnded(operation.value)) return DONE;
  if (operation.value.undoing && !state.committed) return { next: 'roll-back' };
  return state.phase === phase ? null : { next: WAY_ON[phase] };
}

/** The next step; the count of polls begins anew with each phase. */
export async function goTo(deps: Deps, work: Work, phase: Phase, detail: string): Promise<StepResult> {
  await saveOperation(
    deps,
    work.operation,
    { state: stateJson({ ...work.state, phase, polls: 0 }), waitingOn: null },
    { name: work.state.phase, detail },
  );
  return { next: phase };
}

/** The same step again after a pause. */
export async function again(
  deps: Deps,
  work: Work,
  wait: { readonly seconds: number; readonly on: string; readonly patch?: Partial<State> },
): Promise<StepResult> {
  const state = { ...work.state, ...wait.patch, polls: work.state.polls + 1 };
  await saveOperation(
    deps,
    work.operation,
    { state: stateJson(state), waitingOn: wait.on },
    { name: work.state.phase, detail: wait.on },
  );
  return { next: work.state.phase, wait_seconds: wait.seconds };
}

/** Ends in vain: the reason is noted, and what stands is undone. */
export async function giveUp(deps: Deps, work: Work, code: string, message: string): Promise<StepResult> {
  await saveOperation(deps, work.operation, { error: { code, message } }, { name: 'give-up', detail: code });
  return { next: 'roll-back' };
}

export const partsChanged = (deps: Deps, work: Work): Promise<StepResult> =>
  giveUp(
    deps,
    work,
    'PARTS_CHANGED',
    `Shards ${work.leftId} and ${work.rightId} are no neighbours any more, or another operation took one. Look at the table's shards and decide anew.`,
  );
