import type { EventPublisher } from '../adapters/event-bridge.ts';
import type { Deps } from '../ports.ts';
import type * as eager from './lambda-deps.ts';

/**
 * `#lambda-deps` outside Lambda bundles: the SDK is loaded only once a Lambda runtime is really composed, so that other users
 * of the same handlers (local runner, simulation, tests) never load it.
 */
const load = (): Promise<typeof eager> => import('./lambda-deps.ts');

export const lambdaDeps = async (): Promise<Deps> => (await load()).lambdaDeps();
export const lambdaEventPublisher = async (): Promise<EventPublisher> => (await load()).lambdaEventPublisher();

({ lambdaDeps, lambdaEventPublisher }) satisfies typeof eager;
