import type { Deps } from '../ports.ts';

/** What an entry runs on: the dependencies of use cases, and how it behaves. */
export interface Runtime {
  readonly deps: Deps;
  /**
   * 'checked': an answer that breaks the contract is a failure (tests, simulation, local runner); 'trusted': it is not looked
   * at again (production: the check costs time, and tests have made it).
   */
  readonly answers: 'checked' | 'trusted';
}

/** Composes the runtime at the first event; later calls give the same one. */
export type RuntimeSource = () => Promise<Runtime>;

/** A source that always gives `runtime`. */
export const fixedRuntime =
  (runtime: Runtime): RuntimeSource =>
  () =>
    Promise.resolve(runtime);
