import { nodeId, tableName } from '../../shared/domain/ids.ts';
import type { OperationRecord, OperationType, TableRecord } from '../../shared/domain/records.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { mergeShards } from '../../shared/usecases/merge-shards.ts';
import { registerNode } from '../../shared/usecases/register-node.ts';
import { splitShard } from '../../shared/usecases/split-shard.ts';
import { createTable, deleteTable } from '../../shared/usecases/tables.ts';
import { createJoinToken } from '../../shared/usecases/nodes.ts';
import { setLeader } from '../../shared/usecases/transfer-leader.ts';
import type { Scenario } from '../support/crash-points.ts';
import type { MortalWorld } from '../support/mortal-world.ts';
import { moveOnlyReplica } from './move-scenario.ts';
import {
  awaitRepair,
  copiesOf,
  decommissionFourth,
  fewerCopies,
  joinFourth,
  loseFollower,
  rebalanceLeaders,
  tickOff,
} from './wave-scenarios.ts';
import { valuesOf } from '../support/world-checks.ts';

/** What is done under crashes, duplicates and delays, and what must come of it. A new operation adds its scenario to `operations`. */

const TABLE = 'rows';
const PRE_SPLIT = ['h'];
export const createRows = async (world: MortalWorld): Promise<void> => {
  const answer = await world.request(
    'createTable',
    'key-create',
    { params: {}, query: {}, body: { table: TABLE, pre_split: PRE_SPLIT, replication_factor: 3 } },
    createTable,
  );
  expectAnswer(answer, 'TABLE_EXISTS');
  await world.until(async () => (await tableOf(world))?.state === 'ACTIVE');
};

export const deleteRows = async (world: MortalWorld): Promise<void> => {
  const answer = await world.request(
    'deleteTable',
    'key-delete',
    { params: { table: TABLE }, query: {}, body: undefined },
    deleteTable,
  );
  expectAnswer(answer, 'TABLE_NOT_ACTIVE', 'TABLE_NOT_FOUND');
  await world.until(async () => (await tableOf(world)) === null);
};

export interface Judged extends Scenario {
  /** What is wrong with what came of it; empty if nothing is. */
  readonly outcome: (world: MortalWorld) => Promise<string[]>;
}

/** Every operation has a scenario here, by its type in the registry: what brings one about, and what must come of it. */
export const operations: Readonly<Record<string, Judged>> = {
  'create-table': {
    run: createRows,
    outcome: async (world) => {
      const shards = await shardsOf(world);
      return [
        ...expectThat(shards.length === 2, `the table has ${shards.length} shards`),
        ...(await expectOneOperation(world, 'create-table', 1)),
      ];
    },
  },
  'delete-table': {
    prepare: createRows,
    run: deleteRows,
    outcome: async (world) => {
      const rows = await Promise.all(
        world.nodes.map((node) => world.base.directory.replicasOn(nodeId(`node-${node}`), { limit: 10 })),
      );
      return [
        ...expectThat(
          rows.every(({ replicas }) => replicas.length === 0),
          'replica rows of the table are left',
        ),
        ...(await expectOneOperation(world, 'delete-table', 1)),
      ];
    },
  },
  'move-replica': {
    prepare: async (world) => {
      const body = { table: TABLE, replication_factor: 1 };
      expectAnswer(await world.request('createTable', 'key-create', { params: {}, query: {}, body }, createTable));
      await world.until(async () => (await tableOf(world))?.state === 'ACTIVE');
    },
    run: (world) => moveOnlyReplica(world, () => onlyShard(world), expectAnswer),
    outcome: async (world) => {
      const { replicas, epoch } = await onlyShard(world);
      return [
        ...expectThat(replicas.length === 1 && epoch === 2, `${replicas.length} replicas, epoch ${epoch}`),
        ...(await expectOneOperation(world, 'move-replica', 1)),
      ];
    },
  },
  'split-shard': {
    prepare: createRows,
    run: async (world) => {
      const [shard] = await shardsOf(world);
      const input = { params: { shard_id: shard?.shardId ?? '' }, query: {}, body: { split_key: 'd' } };
      // A request that is sent again meets its own effect: the shard is being split, or ends at the key.
      expectAnswer(await world.request('splitShard', 'key-split', input, splitShard), 'SHARD_BUSY', 'INVALID_KEY');
      await world.until(async () => {
        const page = await world.base.records.query('openOperation', { partition: {}, order: 'forward', limit: 1 });
        return page.items.length === 0;
      });
    },
    outcome: async (world) => {
      const shards = await shardsOf(world);
      const found = shards.map(({ startKey, epoch }) => `${startKey}/${epoch}`).join(' ');
      return [
        ...expectThat(found === '/1 d/2 h/1', `shards ${found}`),
        ...expectThat(
          (await tableOf(world))?.shardCount === 3,
          `the table counts ${(await tableOf(world))?.shardCount} shards`,
        ),
        ...(await expectOneOperation(world, 'split-shard', 1)),
      ];
    },
  },
  'merge-shards': {
    prepare: createRows,
    run: async (world) => {
      const [left, right] = await shardsOf(world);
      if (left === undefined) throw new Error('no shard');
      // Named: a request that is sent again meets its own effect, the neighbour is absorbed or being so.
      const body = { with_shard_id: right?.shardId ?? '' };
      const input = { params: { shard_id: left.shardId }, query: {}, body };
      expectAnswer(
        await world.request('mergeShards', 'key-merge', input, mergeShards),
        'SHARD_BUSY',
        'SHARD_NOT_FOUND',
        'PLAN_STALE',
      );
      await world.until(async () => {
        const page = await world.base.records.query('openOperation', { partition: {}, order: 'forward', limit: 1 });
        return page.items.length === 0;
      });
    },
    outcome: async (world) => {
      const shards = await shardsOf(world);
      const table = await tableOf(world);
      return [
        ...expectThat(shards.length === 1, `${shards.length} shards`),
        ...expectThat(
          shards[0]?.startKey === '' && shards[0].endKey === null,
          'the merged shard does not hold all keys',
        ),
        ...expectThat(table?.shardCount === 1, `the table counts ${table?.shardCount} shards`),
        ...(await expectOneOperation(world, 'merge-shards', 1)),
      ];
    },
  },
};

