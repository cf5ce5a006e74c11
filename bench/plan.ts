import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as z from 'zod';

/**
 * Plans a rebalance of 10,000 nodes and 1,000,000 shards in three zones after a tenth of the nodes were added, in a process of its
 * own. Time covers the plan from a finished snapshot; memory covers snapshot and plan.
 */
export interface PlanFigures {
  readonly pass: boolean;
  readonly seconds: number;
  readonly peak_rss_mb: number;
  readonly moves: number;
  readonly leader_moves: number;
  /** Fewest moves that bring every node inside the band of 5 %; see lower-bound.ts. */
  readonly lower_bound: number;
  readonly moves_over_lower_bound: number;
  /** Of replicas, bytes and load, the fullest node against its fair share. */
  readonly max_over_mean: number;
  readonly leaders_max_over_mean: number;
  readonly zone_violations: number;
  /** True if a second run gave the same plan. */
  readonly deterministic: boolean;
}

const FLEET = { nodes: 10_000, added: 1_000, shards: 1_000_000, zones: 3, seed: 1 };
const SECONDS_MAX = 3;
const RSS_MB_MAX = 1_536;
const OVER_LOWER_BOUND_MAX = 1.05;
const OVER_MEAN_MAX = 1.05;
const MEASURE_MS_MAX = 300_000;

const level = z.object({ most: z.number() });
const measurementSchema = z.object({
  seconds: z.number(),
  peakRssMb: z.number(),
  moves: z.number(),
  leaderMoves: z.number(),
  lowerBound: z.number(),
  after: z.object({ replicas: level, bytes: level, load: level, leaders: level }),
  zoneViolations: z.number(),
  deterministic: z.boolean(),
});

export async function runPlan(say: (line: string) => void): Promise<PlanFigures> {
  const { nodes, added, shards, zones, seed } = FLEET;
  say(`${shards} shards on ${nodes} nodes, ${added} of them new`);
  const script = join(import.meta.dirname, 'plan', 'measure.ts');
  const args = [script, ...[nodes, added, shards, zones, seed].map(String)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: MEASURE_MS_MAX });
  const measured = measurementSchema.parse(JSON.parse(stdout));
  const { after } = measured;
  const maxOverMean = Math.max(after.replicas.most, after.bytes.most, after.load.most);
  const overLowerBound = measured.moves / measured.lowerBound;
  return {
    pass:
      measured.seconds <= SECONDS_MAX &&
      measured.peakRssMb <= RSS_MB_MAX &&
      overLowerBound <= OVER_LOWER_BOUND_MAX &&
      maxOverMean <= OVER_MEAN_MAX &&
      measured.zoneViolations === 0 &&
      measured.deterministic,
    seconds: round(measured.seconds),
    peak_rss_mb: Math.ceil(measured.peakRssMb),
    moves: measured.moves,
    leader_moves: measured.leaderMoves,
    lower_bound: measured.lowerBound,
    moves_over_lower_bound: round(overLowerBound),
    max_over_mean: round(maxOverMean),
    leaders_max_over_mean: round(after.leaders.most),
    zone_violations: measured.zoneViolations,
    deterministic: measured.deterministic,
  };
}

const round = (value: number): number => Math.round(value * 10_000) / 10_000;
