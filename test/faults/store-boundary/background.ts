import { nodeId, operationId } from '../../../shared/domain/ids.ts';
import { DECISION_FEED, sequence } from '../../../shared/usecases/feed.ts';
import { fenceNode } from '../../../shared/usecases/fence-node.ts';
import { runDetector } from '../../../shared/usecases/detect-failures.ts';
import { maintainNode } from '../../../shared/usecases/node-care.ts';
import { SYSTEM } from '../../../shared/usecases/principal.ts';
import { claimShard } from '../../../shared/usecases/shard-ownership.ts';
import { startTransfer } from '../../../shared/usecases/transfer-leader.ts';
import { registered } from '../../support/use-case-world.ts';
import { checkHistory, valuesOf } from '../../support/world-checks.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';
import { proposeAllCopies } from '../move-scenario.ts';
import { createdTable, expectThat, openOperations, operationsOfType, shardsOf, ticksOff } from '../scenario-kit.ts';
import { mailbox } from './mailbox.ts';
import { nodeStories } from './node-stories.ts';
import { packedLeases } from './packed-leases.ts';
import { rareWays } from './rare-ways.ts';
import { recoveries } from './recoveries.ts';
import type { Story } from './stories.ts';
import { ticks } from './ticks.ts';

/** What the control plane does by itself: the detector's loop, the reconcile tick, the feeds. */

const FOUR_SHARDS = { pre_split: ['d', 'h', 'p'], replication_factor: 3 };
/** Of one detector loop: its lease stands still (3.5 s), then fence, elections and both sweeps. */
const LOOP_MS = 12_000;
/** Loops follow each other, as the rule starts them. */
const LOOPS_MAX = 6;
const MAINTENANCE_SECONDS = 15;
const FEED_ATTEMPTS_MAX = 5;

const fenceIsClosed = async (world: MortalWorld): Promise<boolean> => {
  const { incarnation, openFence } = await world.base.liveness(4);
  return incarnation === null && openFence === null;
};

/** Node 4 never beats after its registration; all others do. */
async function onlyFourIsFenced(world: MortalWorld): Promise<string[]> {
  const epochs = await Promise.all([1, 2, 3, 4].map(async (node) => (await world.base.liveness(node)).nodeEpoch));
  const led = (await shardsOf(world)).map(({ leader }) => leader.nodeId as string);
  return [
    ...checkHistory(world.base.committed, world.receipts),
    ...expectThat(epochs.join() === '1,1,1,2', `node epochs ${epochs.join()}`),
    ...expectThat(await fenceIsClosed(world), 'the fence of node-4 is open'),
    ...expectThat(!led.includes('node-4'), 'node-4 leads'),
  ];
}

const detector: Story = {
  name: 'detector',
  prepare: async (world) => {
    await ticksOff(world);
    await registered(world.base, 4);
    await createdTable(world, FOUR_SHARDS);
  },
  act: async (world) => {
    for (let loop = 0; loop < LOOPS_MAX && !(await fenceIsClosed(world)); loop++)
      await world.invoke('detect-failures', (deps) => runDetector(deps, { runForMs: LOOP_MS }));
    return [];
  },
  // Longer than an attempt of the loop may take.
  moveOn: (world) => world.base.deps.timers.sleep(2_000),
  judge: onlyFourIsFenced,
};

/** Everything that a crash may leave, at once; and the ticks of balance and structure are on. */
const reconciler: Story = {
  name: 'reconcile tick',
  prepare: async (world) => {
    await registered(world.base, 4);
    await createdTable(world, FOUR_SHARDS);
    const { deps } = world.base;
    const by = SYSTEM('reconciler');
    const shards = await shardsOf(world);
    const [first, second] = shards.filter(({ replicas }) => replicas.every((one) => one.nodeId !== 'node-4'));
    const kept = shards.find(({ leader }) => leader.nodeId !== 'node-4');
    const intended = first ?? kept;
    const target = intended?.replicas.find(({ replicaId }) => replicaId !== intended.leader.replicaId);
    if (intended === undefined || target === undefined) throw new Error('no shard to transfer');
    // Nobody asks the leader: the intent stays.
    await startTransfer(deps, by, intended.shardId, target.replicaId);
    const locked = second ?? shards.find(({ shardId }) => shardId !== intended.shardId);
    const [ended] = await operationsOfType(world, 'create-table');
    if (locked === undefined || ended === undefined) throw new Error('nothing to lock');
    const owner = operationId(ended.operationId);
    await claimShard(deps, by, locked.shardId, { kind: 'CHANGING_REPLICAS', operationId: owner });
    await maintainNode(deps, by, {
      params: { node_id: 'node-3' },
      query: {},
      body: { seconds: MAINTENANCE_SECONDS },
    });
    if ((await fenceNode(deps, by, await world.base.liveness(4))) === null) throw new Error('it was not fenced');
  },
  act: async (world) => {
    await world.until(async () => {
      await proposeAllCopies(world);
      const { records } = world.base;
      const owned = await records.query('ownedShard', { partition: {}, order: 'forward', limit: 10 });
      const intents = await records.query('openIntent', { partition: {}, order: 'forward', limit: 10 });
      const node = await records.get('node', { nodeId: nodeId('node-3') });
      const isTidy = owned.items.length === 0 && intents.items.length === 0 && node?.value.maintenance === null;
      return isTidy && (await fenceIsClosed(world)) && (await openOperations(world)) === 0;
    });
    return [];
  },
  moveOn: (world) => world.base.deps.timers.sleep(15_000),
  judge: onlyFourIsFenced,
};

const feeds: Story = {
  name: 'feeds',
  prepare: async (world) => {
    await ticksOff(world);
    await createdTable(world, FOUR_SHARDS);
  },
  act: async (world) => {
    const { committed } = world.base;
    const given = { versions: valuesOf('routeVersion', committed), decisions: valuesOf('decision', committed) };
    // The stream hands the same records in again until they are taken.
    for (let attempt = 1; attempt <= FEED_ATTEMPTS_MAX; attempt++) {
      const taken = await world
        .invoke('sequence-changes', (deps) => sequence(deps, given))
        .then(
          () => true,
          () => false,
        );
      if (taken) return [];
    }
    return [`the feed refused its changes ${FEED_ATTEMPTS_MAX} times`];
  },
  // The stream's other shard hands its records in meanwhile.
  moveOn: (world) => {
    const decisions = valuesOf('decision', world.base.committed).slice(0, 1);
    return world.invoke('sequence-changes-beside', (deps) => sequence(deps, { versions: [], decisions }));
  },
  judge: async (world) => {
    const page = await world.base.records.query('feedPack', {
      partition: { feed: DECISION_FEED },
      order: 'forward',
      limit: 100,
    });
    const numbers = page.items.map(({ value }) => value.number);
    const named = new Set(page.items.flatMap(({ value }) => value.entries.map((entry) => JSON.stringify(entry))));
    const decided = valuesOf('decision', world.base.committed);
    const missing = decided.filter(({ decisionId }) => ![...named].some((entry) => entry.includes(decisionId)));
    return [
      ...checkHistory(world.base.committed, world.receipts),
      ...expectThat(
        numbers.every((number, index) => number === (numbers[0] ?? 0) + index),
        `packs ${numbers.join()}`,
      ),
      ...expectThat(missing.length === 0, `${missing.length} decisions are not in the feed`),
    ];
  },
};

export const background: readonly Story[] = [
  detector,
  reconciler,
  feeds,
  packedLeases,
  mailbox,
  ...recoveries,
  ...nodeStories,
  ...ticks,
  ...rareWays,
];
