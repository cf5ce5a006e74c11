import { lowerBound } from '../../shared/domain/rebalance/lower-bound.ts';
import { planRebalance } from '../../shared/domain/rebalance/plan.ts';
import { grownFleet } from './fleet.ts';

/** Run in a process of its own, so that the memory is the planner's: plans once and prints the figures as JSON. See bench/plan.ts. */
const [nodes, added, shards, zones, seed] = process.argv.slice(2).map(Number) as [
  number,
  number,
  number,
  number,
  number,
];
const snapshot = grownFleet({ nodes, added, shards, zones, seed });
const fromMs = performance.now();
const plan = planRebalance(snapshot);
const seconds = (performance.now() - fromMs) / 1_000;
const peakRssMb = process.resourceUsage().maxRSS / 1024; // reported in KiB
const bound = lowerBound(snapshot);
const again = planRebalance(snapshot);
process.stdout.write(
  `${JSON.stringify({
    seconds,
    peakRssMb,
    moves: plan.moves.length,
    leaderMoves: plan.leaderMoves.length,
    lowerBound: bound,
    after: plan.summary.after,
    zoneViolations: plan.summary.zoneViolationsAfter,
    deterministic: JSON.stringify(plan.moves) === JSON.stringify(again.moves),
  })}\n`,
);
