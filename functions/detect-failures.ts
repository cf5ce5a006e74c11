import { lambdaRuntime } from '../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../shared/runtime/runtime.ts';
import { runDetector } from '../shared/usecases/detect-failures.ts';

/** One detector loop. A rule starts one every minute; one acts, the other stands by (DESIGN section 5). */
export const create =
  (source: RuntimeSource) =>
  async (_event?: unknown, options: { readonly signal?: AbortSignal } = {}): Promise<void> => {
    const { deps } = await source();
    // Lambda passes its own context in the second place, which has no signal.
    await runDetector(deps, options.signal instanceof AbortSignal ? { signal: options.signal } : {});
  };

export const handler = create(lambdaRuntime);
