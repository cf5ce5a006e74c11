import { nodeId } from '../../shared/domain/ids.ts';
import { createJoinToken } from '../../shared/usecases/nodes.ts';
import { registerNode } from '../../shared/usecases/register-node.ts';
import { deleteTable } from '../../shared/usecases/tables.ts';
import { setLeader } from '../../shared/usecases/transfer-leader.ts';
import { valuesOf } from '../support/world-checks.ts';
import type { MortalWorld } from '../support/mortal-world.ts';
import { moveOnlyReplica } from './move-scenario.ts';
import {
  askForTable,
  createdTable,
  expectAnswer,
  expectApplied,
  expectThat,
  replicaRows,
  saga,
  shardsOf,
  TABLE,
  tableOf,
} from './scenario-kit.ts';
import type { Judged, Saga } from './scenario-kit.ts';
import { mergeApart, mergeNeighbours, splitAtFoundKey, splitAtNamedKey } from './structure-scenarios.ts';
import {
  decommissionFourth,
  drainLeader,
  fewerCopies,
  rebalanceLeaders,
  repairLostFollower,
} from './wave-scenarios.ts';

/** What is done under crashes, duplicates and delays, and what must come of it. A new operation adds its scenario to `operations` or `waves`. */

const TWO_SHARDS = { pre_split: ['h'], replication_factor: 3 };
export const createRows = (world: MortalWorld): Promise<void> => createdTable(world, TWO_SHARDS);

/** Every operation has a scenario, by its type in the registry: what brings one about, and what must come of it. */
export const operations: Readonly<Record<string, Saga>> = {
  'create-table': saga({
    request: (world) => askForTable(world, TWO_SHARDS),
    outcome: async (world) => {
      const shards = await shardsOf(world);
      return [
        ...expectThat(shards.length === 2, `the table has ${shards.length} shards`),
        ...(await expectApplied(world, 'create-table', 1)),
      ];
    },
  }),
  'delete-table': saga({
    prepare: createRows,
    request: async (world) => {
      const input = { params: { table: TABLE }, query: {}, body: undefined };
      const answer = await world.request('deleteTable', 'key-delete', input, deleteTable);
      expectAnswer(answer, 'TABLE_NOT_ACTIVE', 'TABLE_NOT_FOUND');
    },
    outcome: async (world) => [
      ...expectThat((await tableOf(world)) === null, 'the table is there'),
      ...expectThat((await replicaRows(world)) === 0, 'replica rows of the table are left'),
      ...(await expectApplied(world, 'delete-table', 1)),
    ],
  }),
  'move-replica': moveOnlyReplica,
  'split-shard': splitAtNamedKey,
  'merge-shards': mergeNeighbours,
};

/** Operations over many shards: their runs have hundreds of calls. */
export const waves: Readonly<Record<string, Saga>> = {
  rebalance: rebalanceLeaders,
  'drain-node': decommissionFourth,
  'repair-shards': repairLostFollower,
  'change-replication-factor': fewerCopies,
};

/** Further ways through a state machine, by type: they reach states that the first scenario passes by. */
export const furtherWays: Readonly<Record<string, readonly Saga[]>> = {
  'split-shard': [splitAtFoundKey],
  'merge-shards': [mergeApart],
  'drain-node': [drainLeader],
};

export const calls: Readonly<Record<string, Judged>> = {
  createJoinToken: {
    run: async (world) => {
      const input = { params: {}, query: {}, body: { lifetime_seconds: 600 } };
      expectAnswer(await world.request('createJoinToken', 'key-token', input, createJoinToken));
    },
    // A token whose answer was lost lies beside the one that was received; it expires unused.
    outcome: (world) => {
      const tokens = valuesOf('joinToken', world.base.committed).length;
      return Promise.resolve(expectThat(tokens === 1 || tokens === 2, `${tokens} join tokens`));
    },
  },
  registerNode: {
    run: async (world) => {
      const body = {
        node_id: 'node-9',
        host: '127.0.0.1',
        port: 7009,
        zone: 'z9',
        incarnation: 'inc-9',
        store_uuid: 'store-9',
      };
      // A node repeats its registration by itself, without a key.
      for (;;) {
        const answer = await world
          .invoke('api-register', (deps) =>
            registerNode(deps, { kind: 'admin', name: 'test' }, { params: {}, query: {}, body }),
          )
          .catch(() => null);
        if (answer?.ok === true) return;
        await world.base.deps.timers.sleep(1_000);
      }
    },
    outcome: async (world) => {
      const stored = await world.base.records.get('liveness', { nodeId: nodeId('node-9') });
      return expectThat(stored?.value.incarnation === 'inc-9', 'node-9 does not hold its lease');
    },
  },
  setLeader: {
    prepare: createRows,
    run: async (world) => {
      const [shard] = await shardsOf(world);
      if (shard === undefined) throw new Error('no shard');
      const target = shard.replicas.find(({ replicaId }) => replicaId !== shard.leader.replicaId);
      if (target === undefined) throw new Error('no follower');
      const input = {
        params: { shard_id: shard.shardId },
        query: {},
        body: { new_leader_node_id: target.nodeId },
      };
      expectAnswer(await world.request('setLeader', 'key-lead', input, setLeader));
      await world.until(async () => (await world.base.shard(shard.shardId)).intent === null);
      const after = await world.base.shard(shard.shardId);
      if (after.leader.nodeId !== target.nodeId) throw new Error(`${after.leader.nodeId} leads, not ${target.nodeId}`);
    },
    // One transfer: the epoch rose once, whatever was repeated.
    outcome: async (world) => {
      const epochs = (await shardsOf(world)).map(({ epoch }) => epoch as number);
      return expectThat(epochs.join() === '2,1', `epochs ${epochs.join()}`);
    },
  },
};
