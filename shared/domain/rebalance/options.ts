/** What a plan aims at, and the limits it keeps. */

export interface Tolerance {
  /** Relative deviation from a node's fair share beyond which balancing starts. */
  readonly start: number;
  /** Relative deviation at which it stops: below `start`, so that a cluster at the edge does not flap. */
  readonly stop: number;
}

export interface PlanOptions {
  readonly replicas: Tolerance;
  readonly bytes: Tolerance;
  readonly load: Tolerance;
  readonly leaders: Tolerance;
  /** Share of a disk that a plan never fills beyond, counting what arrives and not what leaves. */
  readonly diskWatermark: number;
  /** Bytes a node holds on average below which bytes are not balanced: on an empty cluster every shard is an imbalance. */
  readonly bytesPerNodeMin: number;
  /** Requests/s a node serves on average below which load is not balanced: an idle cluster's load is noise. */
  readonly loadPerNodeMin: number;
  /** Longest plan, in replica moves and in leader transfers each. */
  readonly movesMax: number;
  /** Rejections that are listed; all are counted. */
  readonly rejectedMax: number;
}

/** 5 % as in TiKV PD and CockroachDB's replica allocator; half of it to stop at. */
const BAND: Tolerance = { start: 0.05, stop: 0.025 };

export const DEFAULT_PLAN_OPTIONS: PlanOptions = {
  replicas: BAND,
  bytes: BAND,
  load: BAND,
  leaders: BAND,
  // CockroachDB stops placing on a store above 92.5 % and starts to shed at 95 %; TiKV PD's low-space-ratio is 0.8. A disk that
  // fills stops its node, so the lower one.
  diskWatermark: 0.8,
  bytesPerNodeMin: 512 * 1024 * 1024, // one shard of the default size
  loadPerNodeMin: 100, // a node serves thousands
  movesMax: 1_000_000,
  rejectedMax: 200,
};

/** The dimensions that replica moves even out. Leaders are the fourth, evened out by transfers as well. */
export const DIMENSIONS = ['replicas', 'bytes', 'load', 'leaders'] as const;
export type Dimension = (typeof DIMENSIONS)[number];
export const REPLICAS = 0;
export const BYTES = 1;
export const LOAD = 2;
export const LEADERS = 3;
/** Of a vector by dimension. */
export const WIDTH = DIMENSIONS.length;
/** The first so many dimensions decide whether replicas move. */
export const MOVE_WIDTH = 3;
