import { nodeEpoch, replicaId, shardId } from '../../shared/domain/ids.ts';
import type { ShardId } from '../../shared/domain/ids.ts';
import type { Json, OperationRecord } from '../../shared/domain/records.ts';
import type { PreparedReplica } from '../../shared/domain/split.ts';
import type { Deps, Stored } from '../../shared/ports.ts';
import { fieldsOf, loadOperation, saveOperation, textOf } from '../step.ts';
import type { StepFunction } from '../step.ts';

/** What a split-shard operation keeps between its steps. */

export type Phase = 'claim' | 'await-key' | 'prepare' | 'apply' | 'finish';
export interface State {
  readonly phase: Phase;
  /** Polls for the key so far. */
  readonly polls: number;
  /** Copies that were asked to prepare, under the node epochs of their entries. */
  readonly asked: readonly PreparedReplica[];
  readonly childShardId: ShardId | null;
}

const FIRST: State = { phase: 'claim', polls: 0, asked: [], childShardId: null };

export function stateOf(operation: OperationRecord): State {
  const fields = fieldsOf(operation.state);
  if (fields['phase'] === undefined) return FIRST;
  const asked = (fields['asked'] as readonly Json[]).map((one) => {
    const { replica_id, node_epoch } = one as { readonly replica_id: string; readonly node_epoch: number };
    return { replicaId: replicaId(replica_id), nodeEpoch: nodeEpoch(node_epoch) };
  });
  const child = fields['child_shard_id'];
  return {
    phase: textOf(fields, 'phase') as Phase,
    polls: Number(fields['polls']),
    asked,
    childShardId: typeof child === 'string' ? shardId(child) : null,
  };
}

export const stateJson = ({ phase, polls, asked, childShardId }: State): Json => ({
  phase,
  polls,
  asked: asked.map((one) => ({ replica_id: one.replicaId, node_epoch: one.nodeEpoch })),
  child_shard_id: childShardId,
});

export interface Work {
  readonly operation: Stored<'operation'>;
  readonly state: State;
  readonly shardId: ShardId;
}

export async function load(deps: Deps, input: Parameters<StepFunction>[1]): Promise<Work> {
  const operation = await loadOperation(deps, input.operationId);
  return {
    operation,
    state: stateOf(operation.value),
    shardId: shardId(textOf(fieldsOf(operation.value.input), 'shard_id')),
  };
}

export const save = (
  deps: Deps,
  { operation, state }: Work,
  patch: Partial<State>,
  waitingOn: string | null,
  entry: { readonly name: string; readonly detail: string },
): Promise<Stored<'operation'>> =>
  saveOperation(deps, operation, { state: stateJson({ ...state, ...patch }), waitingOn }, entry);
