import { checkHistory } from '../../support/world-checks.ts';
import type { AroundStep, MortalWorld } from '../../support/mortal-world.ts';
import { everyWay } from '../sagas/enumerate.ts';
import type { Way } from '../sagas/enumerate.ts';
import { openOperations, shardsOf, ticksOff } from '../scenario-kit.ts';
import { lostNodes } from '../wave-scenarios.ts';
import { background } from './background.ts';
import { callStories } from './call-stories.ts';
import type { StoreFaultKind } from './faults.ts';
import { undone } from './undone.ts';

/** What runs while a call of the store goes wrong: every operation of the registry, and every call of the API. */

export interface Story {
  readonly name: string;
  /** Comes before each step of an operation. */
  readonly around?: (world: () => MortalWorld) => AroundStep;
  readonly prepare: (world: MortalWorld) => Promise<void>;
  /** Runs to its end; answers what is wrong with the answers that were given on the way. `fault`: what goes wrong, once; null: nothing. */
  readonly act: (world: MortalWorld, fault: StoreFaultKind | null) => Promise<string[]>;
  /** The world moves on: between a read and what is done with it. */
  readonly moveOn: (world: MortalWorld) => Promise<void>;
  /** What is wrong with what came of it. */
  readonly judge: (world: MortalWorld) => Promise<string[]>;
}

/** Longer than a step may take: Step Functions has run it again meanwhile. */
const STEP_FORGOTTEN_MS = 65_000;

const settled = (
  world: MortalWorld,
  tend?: (world: MortalWorld) => Promise<void>,
  reached?: (world: MortalWorld) => Promise<boolean>,
): Promise<void> =>
  world.until(async () => {
    await tend?.(world);
    return (await openOperations(world)) === 0 && ((await reached?.(world)) ?? true);
  });

const storyOf = ({ name, saga }: Way): Story => ({
  name,
  prepare: async (world) => {
    await ticksOff(world);
    await saga.prepare?.(world);
  },
  act: async (world) => {
    await saga.request(world);
    await settled(world, saga.tend, saga.reached);
    return [];
  },
  moveOn: (world) => world.base.deps.timers.sleep(STEP_FORGOTTEN_MS),
  judge: async (world) => {
    const shards = await shardsOf(world);
    const lost = lostNodes(world);
    return [
      ...checkHistory(world.base.committed, world.receipts),
      ...world.copies.orphans(shards, lost),
      ...world.copies.missing(shards, lost),
      ...(await saga.outcome(world)),
    ];
  },
});

export const stories = (): readonly Story[] => [
  ...everyWay().map(storyOf),
  ...undone(),
  ...background,
  ...callStories(),
];
