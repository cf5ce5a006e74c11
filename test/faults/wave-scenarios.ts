import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { setReplicationConfig } from '../../shared/usecases/change-replication.ts';
import { decommissionNode } from '../../shared/usecases/drain-node.ts';
import { fenceNode } from '../../shared/usecases/fence-node.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { rebalanceShards } from '../../shared/usecases/rebalance.ts';
import { setRebalanceConfig } from '../../shared/usecases/rebalance-config.ts';
import type { MortalWorld } from '../support/mortal-world.ts';
import { registered } from '../support/use-case-world.ts';
import { proposeCopies } from './move-scenario.ts';

/** What brings operations over many shards about: of two shards, or of one, so that the crash points stay few. */

type Expect = (answer: { status: number; body: unknown }, ...refusals: string[]) => void;
type Shards = () => Promise<readonly ShardDescriptor[]>;

const ended = (world: MortalWorld, shardsOf: Shards): Promise<void> =>
  world.until(async () => {
    for (const shard of await shardsOf()) await proposeCopies(world, shard);
    const page = await world.base.records.query('openOperation', { partition: {}, order: 'forward', limit: 1 });
    return page.items.length === 0;
  });

/** Nobody starts a rebalance but the scenario. */
export const tickOff = async (world: MortalWorld): Promise<void> => {
  await world.base.call('setRebalanceConfig', setRebalanceConfig, { body: { tick: 'off', repair_after_seconds: 10 } });
};

/** Every shard gets another leader, by a plan that is given. */
export async function rebalanceLeaders(world: MortalWorld, shardsOf: Shards, expectAnswer: Expect): Promise<void> {
  const leader_moves = (await shardsOf()).flatMap((shard) => {
    const to = shard.replicas.find(({ replicaId }) => replicaId !== shard.leader.replicaId)?.nodeId;
    const { shardId, generation, leader } = shard;
    return to === undefined ? [] : [{ shard_id: shardId, generation, from: leader.nodeId, to, reason: 'BALANCE' }];
  });
  const input = { params: {}, query: {}, body: { plan: { moves: [], leader_moves } } };
  // A request that is sent again meets its own effect.
  expectAnswer(
    await world.request('rebalanceShards', 'key-rebalance', input, rebalanceShards),
    'REBALANCE_RUNNING',
    'PLAN_STALE',
  );
  await ended(world, shardsOf);
}

/** A fourth node that holds nothing leaves for good. */
export const joinFourth = (world: MortalWorld): Promise<void> => registered(world.base, 4);

export async function decommissionFourth(world: MortalWorld, shardsOf: Shards, expectAnswer: Expect): Promise<void> {
  const input = { params: { node_id: 'node-4' }, query: {}, body: undefined };
  const answer = await world.request('decommissionNode', 'key-drain', input, decommissionNode);
  expectAnswer(answer, 'DRAIN_RUNNING', 'NODE_DECOMMISSIONED');
  await ended(world, shardsOf);
}

/** The node of a follower is lost; the tick finds it. */
export async function loseFollower(world: MortalWorld, shardsOf: Shards): Promise<void> {
  const [shard] = await shardsOf();
  const follower = shard?.replicas.find(({ nodeId: node }) => node !== shard.leader.nodeId);
  if (follower === undefined) throw new Error('no follower');
  const number = Number(follower.nodeId.slice('node-'.length));
  if ((await fenceNode(world.base.deps, SYSTEM('detector'), await world.base.liveness(number))) === null)
    throw new Error('it was not fenced');
}

export async function awaitRepair(world: MortalWorld, shardsOf: Shards): Promise<void> {
  await world.until(async () => {
    for (const shard of await shardsOf()) await proposeCopies(world, shard);
    const slot = await world.base.records.get('operationSlot', { slot: 'repair-shards' });
    return slot !== null;
  });
  await ended(world, shardsOf);
}

export async function fewerCopies(world: MortalWorld, shardsOf: Shards, expectAnswer: Expect): Promise<void> {
  const input = { params: {}, query: {}, body: { replication_factor: 2 } };
  const answer = await world.request('setReplicationConfig', 'key-factor', input, setReplicationConfig);
  expectAnswer(answer, 'REPLICATION_CHANGE_RUNNING');
  await ended(world, shardsOf);
}

/** Nodes of the listed copies, to be held against what they should be. */
export const copiesOf = (shards: readonly ShardDescriptor[]): number[] => shards.map(({ replicas }) => replicas.length);
