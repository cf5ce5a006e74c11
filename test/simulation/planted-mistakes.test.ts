import { simulate } from './cluster.ts';
import { PLANTED_MISTAKES } from './mistakes.ts';

/** Seeds within which each planted mistake must be found. */
const SEEDS_MAX = 10;
const MINUTES = 1;

describe('the simulation finds planted mistakes', () => {
  test.each(Object.entries(PLANTED_MISTAKES))(
    '%s',
    async (_, { mistakes }) => {
      const safety = /^I-/;
      for (let seed = 1; seed <= SEEDS_MAX; seed++) {
        const { problems } = await simulate({ seed, minutes: MINUTES, mistakes });
        if (problems.some((problem) => safety.test(problem))) return;
      }
      throw new Error(`not found within ${SEEDS_MAX} seeds`);
    },
    300_000,
  );
});
