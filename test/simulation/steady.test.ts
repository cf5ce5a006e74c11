import { simulate } from './cluster.ts';
import type { SimulationResult } from './options.ts';
import { summaryOf } from './summary.ts';

/** The pace that `npm run sim` measures: what a minute of it holds, and that it replays. */
const MINUTES = 5;
/** Faults come by chance, some of them find nothing to break: what a minute holds shows over more than one seed. */
const SEEDS = [3, 4, 5];
const RUN_MS_MAX = 60_000;

test(
  'a steady run keeps every invariant, holds what it says of a minute, and gives one trace',
  async () => {
    const run = (seed: number): Promise<SimulationResult> => simulate({ seed, minutes: MINUTES, pace: 'steady' });
    const results: SimulationResult[] = [];
    for (const seed of SEEDS) results.push(await run(seed));
    expect(results.flatMap(({ problems }) => problems)).toEqual([]);
    const [first] = results;
    const again = await run(SEEDS[0]!);
    const replay = { seed: again.seed, equal: again.traceHash === first?.traceHash, virtualMs: again.virtualMs };
    const summary = summaryOf(results, [replay], { realMs: 1_000, cpuMs: 500 });
    expect(summary).toMatchObject({ pass: true, seeds: 3, violations: 0, replayed_seeds: 1, trace_hashes_equal: true });
    expect(summary.client_operations_per_virtual_minute).toBeGreaterThanOrEqual(20);
    expect(summary.faults_per_virtual_minute).toBeGreaterThanOrEqual(1);
    const virtualMs = [...results, again].reduce((sum, result) => sum + result.virtualMs, 0);
    expect(summary.speedup).toBe(Math.round(virtualMs / 1_000));
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
