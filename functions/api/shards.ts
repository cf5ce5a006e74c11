import { mergeShards } from '../../shared/usecases/merge-shards.ts';
import { moveShard } from '../../shared/usecases/move-replica.ts';
import { rebalanceShards } from '../../shared/usecases/rebalance.ts';
import { getShard, listShards } from '../../shared/usecases/shards.ts';
import { splitShard } from '../../shared/usecases/split-shard.ts';
import { setLeader } from '../../shared/usecases/transfer-leader.ts';
import { apiHandler } from '../../shared/runtime/api-handler.ts';
import { lambdaRuntime } from '../../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../../shared/runtime/runtime.ts';

/** `/shards`. */
export const create = (source: RuntimeSource) =>
  apiHandler(
    'shards',
    { listShards, getShard, setLeader, moveShard, splitShard, mergeShards, rebalanceShards },
    source,
  );

export const handler = create(lambdaRuntime);
