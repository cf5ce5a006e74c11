import type { CallInput } from '../../../shared/contracts/api/call.ts';
import type { CallName, Calls } from '../../../shared/contracts/api/index.ts';
import type { Principal } from '../../../shared/ports.ts';
import { ADMIN, nodePrincipal } from '../../support/use-case-world.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';
import { operationsOfType, shardsOf, TABLE } from '../scenario-kit.ts';
import { tokenOf } from './front-door.ts';

/**
 * One request for every call of the API, in a world with three nodes, a fourth that holds nothing, and a table of two shards. A call that is
 * missing here fails a test.
 */
export interface Probe<N extends CallName = CallName> {
  readonly principal: Principal;
  /** What it sends in place of a token of ours. */
  readonly token?: (world: MortalWorld) => string;
  readonly input: (world: MortalWorld) => Promise<CallInput<Calls[N]>>;
}

type Parts = { readonly params?: unknown; readonly query?: unknown; readonly body?: unknown };

export function probe<N extends CallName>(
  input: Parts | ((world: MortalWorld) => Promise<Parts>) = {},
  principal: Principal = ADMIN,
): Probe<N> {
  return {
    principal,
    input: async (world) => {
      const parts = typeof input === 'function' ? await input(world) : input;
      return { params: {}, query: {}, body: undefined, ...parts } as CallInput<Calls[N]>;
    },
  };
}

export const NODE_4 = { params: { node_id: 'node-4' } };
export const ROWS = { params: { table: TABLE } };
/** A beat of its own, beside those that the nodes of the world send: node-4 sends none. */
const BEAT = { node_epoch: 1, incarnation: 'inc-4', sequence: 1, attestation: 1 };

export const firstShard = async (world: MortalWorld) => {
  const [shard] = await shardsOf(world);
  if (shard === undefined) throw new Error('no shard');
  return shard;
};
export const ofFirstShard = async (world: MortalWorld) => ({ params: { shard_id: (await firstShard(world)).shardId } });
const otherNode = async (world: MortalWorld): Promise<string> => {
  const { leader, replicas } = await firstShard(world);
  return replicas.find(({ nodeId }) => nodeId !== leader.nodeId)?.nodeId ?? '';
};
/** The operation that created the table: it has ended. */
const ofOperation = async (world: MortalWorld) => {
  const [operation] = await operationsOfType(world, 'create-table');
  return { params: { operation_id: operation?.operationId ?? '' } };
};

