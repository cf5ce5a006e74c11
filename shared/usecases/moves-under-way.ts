import type { NodeId, OperationId, ShardId } from '../domain/ids.ts';
import type { RunningMove } from '../domain/waves/budget.ts';
import type { Deps } from '../ports.ts';
import { membershipInput } from './move-replica.ts';

/** Moves that are under way, whoever asked for them: all of them share the budget. */

const OPEN_PAGE = 500;
/** Open operations that are looked at: 10,000, as the reconciler does. What lies beyond is not counted, and the budget of a cluster is far below. */
const OPEN_PAGES_MAX = 20;

export interface MoveUnderWay extends RunningMove {
  readonly operationId: OperationId;
  readonly shardId: ShardId;
  readonly from: NodeId | null;
}

/** A paused move copies nothing, and is left out. */
export async function movesUnderWay(deps: Deps): Promise<readonly MoveUnderWay[]> {
  const moves: MoveUnderWay[] = [];
  let after: string | undefined;
  for (let page = 0; page < OPEN_PAGES_MAX; page++) {
    const open = await deps.records.query('openOperation', {
      partition: {},
      order: 'forward',
      limit: OPEN_PAGE,
      ...(after === undefined ? {} : { after }),
    });
    const stored = await deps.records.getMany(
      'operation',
      open.items.map(({ value }) => ({ operationId: value.operationId })),
    );
    for (const operation of stored) {
      if (operation?.value.type !== 'move-replica' || operation.value.status === 'PAUSED') continue;
      const { shardId, add, remove } = membershipInput(operation.value.input);
      const from = remove[0]?.nodeId ?? null;
      moves.push({ operationId: operation.value.operationId, shardId, to: add, from, source: null });
    }
    if (open.next === null) break;
    after = open.next;
  }
  return moves;
}
