import type { FaultyCluster } from './faults.ts';
import { FAIR_STORE } from './process-store.ts';
import { simulate } from './cluster.ts';
import type { Mistakes } from './options.ts';
import type { VirtualTime } from './virtual-time.ts';

/**
 * E5: an outage of the store that lasts longer than every lease. Reads and writes go on by the confirmations of followers; nobody
 * is dropped; when nodes are cut off besides, whoever can't be confirmed is silent.
 */

const OUTAGE_FROM_MS = 5_000;
const OUTAGE_MS = 20_000;
const SEED_MS_MAX = 120_000;

/** The store refuses everything; half-way through the outage a node is cut off from all but clients, so that its shards can't be confirmed. */
const outage =
  (cutOff: boolean) =>
  (cluster: FaultyCluster, time: VirtualTime): void => {
    time.after(OUTAGE_FROM_MS, () => {
      cluster.climate.weather = { ...FAIR_STORE, throttleProbability: 1, refusal: 'UNAVAILABLE' };
    });
    const [victim] = cluster.nodes.slice(1);
    if (cutOff && victim !== undefined) {
      // Clients still reach it: it is fenced when the store is back, and hears of it from nobody.
      for (const other of [cluster.controlPlaneHost, ...cluster.nodes.map(({ nodeId }) => nodeId)])
        if (other !== victim.nodeId)
          time.after(OUTAGE_FROM_MS + OUTAGE_MS / 2, () => {
            cluster.network.cut(victim.nodeId, other);
            cluster.network.cut(other, victim.nodeId);
          });
    }
    time.after(OUTAGE_FROM_MS + OUTAGE_MS, () => {
      cluster.climate.weather = FAIR_STORE;
    });
  };

/** Longer than the outage and a lease, so that a node that stays cut off is fenced while others can still reach it. */
const MINUTES = 0.75;

describe('a store outage longer than the lease (E5)', () => {
  test.each([1, 2, 3])(
    'reads and writes go on, seed %i',
    async (seed) => {
      const result = await simulate({ seed, minutes: MINUTES, script: outage(false) });
      expect(result.problems).toEqual([]);
      expect(result.counts['withoutLease']).toBeGreaterThan(100);
    },
    SEED_MS_MAX,
  );

  test.each([1, 2, 3])(
    'with a node cut off during the outage nobody answers what is stale, seed %i',
    async (seed) => {
      const result = await simulate({ seed, minutes: MINUTES, script: outage(true) });
      expect(result.problems).toEqual([]);
    },
    SEED_MS_MAX,
  );
});

/** Planted: whoever does not answer an append is taken to have accepted it, as if the set could be shrunk without a lease (R1). */
const uncounted: Mistakes = {
  alterPeers: (peers) => ({
    call: async (address, path, body, options) => {
      const answer = await peers.call(address, path, body, options);
      if ((answer.ok && answer.value.status === 200) || !path.endsWith('/append')) return answer;
      const { prev, entries } = body as unknown as { prev: { seq: number }; entries: readonly unknown[] };
      return { ok: true, value: { status: 200, body: { match_seq: prev.seq + entries.length } } };
    },
  }),
};
/** Planted: a node takes its lease for granted, and asks nobody before it reads. */
const unasked: Mistakes = {
  alterLease: (lease) => ({ registration: () => lease.registration(), held: () => true }),
};

describe('planted mistakes without a lease are found', () => {
  test.each<[string, Mistakes]>([
    ['a read without the round of confirmations', unasked],
    ['a member of the ack set that does not answer is left out', uncounted],
  ])(
    '%s',
    async (_, mistakes) => {
      for (let seed = 1; seed <= 6; seed++) {
        const { problems } = await simulate({ seed, minutes: MINUTES, mistakes, script: outage(true) });
        if (problems.some((problem) => problem.startsWith('I-'))) return;
      }
      throw new Error('not found within 6 seeds');
    },
    5 * SEED_MS_MAX,
  );
});
