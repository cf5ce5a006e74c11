import { repairBudgetOf } from '../../shared/domain/waves/settings.ts';
import { leaveInSlot } from '../../shared/usecases/operation-slot.ts';
import { rebalanceSettings } from '../../shared/usecases/rebalance-config.ts';
import { countedFrom, everyRepair, REPAIR_SLOT } from '../../shared/usecases/repair.ts';
import { waveMachine } from '../waves.ts';
import type { WaveGoal } from '../waves.ts';

/**
 * repair-shards: started by the tick for nodes that stayed fenced longer than `repair_after`, and for shards that have another number of copies than
 * their table's factor. It ends as soon as what is left can't be placed; the tick
 * starts the next one when it can. A node that comes back meanwhile keeps what was not replaced yet.
 */

/** After a repair that got nothing done the tick waits this long. */
const REST_MS = 60_000;

const goal: WaveGoal = {
  mode: 'UNTIL_REACHED',
  unit: 'replicas',
  idleMs: () => 0,
  paced: false,
  budget: repairBudgetOf,
  plan: async (deps, { input }, _state, busy) => {
    const { parts, held } = await everyRepair(deps, await rebalanceSettings(deps), countedFrom(input), busy);
    return { parts, goal: null, complete: held === 0, left: held - parts.length, waitingOn: null };
  },
  finish: async (deps, operation, state) => {
    const restMs = state.done > 0 ? 0 : REST_MS;
    const notBeforeMs = deps.clock.wallMs() + restMs;
    await leaveInSlot(deps, REPAIR_SLOT, operation.value.operationId, { notBeforeMs });
    return { kind: 'END' };
  },
};

export const machine = waveMachine(goal);
