import type { CallInput } from '../../../shared/contracts/api/call.ts';
import type { CallName, Calls } from '../../../shared/contracts/api/index.ts';
import type { Principal } from '../../../shared/ports.ts';
import { healthz, openapi } from '../../../shared/runtime/describe-api.ts';
import { listAudit } from '../../../shared/usecases/audit.ts';
import { setReplicationConfig, setTableReplication } from '../../../shared/usecases/change-replication.ts';
import { clusterEndpoints } from '../../../shared/usecases/cluster-endpoints.ts';
import { clusterHealth } from '../../../shared/usecases/cluster-health.ts';
import { getReplicationConfig } from '../../../shared/usecases/config.ts';
import { listDecisions } from '../../../shared/usecases/decisions.ts';
import { decommissionNode, drainNode } from '../../../shared/usecases/drain-node.ts';
import { heartbeat, releaseNode } from '../../../shared/usecases/heartbeat.ts';
import { heartbeats } from '../../../shared/usecases/heartbeats.ts';
import { mergeShards } from '../../../shared/usecases/merge-shards.ts';
import { moveShard } from '../../../shared/usecases/move-replica.ts';
import { cordonNode, maintainNode, uncordonNode } from '../../../shared/usecases/node-care.ts';
import { createJoinToken, getNode, listNodes, registerNode } from '../../../shared/usecases/nodes.ts';
import {
  cancelOperation,
  getOperation,
  listOperationParts,
  listOperations,
  pauseOperation,
  redriveOperation,
  resumeOperation,
} from '../../../shared/usecases/operations.ts';
import { setNodePlacement } from '../../../shared/usecases/node-placement.ts';
import { getPlacementConfig, setPlacementConfig } from '../../../shared/usecases/placement-config.ts';
import { getRebalanceConfig, setRebalanceConfig } from '../../../shared/usecases/rebalance-config.ts';
import { rebalanceShards } from '../../../shared/usecases/rebalance.ts';
import { closeRecovery, listRecoveries, recoverShards } from '../../../shared/usecases/recovery.ts';
import { report } from '../../../shared/usecases/reports.ts';
import { routeChanges } from '../../../shared/usecases/route-changes.ts';
import { batchRoutes, getRoute } from '../../../shared/usecases/routes.ts';
import { getShard, listShards } from '../../../shared/usecases/shards.ts';
import { splitShard } from '../../../shared/usecases/split-shard.ts';
import { getStructureConfig, setStructureConfig } from '../../../shared/usecases/structure-config.ts';
import { createTable, deleteTable, getTable, listTables } from '../../../shared/usecases/tables.ts';
import { createToken } from '../../../shared/usecases/tokens.ts';
import { setLeader } from '../../../shared/usecases/transfer-leader.ts';
import type { UseCase } from '../../../shared/usecases/types.ts';
import { ADMIN, nodePrincipal } from '../../support/use-case-world.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';
import { operationsOfType, shardsOf, TABLE } from '../scenario-kit.ts';

/**
 * One request for every call of the API, in a world with three nodes, a fourth that holds nothing, and a table of two shards. A call that is
 * missing here fails a test.
 */
export interface Probe<N extends CallName = CallName> {
  readonly useCase: UseCase<N>;
  readonly principal: Principal;
  readonly input: (world: MortalWorld) => Promise<CallInput<Calls[N]>>;
}

type Parts = { readonly params?: unknown; readonly query?: unknown; readonly body?: unknown };

function probe<N extends CallName>(
  useCase: UseCase<N>,
  input: Parts | ((world: MortalWorld) => Promise<Parts>) = {},
  principal: Principal = ADMIN,
): Probe<N> {
  return {
    useCase,
    principal,
    input: async (world) => {
      const parts = typeof input === 'function' ? await input(world) : input;
      return { params: {}, query: {}, body: undefined, ...parts } as CallInput<Calls[N]>;
    },
  };
}

const NODE_4 = { params: { node_id: 'node-4' } };
const ROWS = { params: { table: TABLE } };
/** A beat of its own, beside those that the nodes of the world send: node-4 sends none. */
const BEAT = { node_epoch: 1, incarnation: 'inc-4', sequence: 1, attestation: 1 };

