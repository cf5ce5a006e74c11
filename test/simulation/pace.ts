import type { Tuning } from '../../data-node/replication/tuning.ts';

/**
 * How much happens in a minute of a run. What is interesting in a distributed system lies around its faults; the minutes between them cost
 * as much to simulate. A dense run has many faults on top of one another; a steady one has what a bad hour of a real cluster has, and
 * covers more time and more seeds.
 */
export interface Pace {
  readonly clients: number;
  /** Operations of a client in a row, and milliseconds between two of them at most. */
  readonly burst: number;
  readonly thinkMsMax: number;
  /** Milliseconds between a client's bursts, from and to. */
  readonly restMs: readonly [number, number];
  /** Readers of old leaders; milliseconds between two reads of one: always, and for a while after each change of a leader. */
  readonly readers: number;
  readonly betweenReadsMs: readonly [number, number];
  readonly betweenEagerReadsMs: readonly [number, number];
  /** Milliseconds between the begins of two faults. */
  readonly betweenFaultsMs: readonly [number, number];
  /** Milliseconds between two requests of the operator. */
  readonly betweenRequestsMs: readonly [number, number];
  /** Milliseconds between two reconcile ticks. */
  readonly reconcileMs: number;
  /** What data nodes do at other times than by default. */
  readonly tuning: Partial<Tuning>;
}

export const PACES = {
  /** Some 500 client operations, 18 faults and 45 requests of the operator a minute. */
  dense: {
    clients: 4,
    burst: 1,
    thinkMsMax: 250,
    restMs: [0, 0],
    readers: 5,
    betweenReadsMs: [20, 200],
    betweenEagerReadsMs: [20, 200],
    betweenFaultsMs: [700, 6_000],
    betweenRequestsMs: [200, 2_500],
    reconcileMs: 5_000,
    tuning: {},
  },
  /** Some 25 client operations, 1.2 faults and a request of the operator every two minutes; loops of 1 Hz, ticks as in production. */
  steady: {
    clients: 3,
    burst: 5,
    thinkMsMax: 250,
    restMs: [20_000, 90_000],
    readers: 2,
    betweenReadsMs: [15_000, 45_000],
    betweenEagerReadsMs: [50, 900],
    betweenFaultsMs: [20_000, 80_000],
    betweenRequestsMs: [60_000, 180_000],
    reconcileMs: 60_000,
    // Leaders beat their followers at 1 Hz, as nodes the control plane; by default four times as often. Idle copies are most of a quiet minute.
    tuning: { heartbeatMs: 1_000, ackTimeoutMs: 2_000, tickMs: 1_000 },
  },
} as const satisfies Readonly<Record<string, Pace>>;

export type PaceName = keyof typeof PACES;
