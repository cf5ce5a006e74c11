import { seededRandom } from '../../simulation/random.ts';
import { SHARD_ID, threeNodes } from './cluster.ts';
import type { Cluster } from './cluster.ts';
import { applyCommand, CHILD_ID, splitUntold } from './splitting.ts';

const NODES = ['n1', 'n2', 'n3'];
const SEEDS = 25;

/** Writes `key` wherever it belongs now, with one write id, until it is acknowledged or `attempts` are used up. */
async function store(cluster: Cluster, key: string, attempts: number): Promise<boolean> {
  for (let i = 0; i < attempts; i++) {
    const split = cluster.controlPlane.shards.get(CHILD_ID);
    const shard =
      split !== undefined && key >= split.start_key && i % 2 === 1 ? split : cluster.controlPlane.shard(SHARD_ID);
    const nodeId = shard.leader.node_id;
    if (!cluster.runs(nodeId)) return false;
    const body = { key, value: key, write_id: `w-${key}`, shard_id: shard.shard_id, epoch: shard.epoch };
    const answer = await cluster.ask(nodeId, 'put', body);
    if (answer.status === 200) return true;
  }
  return false;
}

/** What leaders change to: a running node whose entry is in sync and current. */
function candidate(cluster: Cluster, shardId: string): string | undefined {
  return cluster.controlPlane
    .shard(shardId)
    .replicas.find(
      (replica) =>
        replica.sync_status === 'IN_SYNC' &&
        cluster.runs(replica.node_id) &&
        replica.node_epoch === cluster.controlPlane.node(replica.node_id).nodeEpoch,
    )?.node_id;
}

describe('a split amid lost messages, late commands and a leader that may die', () => {
  it.each(Array.from({ length: SEEDS }, (_, index) => index + 1))(
    'keeps what was acknowledged (seed %d)',
    async (seed) => {
      const random = seededRandom(seed);
      const upTo = (limit: number): number => Math.floor(random.next() * limit);
      const cluster = await threeNodes();
      for (const key of 'abcdefghij') await cluster.put('n1', key, key);
      const acknowledged = new Set<string>('abcdefghij');
      let number = 0;
      const load = async (ms: number): Promise<void> => {
        for (let i = 0; i < ms; i++) {
          const key = `${'ahcj'.charAt(upTo(4))}-${++number}`;
          void store(cluster, key, 4).then((done) => done && acknowledged.add(key));
          await cluster.run(1);
        }
      };
      const halves = await splitUntold(cluster, 'f');
      await load(3);
      const lossShare = random.next() * 0.3;
      cluster.loses = () => random.next() < lossShare;
      for (const nodeId of [...NODES].sort(() => random.next() - 0.5)) {
        if (random.next() < 0.7) void cluster.host(nodeId).apply(applyCommand(cluster, nodeId, halves));
        await load(upTo(6));
      }
      await load(10);
      const dies = random.next() < 0.6;
      const disk = dies ? cluster.kill('n1') : null;
      await cluster.run(upTo(1_500));
      cluster.loses = () => false;
      if (disk !== null) {
        cluster.controlPlane.fence('n1');
        for (const shardId of [CHILD_ID, SHARD_ID]) {
          const next = candidate(cluster, shardId);
          if (next === undefined) throw new Error('nobody can lead');
          cluster.controlPlane.elect(shardId, next);
          await cluster.apply(cluster.controlPlane.command('become_leader', shardId, next));
        }
        cluster.start('n1', { engine: disk });
      }
      for (const nodeId of NODES) {
        const [parent, child] = [cluster.controlPlane.shard(SHARD_ID), cluster.controlPlane.shard(CHILD_ID)];
        await cluster.apply(applyCommand(cluster, nodeId, { parent, child }));
      }
      await cluster.until('both are in sync everywhere', () =>
        [SHARD_ID, CHILD_ID].every((shardId) => cluster.controlPlane.inSync(shardId).length === 3),
      );
      await cluster.run(6_000);
      for (const nodeId of NODES) {
        const [left, right] = [cluster.committedRows(nodeId), cluster.committedRows(nodeId, CHILD_ID)];
        expect(left).toEqual(cluster.committedRows('n2'));
        expect(right).toEqual(cluster.committedRows('n2', CHILD_ID));
        const lost = [...acknowledged].filter((key) => !(key in (key < 'f' ? left : right)));
        expect(lost).toEqual([]);
      }
      expect(acknowledged.size).toBeGreaterThan(10);
    },
  );
});
