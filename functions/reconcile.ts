import { lambdaRuntime } from '../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../shared/runtime/runtime.ts';
import { reconcileOnce } from '../shared/usecases/reconcile.ts';

/** One reconcile tick: leaderless shards, open intents, open fences. */
export const create = (source: RuntimeSource) => async (): Promise<void> => {
  const { deps } = await source();
  await reconcileOnce(deps);
};

export const handler = create(lambdaRuntime);
