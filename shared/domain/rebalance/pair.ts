import type { Dimension } from './options.ts';
import { BYTES, DIMENSIONS, LEADERS, LOAD, REPLICAS, WIDTH } from './options.ts';
import type { PlanState } from './state.ts';

/** Leaders can be evened out by transfers as well, so that they count less in the choice of a replica. */
const LEADER_WEIGHT = 0.3;

/** Moves over which a node's other dimensions are brought in line with its count: few, because what is put off piles up. */
const TARGET_HORIZON = 3;
const SOURCE_HORIZON = 8; // it gives to many, and need not be exact at once

/** A source and a target of moves, and what an ideal replica would weigh. Reused, because millions of candidates are compared. */
export class Pair {
  /** True if the two are further apart than noise, in the dimension that the move is for. */
  differEnough = false;
  private readonly state: PlanState;
  private source = -1;
  private target = -1;
  private driver = -1;
  /** By dimension: what one replica should weigh for the target's, and the source's, dimensions to end together. */
  private readonly wanted = new Float64Array(WIDTH);
  private readonly offered = new Float64Array(WIDTH);
  private readonly atTarget = new Float64Array(WIDTH);
  private readonly atSource = new Float64Array(WIDTH);

  constructor(state: PlanState) {
    this.state = state;
  }

  clear(): void {
    this.source = -1;
  }

  /** `driver` is the one of the two for whose sake the move is sought. Valid until a move is planned. */
  set(source: number, target: number, driver: number): void {
    if (this.source === source && this.target === target && this.driver === driver) return;
    this.source = source;
    this.target = target;
    this.driver = driver;
    const { share, inverse } = this.state;
    const from = source * WIDTH;
    const to = target * WIDTH;
    const targetCount = this.state.deviation(target, REPLICAS);
    const sourceCount = this.state.deviation(source, REPLICAS);
    for (let d = REPLICAS + 1; d < WIDTH; d++) {
      // A mean replica, and a part of what the dimension is behind (ahead of) the count.
      const behind = (targetCount - this.state.deviation(target, d)) / TARGET_HORIZON;
      const ahead = (this.state.deviation(source, d) - sourceCount) / SOURCE_HORIZON;
      this.wanted[d] = (share[to + d] as number) * (1 / (share[to + REPLICAS] as number) + behind);
      this.offered[d] = (share[from + d] as number) * (1 / (share[from + REPLICAS] as number) + ahead);
      this.atTarget[d] = inverse[to + d] as number;
      this.atSource[d] = inverse[from + d] as number;
    }
    this.differEnough = this.apartEnough();
  }

  private apartEnough(): boolean {
    const { state, source, target, driver } = this;
    const dimension = state.extreme(driver, driver === source ? 1 : -1);
    if (dimension === null) return false;
    const gap = state.deviation(source, dimension) - state.deviation(target, dimension);
    return gap >= state.options[DIMENSIONS[dimension] as Dimension].stop;
  }

  /** Squared relative distance of the replica at position `at` of the source's list from the ideal one. */
  misfit(at: number): number {
    const { state } = this;
    return (
      this.distance(BYTES, state.listBytes[at] as number) +
      this.distance(LOAD, state.listLoad[at] as number) +
      LEADER_WEIGHT * this.distance(LEADERS, state.listLeads[at] as number)
    );
  }

  private distance(dimension: number, weight: number): number {
    const missed = (weight - (this.wanted[dimension] as number)) * (this.atTarget[dimension] as number);
    const left = (weight - (this.offered[dimension] as number)) * (this.atSource[dimension] as number);
    return missed * missed + left * left;
  }
}