export const probes: { readonly [N in CallName]?: Probe<N> } = {
  registerNode: probe<'registerNode'>({
    body: {
      node_id: 'node-9',
      host: '127.0.0.1',
      port: 7009,
      zone: 'z9',
      incarnation: 'inc-9',
      store_uuid: 'store-9',
    },
  }),
  listNodes: probe<'listNodes'>(),
  getNode: probe<'getNode'>(NODE_4),
  heartbeat: probe<'heartbeat'>({ ...NODE_4, body: BEAT }, nodePrincipal(4)),
  heartbeats: probe<'heartbeats'>(
    { body: { beats: [{ node_id: 'node-4', credential: tokenOf(nodePrincipal(4)), lease_pack: null, beat: BEAT }] } },
    nodePrincipal(1),
  ),
  releaseNode: probe<'releaseNode'>({ ...NODE_4, body: { node_epoch: 1, incarnation: 'inc-4' } }, nodePrincipal(4)),
  report: probe<'report'>(async (world) => {
    const shard = await firstShard(world);
    const copy = shard.replicas.find(({ nodeId }) => nodeId === 'node-2') ?? shard.replicas[0];
    return {
      params: { node_id: 'node-2' },
      body: {
        node_epoch: 1,
        incarnation: 'inc-2',
        reports: [
          {
            type: 'silent_leader',
            shard_id: shard.shardId,
            replica_id: copy?.replicaId,
            epoch: shard.epoch,
            generation: shard.generation,
            store_uuid: 'store-2',
            silent_ms: 60_000,
            log: { last_epoch: 1, last_seq: 1, intact: true },
          },
        ],
      },
    };
  }, nodePrincipal(2)),
  createJoinToken: probe<'createJoinToken'>({ body: { lifetime_seconds: 600 } }),
  decommissionNode: probe<'decommissionNode'>(NODE_4),
  drainNode: probe<'drainNode'>({ ...NODE_4, body: {} }),
  cordonNode: probe<'cordonNode'>(NODE_4),
  uncordonNode: probe<'uncordonNode'>(NODE_4),
  maintainNode: probe<'maintainNode'>({ ...NODE_4, body: { seconds: 60 } }),
  clusterHealth: probe<'clusterHealth'>(),
  clusterEndpoints: probe<'clusterEndpoints'>(),
  listShards: probe<'listShards'>({ query: { table: TABLE, limit: 10 } }),
  getShard: probe<'getShard'>(ofFirstShard),
  setLeader: probe<'setLeader'>(async (world) => ({
    ...(await ofFirstShard(world)),
    body: { new_leader_node_id: await otherNode(world) },
  })),
  moveShard: probe<'moveShard'>(async (world) => ({
    ...(await ofFirstShard(world)),
    body: { target_node_id: 'node-4' },
  })),
  splitShard: probe<'splitShard'>(async (world) => ({
    ...(await ofFirstShard(world)),
    body: { split_key: 'd' },
  })),
  mergeShards: probe<'mergeShards'>(async (world) => ({
    ...(await ofFirstShard(world)),
    body: { with_shard_id: (await shardsOf(world))[1]?.shardId ?? 'none' },
  })),
  rebalanceShards: probe<'rebalanceShards'>({ body: {} }),
  getRebalanceConfig: probe<'getRebalanceConfig'>(),
  setRebalanceConfig: probe<'setRebalanceConfig'>({ body: { moves_per_hour: 50 } }),
  getStructureConfig: probe<'getStructureConfig'>(),
  setStructureConfig: probe<'setStructureConfig'>({ body: { splits_max: 2 } }),
  getPlacementConfig: probe<'getPlacementConfig'>(),
  setPlacementConfig: probe<'setPlacementConfig'>({
    body: { rules: [{ tables: [TABLE], required: [], forbidden: [], leader_preference: null }], force: true },
  }),
  setNodePlacement: probe<'setNodePlacement'>({ ...NODE_4, body: { capacity_weight: 2 } }),
  getReplicationConfig: probe<'getReplicationConfig'>(),
  setReplicationConfig: probe<'setReplicationConfig'>({ body: { replication_factor: 2 } }),
  setTableReplication: probe<'setTableReplication'>({ ...ROWS, body: { replication_factor: 2 } }),
  createTable: probe<'createTable'>({ body: { table: 'other', replication_factor: 1 } }),
  listTables: probe<'listTables'>(),
  getTable: probe<'getTable'>(ROWS),
  deleteTable: probe<'deleteTable'>(ROWS),
  getRoute: probe<'getRoute'>({ ...ROWS, query: { key: 'k' } }),
  batchRoutes: probe<'batchRoutes'>({ ...ROWS, body: { keys: ['a', 'k'] } }),
  routeChanges: probe<'routeChanges'>({ ...ROWS }),
  listDecisions: probe<'listDecisions'>(),
  listAudit: probe<'listAudit'>({ query: { entity: 'config:rebalance' } }),
  listOperations: probe<'listOperations'>({ query: { type: 'create-table' } }),
  getOperation: probe<'getOperation'>(ofOperation),
  listOperationParts: probe<'listOperationParts'>(ofOperation),
  pauseOperation: probe<'pauseOperation'>(ofOperation),
  resumeOperation: probe<'resumeOperation'>(ofOperation),
  cancelOperation: probe<'cancelOperation'>(ofOperation),
  redriveOperation: probe<'redriveOperation'>(ofOperation),
  recoverShards: probe<'recoverShards'>({ body: { table: TABLE, dry_run: true } }),
  listRecoveries: probe<'listRecoveries'>(),
  closeRecovery: probe<'closeRecovery'>(async (world) => ({
    ...(await ofFirstShard(world)),
    body: { note: 'none was lost' },
  })),
  createToken: probe<'createToken'>({ body: { scope: 'data', tables: ['*'], access: 'read' } }),
  healthz: probe<'healthz'>(),
  openapi: probe<'openapi'>(),
};
