import { nodeId, shardId } from '../ids.ts';
import type { NodeId, ShardId } from '../ids.ts';
import type { Json } from '../records.ts';
import type { Pace } from './budget.ts';
import { UNTHROTTLED } from './throttle.ts';
import type { Throttle } from './throttle.ts';

/** Where an operation over many shards stands, as its record keeps it. Its parts are records of their own. */
export interface WaveState {
  readonly phase: 'plan' | 'execute' | 'finish';
  /** Number of the next part that is planned; null: not looked up yet. */
  readonly next: number | null;
  /** Parts below this have ended, run, or wait for another try. */
  readonly cursor: number;
  readonly running: readonly RunningPart[];
  /** Parts that could not start and are tried again. */
  readonly waiting: readonly WaitingPart[];
  readonly done: number;
  readonly skipped: number;
  readonly failed: number;
  /** Why parts were skipped or failed, with how often. */
  readonly reasons: Readonly<Record<string, number>>;
  /** Wall clocks: of the last part that was done, and of the last plan. */
  readonly progressMs: number;
  readonly plannedMs: number;
  /** Wall clock of the first look: a deadline counts from there, and anew after a redrive. */
  readonly startedMs: number | null;
  /** How far planning has come, in the operation's own terms; null: it begins anew. */
  readonly goal: Json;
  readonly pace: Pace | null;
  readonly throttle: Throttle;
  /** Execution number in which the running parts were looked at last: a resumed operation resumes its parts. */
  readonly run: number;
  /** While it is undone: parts are being cancelled, or what is to be as before is worked on. */
  readonly undo: 'parts' | 'goal' | null;
}

export interface RunningPart {
  readonly number: number;
  readonly shardId: ShardId;
  readonly sinceMs: number;
  /** Feeds the copy; null for a leader transfer. */
  readonly source: NodeId | null;
}

export interface WaitingPart {
  readonly number: number;
  readonly shardId: ShardId;
  readonly untilMs: number;
  readonly reason: string;
}

const START: WaveState = {
  phase: 'plan',
  next: null,
  cursor: 0,
  running: [],
  waiting: [],
  done: 0,
  skipped: 0,
  failed: 0,
  reasons: {},
  progressMs: 0,
  plannedMs: 0,
  startedMs: null,
  goal: null,
  pace: null,
  throttle: UNTHROTTLED,
  run: 0,
  undo: null,
};

/** What `waveStateJson` wrote; a record without it stands at the start. */
export function waveState(json: Json): WaveState {
  const fields = (json ?? {}) as Partial<WaveState> & Readonly<Record<string, unknown>>;
  const named = <T extends { shardId: string }>(one: T): T & { shardId: ShardId } => ({
    ...one,
    shardId: shardId(one.shardId),
  });
  return {
    ...START,
    ...fields,
    running: (fields.running ?? []).map((one) => ({
      ...named(one),
      source: one.source === null ? null : nodeId(one.source),
    })),
    waiting: (fields.waiting ?? []).map(named),
  };
}

export const waveStateJson = (state: WaveState): Json => state as unknown as Json;

/** Counts one more reason. Codes are few; free text never gets here. */
export const withReason = (reasons: WaveState['reasons'], code: string): WaveState['reasons'] => ({
  ...reasons,
  [code]: (reasons[code] ?? 0) + 1,
});

/** `3 SHARD_BUSY, 1 NO_TARGET`: what was left out, most frequent first. */
export const reasonsInWords = (reasons: WaveState['reasons']): string =>
  Object.entries(reasons)
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
    .map(([code, count]) => `${count} ${code}`)
    .join(', ');
