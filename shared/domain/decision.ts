import type { ElectionRefusal, Elected, LivenessView } from './election.ts';
import { electLeader } from './election.ts';
import type { NodeId } from './ids.ts';
import type { LivenessRecord } from './lease.ts';
import type { DecisionRecord, Json } from './records.ts';
import type { Result } from './result.ts';
import type { ShardDescriptor } from './shard.ts';

/** The journal of decisions: what each one was given, whom it rejected and why, what came out. Inputs suffice to decide again. */

/** Decisions are kept this long: milliseconds. */
export const DECISIONS_KEPT_MS = 30 * 24 * 3_600_000;
/** Characters of inputs or outcome, as JSON: a record stays far below an item's 400 KB, and a page of them is quick to read. */
export const DECISION_CHARS_MAX = 16_384;
/** Rejected candidates that a record names. A fleet has thousands; the first ones tell why. */
export const DECISION_REJECTED_MAX = 100;

/** A decision before it has an id, a time and bounds. */
export type Decided = Omit<DecisionRecord, 'decisionId' | 'atMs' | 'principal'>;

/** The record within its bounds: what is too large is left out, and says so. */
export function decisionRecord(
  decided: Decided,
  by: { readonly decisionId: string; readonly principal: string; readonly atMs: number },
): DecisionRecord {
  return {
    ...decided,
    ...by,
    inputs: within(decided.inputs),
    outcome: within(decided.outcome),
    rejected: decided.rejected.slice(0, DECISION_REJECTED_MAX),
  };
}

function within(value: Json): Json {
  const { length } = JSON.stringify(value);
  return length <= DECISION_CHARS_MAX ? value : { left_out: 'TOO_LARGE', characters: length };
}

/** What an election is given. A type, and not an interface, so that it is Json where its parts are. */
export interface ElectionInputs {
  readonly shard: ShardDescriptor;
  /** Liveness of the nodes that hold replicas. */
  readonly liveness: readonly LivenessRecord[];
  readonly leadersOn: readonly { readonly nodeId: NodeId; readonly leaders: number }[];
  /** Numbers that were drawn, in their order. */
  readonly drawn: readonly number[];
  readonly nowMs: number;
}

/** Elects, and tells what the election was given. */
export function electAndNote(
  shard: ShardDescriptor,
  view: LivenessView,
  preference: Parameters<typeof electLeader>[2],
): { readonly elected: Result<Elected, ElectionRefusal>; readonly inputs: ElectionInputs } {
  const drawn: number[] = [];
  const elected = electLeader(shard, view, {
    ...preference,
    random: () => {
      const number = preference.random();
      drawn.push(number);
      return number;
    },
  });
  const nodes = [...new Set(shard.replicas.map((replica) => replica.nodeId))];
  return {
    elected,
    inputs: {
      shard,
      liveness: nodes.flatMap((nodeId) => view.get(nodeId) ?? []),
      leadersOn: nodes.map((nodeId) => ({ nodeId, leaders: preference.leadersOn(nodeId) })),
      drawn,
      nowMs: preference.nowMs,
    },
  };
}

/** Decides again from what the journal kept. */
export function replayElection({
  shard,
  liveness,
  leadersOn,
  drawn,
  nowMs,
}: ElectionInputs): Result<Elected, ElectionRefusal> {
  const leaders = new Map(leadersOn.map((one) => [one.nodeId, one.leaders]));
  let next = 0;
  return electLeader(shard, new Map(liveness.map((record) => [record.nodeId, record])), {
    leadersOn: (nodeId) => leaders.get(nodeId) ?? 0,
    random: () => drawn[next++] ?? 0,
    nowMs,
  });
}
