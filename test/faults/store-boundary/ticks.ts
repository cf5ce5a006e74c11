import type { HeartbeatRequest } from '../../../shared/contracts/node/heartbeat.ts';
import type { ShardDescriptor } from '../../../shared/domain/shard.ts';
import { runDetector } from '../../../shared/usecases/detect-failures.ts';
import { heartbeat } from '../../../shared/usecases/heartbeat.ts';
import { setNodePlacement } from '../../../shared/usecases/node-placement.ts';
import { setPlacementConfig } from '../../../shared/usecases/placement-config.ts';
import { setRebalanceConfig } from '../../../shared/usecases/rebalance-config.ts';
import { setStructureConfig } from '../../../shared/usecases/structure-config.ts';
import { nodePrincipal, registered } from '../../support/use-case-world.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';
import { checkHistory } from '../../support/world-checks.ts';
import { proposeAllCopies } from '../move-scenario.ts';
import { createdTable, expectAnswer, expectThat, openOperations, shardsOf, TABLE, ticksOff } from '../scenario-kit.ts';
import { splitAtFoundKey } from '../structure-scenarios.ts';
import { untilDone } from './attempts.ts';
import type { Story } from './stories.ts';

/** What the ticks begin by what nodes tell, and the detector's brake. */

const MB = 2 ** 20;
/** Statistics ride on every tenth beat. */
const STATS_MS = 10_000;
/** Above the sequences of the beats of the world's own nodes. */
const FIRST_SEQUENCE = 100_000;
/** Above the rest that follows a rebalance, the longest wait here: one whose parts could not start is made anew after it. */
const ROUNDS_MAX = 400;
/** Shards are as they are for so long before their neighbours are cold (domain/merge-candidates.ts). */
const COOLED_MS = 3_600_000;
/** Of news that come with less than 30 s between them (structure-tick.ts). */
const SELDOM_MS = 25_000;
const LOOP_MS = 12_000;
const TAPE = { key: 'disk', values: ['tape'] };

const numberOf = (node: string): number => Number(node.slice('node-'.length));

type Stats = NonNullable<HeartbeatRequest['stats']>;

/** Every leader tells of its shards. */
async function told(world: MortalWorld, round: number, bytesOf: (shard: ShardDescriptor) => number): Promise<void> {
  const led = Map.groupBy(await shardsOf(world), ({ leader }) => leader.nodeId as string);
  for (const [node, shards] of led) {
    const busiest = shards.map((shard) => ({
      shard_id: shard.shardId,
      role: 'LEADER' as const,
      serving: true,
      bytes: bytesOf(shard),
      rows: 1,
      lag_entries: 0,
    }));
    const sum = { shards: shards.length, leaders: shards.length, bytes: 0, requests_per_second: 1, fsync_ms_p99: 1 };
    const stats: Stats = { ...sum, busiest };
    await untilDone(world, 'api-heartbeat', async (deps, attempt) => {
      const sequence = FIRST_SEQUENCE + 100 * round + attempt;
      const lease = { node_epoch: 1, incarnation: `inc-${numberOf(node)}`, sequence, attestation: sequence };
      const input = { params: { node_id: node }, query: {}, body: { ...lease, stats } };
      return (await heartbeat(deps, nodePrincipal(numberOf(node)), input)).ok;
    });
  }
}

/** Rounds of news until the shards are so many and nothing is under way. */
async function toldUntil(
  world: MortalWorld,
  count: number,
  everyMs: number,
  bytesOf: (shard: ShardDescriptor) => number,
): Promise<string[]> {
  for (let round = 1; round <= ROUNDS_MAX; round++) {
    await proposeAllCopies(world);
    await splitAtFoundKey.tend?.(world);
    const shards = await shardsOf(world);
    if (shards.length === count && (await openOperations(world)) === 0) return [];
    if (shards.every(({ state }) => state.kind === 'ACTIVE')) await told(world, round, bytesOf);
    await world.base.deps.timers.sleep(everyMs);
  }
  return [`there are not ${count} shards after ${ROUNDS_MAX} rounds`];
}

