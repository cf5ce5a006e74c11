import { lambdaRuntime } from '../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../shared/runtime/runtime.ts';
import { runDetector } from '../shared/usecases/detect-failures.ts';

/** Milliseconds of one detector loop: loops started every 60 s overlap by 55 s, more than the longest lease and its bound (L2). */
export const DETECTOR_LOOP_MS = 115_000;

/** One detector loop. A rule starts one every minute; one acts, the other stands by (DESIGN section 5). */
export const create =
  (source: RuntimeSource) =>
  async (_event?: unknown, options: { readonly signal?: AbortSignal } = {}): Promise<void> => {
    const { deps } = await source();
    await runDetector(deps, {
      runForMs: DETECTOR_LOOP_MS,
      ...(options.signal instanceof AbortSignal ? { signal: options.signal } : {}),
    });
  };

export const handler = create(lambdaRuntime);
