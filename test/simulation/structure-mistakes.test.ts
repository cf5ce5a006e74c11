import { simulate } from './cluster.ts';
import { STRUCTURE_MISTAKES } from './structure-mistakes.ts';

/** Seeds within which each planted mistake must be found; an operator splits and merges in all of them. */
const SEEDS_MAX = 10;
const MINUTES = 1;

describe('the simulation finds mistakes that are planted in splits and merges', () => {
  test.each(Object.entries(STRUCTURE_MISTAKES))(
    '%s',
    async (_, { mistakes }) => {
      const safety = /^I-/;
      for (let seed = 1; seed <= SEEDS_MAX; seed++) {
        const { problems } = await simulate({ seed, minutes: MINUTES, operated: true, mistakes });
        if (problems.some((problem) => safety.test(problem))) return;
      }
      throw new Error(`not found within ${SEEDS_MAX} seeds`);
    },
    300_000,
  );
});
