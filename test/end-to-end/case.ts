import type { CloudDeployment, Deployment, LocalDeployment } from './deployment.ts';
import type { World } from './world.ts';

/**
 * One step of the story that a run tells. Cases run in the order of cases/index.ts and build on those before them. `only`
 * marks what one target alone has; elsewhere it is counted as not applicable.
 */
export type Case =
  | { readonly name: string; readonly only?: never; run(world: World<Deployment>): Promise<void> }
  | { readonly name: string; readonly only: 'local'; run(world: World<LocalDeployment>): Promise<void> }
  | { readonly name: string; readonly only: 'cloud'; run(world: World<CloudDeployment>): Promise<void> };
