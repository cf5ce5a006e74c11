/**
 * What API Gateway knows of the API: which Lambda entry serves which path, and whether the authorizer runs before it. Methods,
 * parameters and unknown paths below are the entry's business (its router works by the contract). Data only: the stacks
 * and the local front door read it; a test holds it against the contract.
 */
export const API_ENTRIES = [
  'nodes',
  'heartbeat',
  'shards',
  'tables',
  'routes',
  'config',
  'operations',
  'auth',
  'cluster',
  'recovery',
  'meta',
] as const;
export type ApiEntry = (typeof API_ENTRIES)[number];

/** Entries with a Function URL beside the REST API: calls so frequent that the gateway would cost more than all the rest. */
export const HOT_ENTRIES = ['heartbeat', 'routes'] as const satisfies readonly ApiEntry[];

export interface FrontDoorPath {
  /** As API Gateway spells it: literals, `{name}` for one segment, `{proxy+}` for all the rest. */
  readonly path: string;
  readonly entry: ApiEntry;
  readonly authorizer: 'token' | 'none';
}

const behindToken = (entry: ApiEntry, ...paths: readonly string[]): readonly FrontDoorPath[] =>
  paths.map((path) => ({ path, entry, authorizer: 'token' }));

export const frontDoor: readonly FrontDoorPath[] = [
  ...behindToken('nodes', '/cluster/nodes', '/cluster/nodes/{node_id}', '/cluster/nodes/{node_id}/{proxy+}'),
  ...behindToken('nodes', '/cluster/join-tokens'),
  ...behindToken(
    'heartbeat',
    '/cluster/heartbeats',
    '/cluster/nodes/{node_id}/heartbeat',
    '/cluster/nodes/{node_id}/release',
    '/cluster/nodes/{node_id}/reports',
  ),
  ...behindToken('cluster', '/cluster/health', '/cluster/endpoints'),
  ...behindToken('recovery', '/recovery/{proxy+}'),
  ...behindToken('shards', '/shards', '/shards/{proxy+}'),
  ...behindToken('tables', '/tables', '/tables/{proxy+}'),
  ...behindToken('routes', '/routes/{proxy+}'),
  ...behindToken('config', '/config/{proxy+}'),
  ...behindToken('operations', '/operations', '/operations/{proxy+}'),
  ...behindToken('auth', '/auth/{proxy+}', '/audit', '/decisions'),
  // Public calls, and 404 for every path that nobody serves.
  { path: '/{proxy+}', entry: 'meta', authorizer: 'none' },
];