export const waves: Readonly<Record<string, Judged>> = {
  rebalance: {
    prepare: async (world) => {
      await tickOff(world);
      await createRows(world);
    },
    run: (world) => rebalanceLeaders(world, () => shardsOf(world), expectAnswer),
    // Each leadership moved once, whatever was repeated.
    outcome: async (world) => {
      const epochs = (await shardsOf(world)).map(({ epoch }) => epoch as number);
      return [
        ...expectThat(epochs.join() === '2,2', `epochs ${epochs.join()}`),
        ...(await expectOneOperation(world, 'rebalance', 1)),
      ];
    },
  },
  'drain-node': {
    prepare: async (world) => {
      await tickOff(world);
      await joinFourth(world);
    },
    run: (world) => decommissionFourth(world, () => shardsOf(world), expectAnswer),
    outcome: async (world) => {
      const stored = await world.base.records.get('node', { nodeId: nodeId('node-4') });
      return [
        ...expectThat(stored?.value.membership === 'DECOMMISSIONED', `node-4 is ${stored?.value.membership ?? 'gone'}`),
        ...expectThat((await world.base.liveness(4)).nodeEpoch === 2, 'node-4 was fenced more than once'),
        ...(await expectOneOperation(world, 'drain-node', 1)),
      ];
    },
  },
  'repair-shards': {
    prepare: async (world) => {
      await tickOff(world);
      const body = { table: TABLE, replication_factor: 2 };
      expectAnswer(await world.request('createTable', 'key-create', { params: {}, query: {}, body }, createTable));
      await world.until(async () => (await tableOf(world))?.state === 'ACTIVE');
      await loseFollower(world, () => shardsOf(world));
    },
    run: (world) => awaitRepair(world, () => shardsOf(world)),
    outcome: async (world) => {
      const shards = await shardsOf(world);
      const lost = valuesOf('liveness', world.base.committed).find(({ incarnation }) => incarnation === null)?.nodeId;
      return [
        ...expectThat(copiesOf(shards).join() === '2', `copies ${copiesOf(shards).join()}`),
        ...expectThat(
          shards.every(({ replicas }) => replicas.every((replica) => replica.nodeId !== lost)),
          `the lost ${lost ?? 'node'} is still listed`,
        ),
        ...(await expectOneOperation(world, 'move-replica', 1)),
        ...(await expectOneOperation(world, 'repair-shards', 1)),
      ];
    },
  },
  'change-replication-factor': {
    prepare: async (world) => {
      await tickOff(world);
      const body = { table: TABLE };
      expectAnswer(await world.request('createTable', 'key-create', { params: {}, query: {}, body }, createTable));
      await world.until(async () => (await tableOf(world))?.state === 'ACTIVE');
    },
    run: (world) => fewerCopies(world, () => shardsOf(world), expectAnswer),
    outcome: async (world) => {
      const shards = await shardsOf(world);
      return [
        ...expectThat(copiesOf(shards).join() === '2', `copies ${copiesOf(shards).join()}`),
        ...expectThat((await tableOf(world))?.replicationFactor === 2, 'the table says another factor'),
        ...(await expectOneOperation(world, 'move-replica', 1)),
      ];
    },
  },
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

const expectThat = (holds: boolean, otherwise: string): string[] => (holds ? [] : [otherwise]);

/** An answer of success, or the refusal by which a repeated request meets its own effect (shared/runtime/idempotency.ts). */
function expectAnswer(answer: { status: number; body: unknown }, ...refusals: string[]): void {
  const { code } = answer.body as { code?: string };
  if (answer.status !== 200 && !refusals.includes(code ?? '')) throw new Error(JSON.stringify(answer.body));
}

async function expectOneOperation(world: MortalWorld, type: OperationType, count: number): Promise<string[]> {
  const page = await world.base.records.query('operation', { partition: {}, order: 'forward', limit: 10 });
  const found = page.items.map(({ value }): OperationRecord => value).filter((operation) => operation.type === type);
  return [
    ...expectThat(found.length === count, `I-11: ${found.length} operations ${type}`),
    ...found
      .filter(({ status, outcome }) => status !== 'SUCCEEDED' || outcome !== 'APPLIED')
      .map(({ status, error }) => `${type} ended ${status}: ${error?.message ?? ''}`),
  ];
}

async function tableOf(world: MortalWorld): Promise<TableRecord | null> {
  return (await world.base.records.get('table', { table: tableName(TABLE) }))?.value ?? null;
}

async function shardsOf(world: MortalWorld): Promise<ShardDescriptor[]> {
  const table = await tableOf(world);
  if (table === null) return [];
  const page = await world.base.newDirectory().scan(table.tableId, { fromKey: '' as never, limit: 100 });
  return page.shards.map(({ shard }) => shard);
}

async function onlyShard(world: MortalWorld): Promise<ShardDescriptor> {
  const [shard] = await shardsOf(world);
  if (shard === undefined) throw new Error('no shard');
  return shard;
}
