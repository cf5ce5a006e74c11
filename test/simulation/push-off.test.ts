import type { LeaseProfileName } from '../../shared/domain/lease.ts';
import { simulate } from './cluster.ts';
import type { ScenarioCluster } from './options.ts';

/**
 * Functions that reach no node: a new leader learns of its role from clients that carry the newer epoch, and from its next
 * heartbeat. Failover holds its time that way too. Virtual time: what is measured is the protocol, not the machine.
 */

/** From the death of a leader's node to the next acknowledged write on each shard that it led (DESIGN section 10). */
const FAILOVER_MS_MAX: Readonly<Record<'fast' | 'standard', number>> = { fast: 6_500, standard: 12_000 };
const KILLS = 4;
const REPLICATED_WITHIN_MS = 180_000;
const WATCHED_MS = 60_000;
const SEED_MS_MAX = 60_000;

/** Kills the node that leads most, `KILLS` times, each time in a cluster that is whole; notes what each shard waited. */
async function failovers(cluster: ScenarioCluster, note: (waitedMs: number) => void): Promise<void> {
  const { time } = cluster;
  for (let kill = 1; kill <= KILLS; kill++) {
    const whole = await time.run(() => cluster.fullyReplicated(), time.nowMs() + REPLICATED_WITHIN_MS);
    if (!whole) throw new Error(`before kill ${kill} the cluster was not whole`);
    // Not all at the same point of a lease or of the detector's tick.
    await time.run(time.nowMs() + 1_000 + 730 * kill);
    const ledBy = Object.groupBy(cluster.shards(), (shard) => shard.leader?.nodeId ?? '');
    const [victim, led = []] = Object.entries(ledBy).toSorted(([, a = []], [, b = []]) => b.length - a.length)[0] ?? [];
    const node = cluster.nodes.find(({ nodeId }) => nodeId === victim);
    if (node === undefined) throw new Error('no node leads');
    const killedAtMs = time.nowMs();
    node.crash();
    let waiting = led.length;
    for (const shard of led)
      cluster.writeUntilAcknowledged(`writer-${kill}-${shard.shardId}`, cluster.keyOf(shard), () => {
        note(time.nowMs() - killedAtMs);
        waiting--;
      });
    if (!(await time.run(() => waiting === 0, killedAtMs + WATCHED_MS)))
      throw new Error(`${waiting} shards of ${node.nodeId} were not written within ${WATCHED_MS} ms after its death`);
    node.start();
  }
}

describe.each<['fast' | 'standard']>([['fast'], ['standard']])('with push off, profile %s', (profile) => {
  test.each([1, 2, 3])(
    `every shard is written again within ${FAILOVER_MS_MAX[profile]} ms after its leader's death, seed %i`,
    async (seed) => {
      const waitedMs: number[] = [];
      const result = await simulate({
        seed,
        minutes: 0,
        leaseProfile: profile satisfies LeaseProfileName,
        pushToNodes: false,
        scenario: (cluster) => failovers(cluster, (ms) => waitedMs.push(ms)),
      });
      expect(result.problems).toEqual([]);
      expect(waitedMs.length).toBeGreaterThanOrEqual(KILLS);
      expect(Math.max(...waitedMs)).toBeLessThanOrEqual(FAILOVER_MS_MAX[profile]);
    },
    SEED_MS_MAX,
  );
});

/** Seeds in which two shards merge: their seals come by reports, and the nodes learn of the merge by looking for it (S2). */
const MERGING_SEEDS = [8, 10];

test.each(MERGING_SEEDS)(
  'with push off, an operator changes the structure under faults, seed %i',
  async (seed) => {
    const result = await simulate({ seed, minutes: 1.5, pushToNodes: false, operated: true, relayed: false });
    expect(result.problems).toEqual([]);
    expect(result.counts['merges']).toBeGreaterThan(0);
  },
  SEED_MS_MAX,
);
