import type { MortalWorld } from '../../support/mortal-world.ts';
import { openOperations, ticksOff } from '../scenario-kit.ts';
import { everyWay } from '../sagas/enumerate.ts';
import type { Way } from '../sagas/enumerate.ts';
import type { Fault } from '../sagas/faults.ts';
import { Injector } from '../sagas/injector.ts';
import { judge, pictureOf } from '../sagas/judge.ts';
import type { Picture } from '../sagas/judge.ts';
import { followToEnd, tidied } from '../sagas/run.ts';
import type { OperationRecord } from '../../../shared/domain/records.ts';
import type { Story } from './stories.ts';

/** Operations that are turned round while calls of the store go wrong: cancelled half way, and failed, undone and redriven. */

/** Longer than a step may take: Step Functions has run it again meanwhile. */
const STEP_FORGOTTEN_MS = 65_000;

/** Where each way is turned round: a state from which it is undone, with as much behind it as may be. */
const TURNING_POINTS: Readonly<Record<string, string>> = {
  'create-table': 'StartLeaders',
  'delete-table': 'RemoveReplicas',
  'move-replica': 'AwaitInSync',
  'split-shard': 'Commit',
  'split-shard/2': 'Commit',
  'merge-shards': 'Apply',
  'merge-shards/2': 'Seal',
  rebalance: 'Execute',
  'drain-node': 'Finish',
  'drain-node/2': 'Execute',
  'repair-shards': 'Execute',
  'change-replication-factor': 'Execute',
};

function turnedRound({ name, machine, saga }: Way, kind: 'cancelled' | 'redriven'): Story {
  const state = TURNING_POINTS[name];
  if (state === undefined || !machine.states.has(state)) throw new Error(`${name} has no state to be turned round at`);
  const faults: readonly Fault[] = [{ state, kind }];
  // Of the present run: one comes after the other.
  let injector: Injector;
  let before: Picture;
  let end: OperationRecord;
  return {
    name: `${name}, ${kind} at ${state}`,
    around: (world) => {
      injector = new Injector(machine, faults, world);
      return injector.around;
    },
    prepare: async (world) => {
      await ticksOff(world);
      await saga.prepare?.(world);
      before = await pictureOf(world);
    },
    act: async (world) => {
      injector.begin();
      await saga.request(world);
      end = await followToEnd(world, saga, injector);
      await tidied(world);
      // What is still to be done the next tick begins anew.
      await world.until(async () => {
        await saga.tend?.(world);
        return (await openOperations(world)) === 0 && ((await saga.reached?.(world)) ?? true);
      });
      return injector.allFired ? [] : [`${state} was never reached`];
    },
    moveOn: (world) => world.base.deps.timers.sleep(STEP_FORGOTTEN_MS),
    judge: (world: MortalWorld) => judge(world, saga, before, { end, faults, injector }),
  };
}

export const undone = (): readonly Story[] =>
  everyWay().flatMap((way) => [turnedRound(way, 'cancelled'), turnedRound(way, 'redriven')]);
