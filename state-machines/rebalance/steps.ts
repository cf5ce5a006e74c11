import { tableName } from '../../shared/domain/ids.ts';
import type { OperationRecord } from '../../shared/domain/records.ts';
import { budgetOf } from '../../shared/domain/waves/settings.ts';
import { waveState } from '../../shared/domain/waves/state.ts';
import type { Deps } from '../../shared/ports.ts';
import { leaveInSlot } from '../../shared/usecases/operation-slot.ts';
import { REBALANCE_SLOT } from '../../shared/usecases/rebalance.ts';
import { makePlan, partsOfPlan } from '../../shared/usecases/rebalance-plan.ts';
import type { RebalanceMode } from '../../shared/usecases/rebalance-plan.ts';
import { fieldsOf, textOf } from '../step.ts';
import { waveMachine } from '../waves.ts';
import { partsTakenOff } from '../waves-parts.ts';
import type { WaveGoal } from '../waves.ts';

/**
 * rebalance: the plan of the request, or one made here; each part is tried once, because the next plan, made from what is then, is the better
 * second try. The pace is left for the next rebalance: the hour does not begin anew.
 */

/** The tick leaves the balance alone for a while after a rebalance: what a plan could not even out, the next one can't either. */
const REST_MS = 300_000;

const leavePace = (deps: Deps, operation: OperationRecord): Promise<void> => {
  const { pace } = waveState(operation.state);
  const carried = pace === null ? (fieldsOf(operation.input)['pace'] ?? null) : { ...pace };
  return leaveInSlot(deps, REBALANCE_SLOT, operation.operationId, {
    notBeforeMs: deps.clock.wallMs() + REST_MS,
    carried: { pace: carried },
  });
};

const goal: WaveGoal = {
  mode: 'ONCE',
  unit: 'shards',
  idleMs: () => null,
  paced: true,
  budget: budgetOf,
  plan: async (deps, operation) => {
    const input = fieldsOf(operation.input);
    const nothing = { parts: [], goal: null, complete: true, left: 0, waitingOn: null };
    // Planned by the request: even already, or redriven, with what its undoing took off the plan.
    if (input['planned'] === true) return { ...nothing, parts: await partsTakenOff(deps, operation.operationId) };
    const table = input['table'] === null ? null : tableName(textOf(input, 'table'));
    const plan = await makePlan(deps, { mode: textOf(input, 'mode') as RebalanceMode, table });
    return { ...nothing, parts: partsOfPlan(plan) };
  },
  finish: async (deps, operation) => {
    await leavePace(deps, operation.value);
    return { kind: 'END' };
  },
  undo: async (deps, operation) => {
    await leavePace(deps, operation);
    return 'DONE';
  },
};

export const machine = waveMachine(goal);
