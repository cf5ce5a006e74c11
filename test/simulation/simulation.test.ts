import { simulate } from './cluster.ts';

/** Twenty seeds of the whole cluster under faults: production handlers, state machines, data nodes and clients (npm run sim). */
const SEEDS = 20;
/** Minutes of virtual time under faults, for each seed; set-up and recovery come on top. */
const MINUTES = 0.5;
const SEED_MS_MAX = 60_000;

describe('the cluster under faults keeps I-1 to I-8, linearizability and liveness', () => {
  test.each(Array.from({ length: SEEDS }, (_, index) => index + 1))(
    'seed %i',
    async (seed) => {
      const result = await simulate({ seed, minutes: MINUTES });
      // The message tells how to replay: npm run sim -- --seed N --seeds 1 --minutes 0.5 --trace FILE
      expect({ seed, problems: result.problems }).toEqual({ seed, problems: [] });
      expect(result.counts['acknowledged']).toBeGreaterThan(0);
    },
    SEED_MS_MAX,
  );

  test(
    'one seed gives one trace',
    async () => {
      const first = await simulate({ seed: 7, minutes: 0.3 });
      const second = await simulate({ seed: 7, minutes: 0.3 });
      expect(second.traceHash).toBe(first.traceHash);
      expect(second.traceLines).toBe(first.traceLines);
      const other = await simulate({ seed: 8, minutes: 0.3 });
      expect(other.traceHash).not.toBe(first.traceHash);
    },
    3 * SEED_MS_MAX,
  );
});
