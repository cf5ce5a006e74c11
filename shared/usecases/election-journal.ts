import { electAndNote } from '../domain/decision.ts';
import type { Decided } from '../domain/decision.ts';
import { electFromVoid } from '../domain/election.ts';
import type { Elected, ElectionPreference, ElectionRefusal, LivenessView, VoidProof } from '../domain/election.ts';
import type { Json } from '../domain/records.ts';
import { ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import type { Deps, Principal, RecordWrite } from '../ports.ts';
import { asJson, decisionWrite, noteRefusal } from './decisions.ts';

/** Elections with their entry in the journal: a leader's in the commit that makes it one, a refusal's by itself. */
export interface ElectionJournal {
  elect(
    shard: ShardDescriptor,
    view: LivenessView,
    preference: ElectionPreference,
  ): Result<ShardDescriptor, ElectionRefusal>;
  electFromVoid(
    shard: ShardDescriptor,
    view: LivenessView,
    proof: VoidProof,
    nowMs: number,
  ): Result<ShardDescriptor, ElectionRefusal>;
  /** For the commit of the last election; empty if there was none. */
  readonly writes: () => readonly RecordWrite[];
  /** Notes that the last election found nobody. That a leader was not fenced is no decision. */
  refused(): Promise<void>;
}

export function electionJournal(deps: Deps, principal: Principal): ElectionJournal {
  let last: { readonly decided: Decided; readonly code: string } | null = null;
  const note = (
    shard: ShardDescriptor,
    kind: string,
    inputs: Json,
    elected: Result<Elected, ElectionRefusal>,
  ): Result<ShardDescriptor, ElectionRefusal> => {
    const code = elected.ok ? 'ELECTED' : elected.error.code;
    const rejected = elected.ok
      ? elected.value.rejected
      : elected.error.code === 'NO_CANDIDATE'
        ? elected.error.rejected
        : [];
    last = {
      code,
      decided: {
        entity: `shard:${shard.shardId}`,
        kind,
        code,
        inputs,
        rejected: rejected.map(({ nodeId, code: reason }) => ({ candidate: nodeId, code: reason })),
        outcome: elected.ok
          ? { leader: elected.value.shard.leader.nodeId, epoch: elected.value.shard.epoch }
          : asJson(elected.error),
      },
    };
    return elected.ok ? ok(elected.value.shard) : elected;
  };
  return {
    elect: (shard, view, preference) => {
      const { elected, inputs } = electAndNote(shard, view, preference);
      return note(shard, 'ELECTION', asJson(inputs), elected);
    },
    electFromVoid: (shard, view, proof, nowMs) => {
      const liveness = shard.replicas.flatMap(({ nodeId }) => view.get(nodeId) ?? []);
      const elected = electFromVoid(shard, view, proof, nowMs);
      return note(shard, 'ELECTION_FROM_VOID', asJson({ shard, liveness, proof, nowMs }), elected);
    },
    writes: () => (last === null ? [] : [decisionWrite(deps, principal, last.decided)]),
    refused: async () => {
      if (last !== null && last.code !== 'LEADER_NOT_FENCED' && last.code !== 'ELECTED')
        await noteRefusal(deps, principal, last.decided);
    },
  };
}