const countIs = async (world: MortalWorld, count: number): Promise<string[]> => {
  const shards = await shardsOf(world);
  return [
    ...checkHistory(world.base.committed, world.receipts),
    ...world.copies.orphans(shards),
    ...world.copies.missing(shards),
    ...expectThat(shards.length === count, `${shards.length} shards, not ${count}`),
  ];
};

const largeShard: Story = {
  name: 'a large shard',
  prepare: async (world) => {
    await ticksOff(world);
    await createdTable(world, { replication_factor: 3 });
    await world.base.call('setStructureConfig', setStructureConfig, { body: { split: 'on', merge: 'off' } });
  },
  act: (world) => toldUntil(world, 2, STATS_MS, ({ endKey }) => (endKey === null ? 600 : 1) * MB),
  moveOn: (world) => world.base.deps.timers.sleep(15_000),
  judge: (world) => countIs(world, 2),
};

const coldShards: Story = {
  name: 'cold neighbours',
  prepare: async (world) => {
    await ticksOff(world);
    await createdTable(world, { pre_split: ['h'], replication_factor: 3 });
    await world.base.call('setStructureConfig', setStructureConfig, { body: { split: 'off', merge: 'on' } });
    world.silenceNodes(COOLED_MS);
    await world.base.deps.timers.sleep(COOLED_MS);
  },
  act: (world) => toldUntil(world, 1, SELDOM_MS, () => MB),
  moveOn: (world) => world.base.deps.timers.sleep(15_000),
  judge: (world) => countIs(world, 1),
};

/** A rule bars a node that holds copies: the tick moves them, and notes that all is as the rule wants it. */
const placement: Story = {
  name: 'a placement rule',
  prepare: async (world) => {
    await ticksOff(world);
    await registered(world.base, 4);
    await createdTable(world, { replication_factor: 1 });
    await world.base.call('setRebalanceConfig', setRebalanceConfig, { body: { tick: 'on', check_every_seconds: 5 } });
  },
  act: async (world) => {
    const [shard] = await shardsOf(world);
    const params = { node_id: shard?.leader.nodeId ?? '' };
    const label = { params, query: {}, body: { labels: { disk: 'tape' } } };
    expectAnswer(await world.request('setNodePlacement', 'key-label', label, setNodePlacement));
    const rules = [{ tables: [TABLE], required: [], forbidden: [TAPE], leader_preference: null }];
    const config = { params: {}, query: {}, body: { rules } };
    expectAnswer(await world.request('setPlacementConfig', 'key-rules', config, setPlacementConfig));
    for (let round = 0; round < ROUNDS_MAX; round++) {
      await proposeAllCopies(world);
      const noted = await world.base.records.get('operationSlot', { slot: 'placement-check' });
      const shards = await shardsOf(world);
      const isBarred = shards.some(({ replicas }) => replicas.some(({ nodeId }) => nodeId === params.node_id));
      if (!isBarred && noted !== null && (await openOperations(world)) === 0) return [];
      await world.base.deps.timers.sleep(5_000);
    }
    return ['the copies stayed where the rule bars them'];
  },
  moveOn: (world) => world.base.deps.timers.sleep(15_000),
  judge: (world) => countIs(world, 1),
};

/** All nodes fall silent at once: the brake holds (L5), marks are made (L4), and nobody is fenced when they beat again. */
const brake: Story = {
  name: 'brake',
  prepare: async (world) => {
    await ticksOff(world);
    await createdTable(world, { replication_factor: 3 });
  },
  act: async (world) => {
    world.silenceNodes(LOOP_MS);
    await world.invoke('detect-failures', (deps) => runDetector(deps, { runForMs: LOOP_MS })).catch(() => undefined);
    return [];
  },
  moveOn: (world) => world.base.deps.timers.sleep(2_000),
  judge: async (world) => {
    const epochs = await Promise.all(world.nodes.map(async (node) => (await world.base.liveness(node)).nodeEpoch));
    return [...(await countIs(world, 1)), ...expectThat(epochs.join() === '1,1,1', `node epochs ${epochs.join()}`)];
  },
};

export const ticks: readonly Story[] = [largeShard, coldShards, placement, brake];