const firstShard = async (world: MortalWorld) => {
  const [shard] = await shardsOf(world);
  if (shard === undefined) throw new Error('no shard');
  return shard;
};
const ofFirstShard = async (world: MortalWorld) => ({ params: { shard_id: (await firstShard(world)).shardId } });
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
  registerNode: probe<'registerNode'>(registerNode, {
    body: {
      node_id: 'node-9',
      host: '127.0.0.1',
      port: 7009,
      zone: 'z9',
      incarnation: 'inc-9',
      store_uuid: 'store-9',
    },
  }),
  listNodes: probe<'listNodes'>(listNodes),
  getNode: probe<'getNode'>(getNode, NODE_4),
  heartbeat: probe<'heartbeat'>(heartbeat, { ...NODE_4, body: BEAT }, nodePrincipal(4)),
  heartbeats: probe<'heartbeats'>(
    heartbeats,
    { body: { beats: [{ node_id: 'node-4', credential: 'token', lease_pack: null, beat: BEAT }] } },
    nodePrincipal(1),
  ),
  releaseNode: probe<'releaseNode'>(
    releaseNode,
    { ...NODE_4, body: { node_epoch: 1, incarnation: 'inc-4' } },
    nodePrincipal(4),
  ),
  report: probe<'report'>(
    report,
    async (world) => {
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
    },
    nodePrincipal(2),
  ),
  createJoinToken: probe<'createJoinToken'>(createJoinToken, { body: { lifetime_seconds: 600 } }),
  decommissionNode: probe<'decommissionNode'>(decommissionNode, NODE_4),
  drainNode: probe<'drainNode'>(drainNode, { ...NODE_4, body: {} }),
  cordonNode: probe<'cordonNode'>(cordonNode, NODE_4),
  uncordonNode: probe<'uncordonNode'>(uncordonNode, NODE_4),
  maintainNode: probe<'maintainNode'>(maintainNode, { ...NODE_4, body: { seconds: 60 } }),
  clusterHealth: probe<'clusterHealth'>(clusterHealth),
  clusterEndpoints: probe<'clusterEndpoints'>(clusterEndpoints),
  listShards: probe<'listShards'>(listShards, { query: { table: TABLE, limit: 10 } }),
  getShard: probe<'getShard'>(getShard, ofFirstShard),
  setLeader: probe<'setLeader'>(setLeader, async (world) => ({
    ...(await ofFirstShard(world)),
    body: { new_leader_node_id: await otherNode(world) },
  })),
  moveShard: probe<'moveShard'>(moveShard, async (world) => ({
    ...(await ofFirstShard(world)),
    body: { target_node_id: 'node-4' },
  })),
  splitShard: probe<'splitShard'>(splitShard, async (world) => ({
    ...(await ofFirstShard(world)),
    body: { split_key: 'd' },
  })),
  mergeShards: probe<'mergeShards'>(mergeShards, async (world) => ({
    ...(await ofFirstShard(world)),
    body: { with_shard_id: (await shardsOf(world))[1]?.shardId ?? 'none' },
  })),
  rebalanceShards: probe<'rebalanceShards'>(rebalanceShards, { body: {} }),
  getRebalanceConfig: probe<'getRebalanceConfig'>(getRebalanceConfig),
  setRebalanceConfig: probe<'setRebalanceConfig'>(setRebalanceConfig, { body: { moves_per_hour: 50 } }),
  getStructureConfig: probe<'getStructureConfig'>(getStructureConfig),
  setStructureConfig: probe<'setStructureConfig'>(setStructureConfig, { body: { splits_max: 2 } }),
  getPlacementConfig: probe<'getPlacementConfig'>(getPlacementConfig),
  setPlacementConfig: probe<'setPlacementConfig'>(setPlacementConfig, {
    body: { rules: [{ tables: [TABLE], required: [], forbidden: [], leader_preference: null }], force: true },
  }),
  setNodePlacement: probe<'setNodePlacement'>(setNodePlacement, { ...NODE_4, body: { capacity_weight: 2 } }),
  getReplicationConfig: probe<'getReplicationConfig'>(getReplicationConfig),
  setReplicationConfig: probe<'setReplicationConfig'>(setReplicationConfig, { body: { replication_factor: 2 } }),
  setTableReplication: probe<'setTableReplication'>(setTableReplication, { ...ROWS, body: { replication_factor: 2 } }),
  createTable: probe<'createTable'>(createTable, { body: { table: 'other', replication_factor: 1 } }),
  listTables: probe<'listTables'>(listTables),
  getTable: probe<'getTable'>(getTable, ROWS),
  deleteTable: probe<'deleteTable'>(deleteTable, ROWS),
  getRoute: probe<'getRoute'>(getRoute, { ...ROWS, query: { key: 'k' } }),
  batchRoutes: probe<'batchRoutes'>(batchRoutes, { ...ROWS, body: { keys: ['a', 'k'] } }),
  routeChanges: probe<'routeChanges'>(routeChanges, { ...ROWS }),
  listDecisions: probe<'listDecisions'>(listDecisions),
  listAudit: probe<'listAudit'>(listAudit, { query: { entity: 'config:rebalance' } }),
  listOperations: probe<'listOperations'>(listOperations, { query: { type: 'create-table' } }),
  getOperation: probe<'getOperation'>(getOperation, ofOperation),
  listOperationParts: probe<'listOperationParts'>(listOperationParts, ofOperation),
  pauseOperation: probe<'pauseOperation'>(pauseOperation, ofOperation),
  resumeOperation: probe<'resumeOperation'>(resumeOperation, ofOperation),
  cancelOperation: probe<'cancelOperation'>(cancelOperation, ofOperation),
  redriveOperation: probe<'redriveOperation'>(redriveOperation, ofOperation),
  recoverShards: probe<'recoverShards'>(recoverShards, { body: { table: TABLE, dry_run: true } }),
  listRecoveries: probe<'listRecoveries'>(listRecoveries),
  closeRecovery: probe<'closeRecovery'>(closeRecovery, async (world) => ({
    ...(await ofFirstShard(world)),
    body: { note: 'none was lost' },
  })),
  createToken: probe<'createToken'>(createToken, { body: { scope: 'data', tables: ['*'], access: 'read' } }),
  healthz: probe<'healthz'>(healthz),
  openapi: probe<'openapi'>(openapi),
};
