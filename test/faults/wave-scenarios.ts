import type { OperationType } from '../../shared/domain/records.ts';
import { inSyncReplicas } from '../../shared/domain/shard.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { nodeId } from '../../shared/domain/ids.ts';
import { setReplicationConfig } from '../../shared/usecases/change-replication.ts';
import { decommissionNode, drainNode } from '../../shared/usecases/drain-node.ts';
import { fenceNode } from '../../shared/usecases/fence-node.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { rebalanceShards } from '../../shared/usecases/rebalance.ts';
import type { MortalWorld } from '../support/mortal-world.ts';
import { registered } from '../support/use-case-world.ts';
import { valuesOf } from '../support/world-checks.ts';
import { proposeAllCopies } from './move-scenario.ts';
import {
  createdTable,
  expectAnswer,
  expectApplied,
  expectThat,
  onlyShard,
  operationsOfType,
  saga,
  shardsOf,
  tableOf,
  ticksOff,
} from './scenario-kit.ts';

/** What brings operations over many shards about: of two shards, or of one, so that the crash points stay few. */

/** Nodes of the listed copies, to be held against what they should be. */
const copiesOf = (shards: readonly ShardDescriptor[]): string => shards.map(({ replicas }) => replicas.length).join();

const isOn = (shard: ShardDescriptor, node: string): boolean => shard.replicas.some((one) => one.nodeId === node);

/** Undone, every shard has as many copies as before, in sync. */
const copiesAsBefore = async (
  world: MortalWorld,
  before: { shards: readonly ShardDescriptor[] },
): Promise<string[]> => {
  const now = copiesOf(await shardsOf(world));
  return expectThat(now === copiesOf(before.shards), `copies ${now}, before ${copiesOf(before.shards)}`);
};

const tableOfTwo = (world: MortalWorld): Promise<void> =>
  createdTable(world, { pre_split: ['h'], replication_factor: 3 });

/** One part, and it was applied; of an operation that was undone and made anew there are others besides. */
const expectPartsApplied = async (world: MortalWorld, type: OperationType): Promise<string[]> => {
  const [operation] = await operationsOfType(world, type);
  return operation?.run === 1 ? expectApplied(world, 'move-replica', 1) : [];
};

/** Every shard gets another leader, by a plan that is given. */
export const rebalanceLeaders = saga({
  prepare: async (world) => {
    await ticksOff(world);
    await tableOfTwo(world);
  },
  request: async (world) => {
    const leader_moves = (await shardsOf(world)).flatMap((shard) => {
      const to = shard.replicas.find(({ replicaId }) => replicaId !== shard.leader.replicaId)?.nodeId;
      const { shardId, generation, leader } = shard;
      return to === undefined ? [] : [{ shard_id: shardId, generation, from: leader.nodeId, to, reason: 'BALANCE' }];
    });
    const input = { params: {}, query: {}, body: { plan: { moves: [], leader_moves } } };
    // A request that is sent again meets its own effect.
    const answer = await world.request('rebalanceShards', 'key-rebalance', input, rebalanceShards);
    expectAnswer(answer, 'REBALANCE_RUNNING', 'PLAN_STALE');
  },
  tend: proposeAllCopies,
  // Each leadership moved once, whatever was repeated.
  outcome: async (world) => {
    const epochs = (await shardsOf(world)).map(({ epoch }) => epoch as number);
    return [
      ...expectThat(epochs.join() === '2,2', `epochs ${epochs.join()}`),
      ...(await expectApplied(world, 'rebalance', 1)),
    ];
  },
  // Leaderships that moved stay where they are.
  undone: copiesAsBefore,
});

const membershipOf = async (world: MortalWorld, node: string): Promise<string> => {
  const stored = await world.base.records.get('node', { nodeId: nodeId(node) });
  return stored === null ? 'gone' : `${stored.value.membership}${stored.value.cordoned ? ', cordoned' : ''}`;
};

/** A fourth node that holds nothing leaves for good. */
export const decommissionFourth = saga({
  prepare: async (world) => {
    await ticksOff(world);
    await registered(world.base, 4);
  },
  request: async (world) => {
    const input = { params: { node_id: 'node-4' }, query: {}, body: undefined };
    const answer = await world.request('decommissionNode', 'key-drain', input, decommissionNode);
    expectAnswer(answer, 'DRAIN_RUNNING', 'NODE_DECOMMISSIONED');
  },
  tend: proposeAllCopies,
  outcome: async (world) => {
    const membership = await membershipOf(world, 'node-4');
    return [
      ...expectThat(membership.startsWith('DECOMMISSIONED'), `node-4 is ${membership}`),
      ...expectThat((await world.base.liveness(4)).nodeEpoch === 2, 'node-4 was fenced more than once'),
      ...(await expectApplied(world, 'drain-node', 1)),
    ];
  },
});

