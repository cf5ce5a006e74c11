import type { NodeId, OperationId, ShardId } from '../domain/ids.ts';
import type { RunningMove } from '../domain/waves/budget.ts';
import type { Deps } from '../ports.ts';
import { membershipInput } from './move-replica.ts';
import { openOperations } from './open-operations.ts';

/** Moves that are under way, whoever asked for them: all of them share the budget, which is far below the bound of open operations. */

export interface MoveUnderWay extends RunningMove {
  readonly operationId: OperationId;
  readonly shardId: ShardId;
  readonly from: NodeId | null;
}

/** A paused move copies nothing, and is left out. */
export async function movesUnderWay(deps: Deps): Promise<readonly MoveUnderWay[]> {
  const moves: MoveUnderWay[] = [];
  for await (const { value: operation } of openOperations(deps)) {
    if (operation.type !== 'move-replica' || operation.status === 'PAUSED') continue;
    const { shardId, add, remove } = membershipInput(operation.input);
    moves.push({ operationId: operation.operationId, shardId, to: add, from: remove[0]?.nodeId ?? null, source: null });
  }
  return moves;
}
