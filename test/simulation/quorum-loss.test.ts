import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { Deps } from '../../shared/ports.ts';
import { simulate } from './cluster.ts';
import type { ScenarioCluster } from './options.ts';

/** E4: two of three nodes are lost for good, disks included; the third one lagged behind. An operator brings the shards back. */

const WAIT_MS = 120_000;
const SEED_MS_MAX = 120_000;

async function until(cluster: ScenarioCluster, what: string, holds: () => boolean): Promise<void> {
  const { time } = cluster;
  if (!(await time.run(holds, time.nowMs() + WAIT_MS))) throw new Error(`not reached: ${what}`);
}

async function write(cluster: ScenarioCluster, name: string, keys: readonly string[]): Promise<void> {
  let left = keys.length;
  for (const key of keys) cluster.writeUntilAcknowledged(`${name}-${key}`, key, () => left--);
  await until(cluster, `${name}: every key is written`, () => left === 0);
}

async function readAll(cluster: ScenarioCluster, name: string, keys: readonly string[]): Promise<(string | null)[]> {
  const found = new Map<string, string | null>();
  for (const key of keys) cluster.readUntilAnswered(`${name}-${key}`, key, (value) => found.set(key, value));
  await until(cluster, `${name}: every key is read`, () => found.size === keys.length);
  return keys.map((key) => found.get(key) ?? null);
}

const survivor = 'node-103';
const inSyncOnSurvivor = (shard: ShardDescriptor): boolean =>
  shard.replicas.some((replica) => replica.nodeId === survivor && replica.syncStatus === 'IN_SYNC');

/** The survivor falls behind on the first shard's key; then the two others are gone. Answers the keys and what they held before. */
async function loseQuorum(cluster: ScenarioCluster): Promise<{ keys: string[]; before: (string | null)[] }> {
  await until(cluster, 'the cluster is whole', () => cluster.fullyReplicated());
  const keys = cluster.shards().map((shard) => cluster.keyOf(shard));
  await write(cluster, 'first', keys);
  const before = await readAll(cluster, 'before', keys);
  cluster.network.cut('*', survivor);
  cluster.network.cut(survivor, '*');
  await until(cluster, 'the survivor left the lists', () => !cluster.shards().some(inSyncOnSurvivor));
  await write(cluster, 'lost', keys.slice(0, 1));
  for (const node of cluster.nodes) if (node.nodeId !== survivor) node.wipe();
  cluster.network.heal();
  return { keys, before };
}

interface Plan {
  readonly kind: string;
  readonly candidate: { readonly node_id: string };
}

async function plans(cluster: ScenarioCluster, count: number): Promise<readonly Plan[]> {
  const { time } = cluster;
  const deadlineMs = time.nowMs() + WAIT_MS;
  while (time.nowMs() < deadlineMs) {
    const answer = await cluster.ask('POST', '/recovery/unclean-elections', { dry_run: true });
    const found = answer['plans'] as readonly Plan[];
    // Until the lost nodes are fenced, one of them counts as a living leader.
    if (found.length === count && found.every(({ kind }) => kind === 'UNCLEAN')) return found;
    await time.run(time.nowMs() + 1_000);
  }
  throw new Error(`no plan for ${count} shards within ${WAIT_MS} ms`);
}

const apply = (cluster: ScenarioCluster, found: readonly Plan[]): Promise<Record<string, unknown>> =>
  cluster.ask('POST', '/recovery/unclean-elections', { plans: found, acknowledge_data_loss: true });

describe('the loss of a quorum for good (E4)', () => {
  test.each([1, 2, 3])(
    'an UNCLEAN election brings every shard back; only what the lost ones alone had acknowledged is missing, seed %i',
    async (seed) => {
      let read: { before: (string | null)[]; after: (string | null)[] } | null = null;
      let marked: boolean[] = [];
      let closed: boolean[] = [];
      const result = await simulate({
        seed,
        minutes: 0,
        nodes: 3,
        operated: false,
        scenario: async (cluster) => {
          const { keys, before } = await loseQuorum(cluster);
          const found = await plans(cluster, keys.length);
          expect(found.map((plan) => `${plan.kind} ${plan.candidate.node_id}`)).toEqual(
            keys.map(() => `UNCLEAN ${survivor}`),
          );
          expect((await apply(cluster, found))['recovered']).toHaveLength(keys.length);
          read = { before, after: await readAll(cluster, 'after', keys) };
          marked = cluster.shards().map((shard) => shard.dataLoss);
          await write(cluster, 'again', keys);
          // The lost nodes come back with empty disks: every copy is made anew, min_in_sync comes back, the mark stays.
          for (const node of cluster.nodes) node.start();
          await until(cluster, 'every copy is in sync', () => cluster.fullyReplicated());
          await until(cluster, 'min_in_sync is back', () => cluster.shards().every((shard) => shard.minInSync === 2));
          marked.push(...cluster.shards().map((shard) => shard.dataLoss));
          for (const { shardId } of cluster.shards())
            await cluster.ask('POST', `/recovery/shards/${shardId}/close`, { note: 'told the owners' });
          closed = cluster.shards().map((shard) => shard.dataLoss);
          await write(cluster, 'last', keys);
        },
      });
      // The history must show the loss, and nothing else: the write that only the lost nodes held.
      expect(result.problems.filter((problem) => !/not linearizable/.test(problem))).toEqual([]);
      expect(read!.after).toEqual(read!.before);
      expect(marked).toEqual(marked.map(() => true));
      expect(closed).toEqual([false, false, false]);
    },
    SEED_MS_MAX,
  );

  test(
    'a planted UNCLEAN election over leaders that live is found',
    async () => {
      let lies = false;
      const { problems } = await simulate({
        seed: 1,
        minutes: 0,
        nodes: 3,
        operated: false,
        mistakes: { alterDeps: (deps) => withLostOthers(deps, () => lies) },
        scenario: async (cluster) => {
          const { time } = cluster;
          await until(cluster, 'the cluster is whole', () => cluster.fullyReplicated());
          for (const other of ['node-101', 'node-102']) {
            cluster.network.cut(other, survivor);
            cluster.network.cut(survivor, other);
          }
          await until(cluster, 'the survivor left the lists', () => !cluster.shards().some(inSyncOnSurvivor));
          lies = true;
          // The violation ends the run.
          const untilMs = time.nowMs() + WAIT_MS;
          while (time.nowMs() < untilMs) {
            for (const { shardId } of cluster.shards()) {
              const answer = await cluster.ask('POST', '/recovery/unclean-elections', {
                dry_run: true,
                shard_id: shardId,
              });
              const found = answer['plans'] as readonly Plan[];
              if (found.length > 0) await apply(cluster, found);
            }
            await time.run(time.nowMs() + 1_000);
          }
        },
      });
      expect(problems.join('\n')).toMatch(/I-4 \(E4\).*an UNCLEAN election over a leader that is not fenced/);
    },
    SEED_MS_MAX,
  );
});

/** Liveness by which every node but the survivor seems fenced. */
function withLostOthers(deps: Deps, lies: () => boolean): Deps {
  return {
    ...deps,
    liveness: {
      ...deps.liveness,
      of: async (ids) => {
        const view = await deps.liveness.of(ids);
        if (!lies()) return view;
        return new Map(
          [...view].map(([nodeId, lease]) => [
            nodeId,
            nodeId === survivor ? lease : { ...lease, nodeEpoch: (lease.nodeEpoch + 1) as never, incarnation: null },
          ]),
        );
      },
    },
  };
}
