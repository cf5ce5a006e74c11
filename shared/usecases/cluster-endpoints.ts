import { ok } from '../domain/result.ts';
import type { UseCase } from './types.ts';

/** Where the hot calls are served, as the deployment says: no read of the store. */
export const clusterEndpoints: UseCase<'clusterEndpoints'> = (deps) => {
  const { heartbeats = null, routes = null } = deps.settings.endpoints ?? {};
  return Promise.resolve(ok({ heartbeats, routes }));
};
