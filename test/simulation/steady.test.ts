import { simulate } from './cluster.ts';
import { summaryOf } from './summary.ts';

/** The pace that `npm run sim` measures: what a minute of it holds, and that it replays. */
const MINUTES = 3;
const RUN_MS_MAX = 60_000;

test(
  'a steady run keeps every invariant, holds what it says of a minute, and gives one trace',
  async () => {
    const options = { seed: 3, minutes: MINUTES, pace: 'steady' } as const;
    const result = await simulate(options);
    expect(result.problems).toEqual([]);
    const again = await simulate(options);
    const replay = { seed: 3, equal: again.traceHash === result.traceHash, virtualMs: again.virtualMs };
    const summary = summaryOf([result], [replay], { realMs: 1_000, cpuMs: 500 });
    expect(summary).toMatchObject({ pass: true, seeds: 1, violations: 0, replayed_seeds: 1, trace_hashes_equal: true });
    expect(summary.client_operations_per_virtual_minute).toBeGreaterThanOrEqual(20);
    expect(summary.faults_per_virtual_minute).toBeGreaterThanOrEqual(1);
    expect(summary.speedup).toBe(Math.round((result.virtualMs + again.virtualMs) / 1_000));
  },
  RUN_MS_MAX,
);

test(
  'a data node’s database in memory makes no other run than one in a file',
  async () => {
    const run = { seed: 5, minutes: 0.3 } as const;
    const [inMemory, inFiles] = [
      await simulate({ ...run, medium: 'MEMORY' }),
      await simulate({ ...run, medium: 'FILE' }),
    ];
    expect(inFiles.traceHash).toBe(inMemory.traceHash);
  },
  RUN_MS_MAX,
);