/** The node of a table's one copy is emptied: the leadership has to move with the copy, by an operation of its own. */
export const drainLeader = saga({
  prepare: async (world) => {
    await ticksOff(world);
    await createdTable(world, { replication_factor: 1 });
  },
  request: async (world) => {
    const { leader } = await onlyShard(world);
    const input = { params: { node_id: leader.nodeId }, query: {}, body: {} };
    const answer = await world.request('drainNode', 'key-drain', input, drainNode);
    expectAnswer(answer, 'DRAIN_RUNNING');
  },
  tend: proposeAllCopies,
  outcome: async (world) => {
    const [drain] = await operationsOfType(world, 'drain-node');
    const { node_id: drained } = drain?.input as { node_id: string };
    const shard = await onlyShard(world);
    return [
      ...expectThat(!isOn(shard, drained) && shard.replicas.length === 1, `${drained} is not empty`),
      ...expectThat((await membershipOf(world, drained)) === 'ACTIVE, cordoned', 'the drained node takes copies'),
      ...(await expectApplied(world, 'drain-node', 1)),
    ];
  },
  // What has left stays away; the node takes copies again.
  undone: async (world, before) => {
    const [drain] = await operationsOfType(world, 'drain-node');
    const { node_id: drained } = drain?.input as { node_id: string };
    const membership = await membershipOf(world, drained);
    return [
      ...expectThat(membership === 'ACTIVE', `${drained} is ${membership}`),
      ...(await copiesAsBefore(world, before)),
    ];
  },
});

/** The node of a follower is lost; the tick finds it. */
export const repairLostFollower = saga({
  prepare: async (world) => {
    await ticksOff(world);
    await createdTable(world, { replication_factor: 2 });
    const shard = await onlyShard(world);
    const follower = shard.replicas.find(({ nodeId: node }) => node !== shard.leader.nodeId);
    if (follower === undefined) throw new Error('no follower');
    const number = Number(follower.nodeId.slice('node-'.length));
    if ((await fenceNode(world.base.deps, SYSTEM('detector'), await world.base.liveness(number))) === null)
      throw new Error('it was not fenced');
  },
  request: (world) =>
    world.until(async () => {
      await proposeAllCopies(world);
      return (await world.base.records.get('operationSlot', { slot: 'repair-shards' })) !== null;
    }),
  tend: proposeAllCopies,
  // A repair ends as soon as its parts can't start, for a lost race too; the tick begins another one after a rest.
  reached: async (world) => {
    const lost = lostNodes(world);
    return (await shardsOf(world)).every(({ replicas }) => replicas.every(({ nodeId: node }) => !lost.has(node)));
  },
  outcome: async (world) => {
    const shards = await shardsOf(world);
    const lost = lostNodes(world);
    const repairs = await operationsOfType(world, 'repair-shards');
    const parts = await Promise.all(
      repairs.map(({ operationId }) =>
        world.base.records.query('operationPart', { partition: { operationId }, order: 'forward', limit: 10 }),
      ),
    );
    const made = parts.filter(({ items }) => items.some(({ value }) => value.status === 'DONE'));
    const idle = parts.filter(({ items }) => items.some(({ value }) => value.status === 'SKIPPED'));
    return [
      ...expectThat(made.length === 1, `I-11: ${made.length} of ${repairs.length} repairs made a copy`),
      ...expectThat(made.length + idle.length >= repairs.length, `I-11: ${repairs.length} repairs`),
      ...expectThat(copiesOf(shards) === '2', `copies ${copiesOf(shards)}`),
      ...expectThat(
        shards.every(({ replicas }) => replicas.every((replica) => !lost.has(replica.nodeId))),
        `the lost ${[...lost].join()} is still listed`,
      ),
      ...(await expectPartsApplied(world, 'repair-shards')),
      ...(await expectApplied(world, 'repair-shards', repairs.length)),
    ];
  },
  // The next tick begins anew, until what was lost is made again. A copy that was added stays where too few in sync would be left without it (I-7).
  undone: async (world, before) => {
    const isWhole = (await shardsOf(world)).every((shard) => inSyncReplicas(shard).length >= shard.minInSync);
    const isOneMore = copiesOf(await shardsOf(world)) === '3';
    return isOneMore && isWhole ? [] : copiesAsBefore(world, before);
  },
});

/** Nodes that were fenced and never registered again. */
export function lostNodes(world: MortalWorld): ReadonlySet<string> {
  const newest = new Map(valuesOf('liveness', world.base.committed).map((lease) => [lease.nodeId as string, lease]));
  return new Set([...newest].filter(([, { incarnation }]) => incarnation === null).map(([node]) => node));
}

export const fewerCopies = saga({
  prepare: async (world) => {
    await ticksOff(world);
    await createdTable(world);
  },
  request: async (world) => {
    const input = { params: {}, query: {}, body: { replication_factor: 2 } };
    const answer = await world.request('setReplicationConfig', 'key-factor', input, setReplicationConfig);
    expectAnswer(answer, 'REPLICATION_CHANGE_RUNNING');
  },
  tend: proposeAllCopies,
  outcome: async (world) => {
    const shards = await shardsOf(world);
    return [
      ...expectThat(copiesOf(shards) === '2', `copies ${copiesOf(shards)}`),
      ...expectThat((await tableOf(world))?.replicationFactor === 2, 'the table says another factor'),
      ...(await expectPartsApplied(world, 'change-replication-factor')),
    ];
  },
  // Every shard is brought back to the old factor, by new copies where old ones went.
  undone: async (world, before) => {
    const { replicationFactor } = (await tableOf(world)) ?? {};
    return [
      ...expectThat(
        replicationFactor === before.table?.replicationFactor,
        `the table's factor is ${replicationFactor}, before ${before.table?.replicationFactor}`,
      ),
      ...(await copiesAsBefore(world, before)),
    ];
  },
});
