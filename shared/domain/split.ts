import type { EncodedKey, Epoch, Generation, NodeEpoch, NodeId, OperationId } from './ids.ts';
import { nextGeneration } from './ids.ts';
import { compareKeys } from './keys.ts';
import { err, ok } from './result.ts';
import type { Result } from './result.ts';
import type { ShardDescriptor } from './shard.ts';

/** Split of a shard (S1): intent in the descriptor, key by the leader, fork prepared on every IN_SYNC replica, one commit. */

/** A leader's choice of where its SPLITTING shard is divided. Null: no key would leave rows on both sides. */
export interface SplitKeyProposal {
  readonly proposer: { readonly nodeId: NodeId; readonly nodeEpoch: NodeEpoch };
  readonly epoch: Epoch;
  readonly generation: Generation;
  readonly operationId: OperationId;
  readonly splitKey: EncodedKey | null;
}

export type SplitKeyRefusal =
  | { readonly code: 'EPOCH_STALE' }
  | { readonly code: 'GENERATION_STALE' }
  | { readonly code: 'NOT_LEADER' }
  /** The shard is not SPLITTING for the operation, or its key is chosen already. */
  | { readonly code: 'NO_SPLIT_ASKED' }
  | { readonly code: 'KEY_OUT_OF_RANGE' };

/** True if `key` divides the shard: above its start and below its end. */
export const divides = (shard: ShardDescriptor, key: EncodedKey): boolean =>
  compareKeys(key, shard.startKey) > 0 && (shard.endKey === null || compareKeys(key, shard.endKey) < 0);

/**
 * Takes the leader's key into the intent. With a null key the shard goes back to ACTIVE: the operation finds that it lost the
 * shard, and ends. Conditions as for every proposal of a leader: its epoch, node epoch and generation are the descriptor's.
 */
export function decideSplitKey(
  shard: ShardDescriptor,
  proposal: SplitKeyProposal,
): Result<ShardDescriptor | null, SplitKeyRefusal> {
  if (proposal.epoch !== shard.epoch) return err({ code: 'EPOCH_STALE' });
  if (shard.leader.nodeId !== proposal.proposer.nodeId || shard.leader.nodeEpoch !== proposal.proposer.nodeEpoch)
    return err({ code: 'NOT_LEADER' });
  const { state } = shard;
  if (state.kind !== 'SPLITTING' || state.operationId !== proposal.operationId) return err({ code: 'NO_SPLIT_ASKED' });
  if (state.splitKey !== null) return state.splitKey === proposal.splitKey ? ok(null) : err({ code: 'NO_SPLIT_ASKED' });
  if (proposal.generation !== shard.generation) return err({ code: 'GENERATION_STALE' });
  const generation = nextGeneration(shard.generation);
  if (proposal.splitKey === null) return ok({ ...shard, generation, state: { kind: 'ACTIVE' } });
  if (!divides(shard, proposal.splitKey)) return err({ code: 'KEY_OUT_OF_RANGE' });
  return ok({ ...shard, generation, state: { ...state, splitKey: proposal.splitKey } });
}
