import type { CallName } from '../../shared/contracts/api/index.ts';

/** A well-formed request for every call. Ids in braces are filled in by `concretePath`. */
export interface Sample {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Readonly<Record<string, unknown>>;
}

const own = { node_id: 'node-101' };
export const samples: Readonly<Record<CallName, Sample>> = {
  registerNode: { body: { node_id: 'node-101', host: '127.0.0.1', port: 7101, zone: 'a' } },
  listNodes: { query: { limit: '10' } },
  getNode: { params: own },
  heartbeats: {
    body: {
      beats: [
        {
          node_id: 'node-1',
          credential: 'token',
          lease_pack: null,
          beat: { node_epoch: 1, incarnation: 'i-1', sequence: 1, attestation: 1 },
        },
      ],
    },
  },
  heartbeat: { params: own, body: { node_epoch: 1, incarnation: 'i-1', sequence: 1, attestation: 1 } },
  releaseNode: { params: own, body: { node_epoch: 1, incarnation: 'i-1' } },
  report: {
    params: own,
    body: {
      node_epoch: 1,
      incarnation: 'i-1',
      reports: [
        { type: 'command_ack', command_id: 'cmd-1', outcome: 'DONE', code: null, message: null, receipt: null },
      ],
    },
  },
  createJoinToken: { body: { lifetime_seconds: 600 } },
  clusterHealth: {},
  clusterEndpoints: {},
  listShards: { query: { limit: '10' } },
  getShard: { params: { shard_id: 'shard-0123456789abcdef' } },
  setLeader: { params: { shard_id: 'shard-0123456789abcdef' }, body: { new_leader_node_id: 'node-102' } },
  moveShard: { params: { shard_id: 'shard-0123456789abcdef' }, body: { target_node_id: 'node-102', dry_run: true } },
  splitShard: { params: { shard_id: 'shard-0123456789abcdef' }, body: { split_key: 'm', dry_run: true } },
  rebalanceShards: { body: { mode: 'all', dry_run: true } },
  getStructureConfig: {},
  setStructureConfig: { body: { split: 'off' } },
  getPlacementConfig: {},
  setPlacementConfig: {
    body: {
      rules: [
        {
          tables: ['cities'],
          required: [{ key: 'disk', values: ['ssd'] }],
          leader_preference: { nodes: [], zones: ['a'] },
        },
      ],
      force: true,
    },
  },
  setNodePlacement: { params: own, body: { labels: { disk: 'ssd' }, capacity_weight: 2 } },
  getRebalanceConfig: {},
  setRebalanceConfig: { body: { tick: 'off', moves_per_hour: 200 } },
  setReplicationConfig: { body: { replication_factor: 3, dry_run: true } },
  setTableReplication: { params: { table: 'cities' }, body: { replication_factor: 3, dry_run: true } },
  decommissionNode: { params: own, query: { dry_run: 'true' } },
  drainNode: { params: own, body: { dry_run: true } },
  cordonNode: { params: own },
  uncordonNode: { params: own },
  maintainNode: { params: own, body: { seconds: 600 } },
  mergeShards: { params: { shard_id: 'shard-0123456789abcdef' }, body: { dry_run: true } },
  createTable: { body: { table: 'cities', key_type: 'string', pre_split: ['m'], replication_factor: 3 } },
  listTables: { query: { limit: '10' } },
  getTable: { params: { table: 'cities' } },
  deleteTable: { params: { table: 'cities' } },
  getRoute: { params: { table: 'cities' }, query: { key: 'k' } },
  routeChanges: { params: { table: 'cities' }, query: { limit: '10' } },
  listDecisions: { query: { limit: '10' } },
  batchRoutes: { params: { table: 'cities' }, body: { keys: ['k'] } },
  listOperations: { query: { limit: '10' } },
  getOperation: { params: { operation_id: 'op-1' } },
  listOperationParts: { params: { operation_id: 'op-1' }, query: { limit: '10' } },
  pauseOperation: { params: { operation_id: 'op-1' } },
  resumeOperation: { params: { operation_id: 'op-1' } },
  cancelOperation: { params: { operation_id: 'op-1' } },
  redriveOperation: { params: { operation_id: 'op-1' } },
  getReplicationConfig: {},
  createToken: { body: { scope: 'data', tables: ['*'], access: 'read' } },
  listAudit: { query: { entity: 'node:node-101' } },
  recoverShards: { body: { dry_run: true } },
  listRecoveries: { query: { limit: '10' } },
  closeRecovery: { params: { shard_id: 'shard-0123456789abcdef' }, body: { note: 'reimported' } },
  healthz: {},
  openapi: {},
};

/** `/tables/{table}` and its parameters -> `/tables/cities`, percent-encoded. */
export const concretePath = (path: string, params: Readonly<Record<string, string>> = {}): string =>
  path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => encodeURIComponent(params[name] ?? ''));

export const queryText = (query: Readonly<Record<string, string>> = {}): string =>
  Object.entries(query)
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .join('&');
