import {
  allEntriesVoid,
  electFromVoid,
  electLeader,
  leaderIsFenced,
  rejectionOf,
} from '../../shared/domain/election.ts';
import type { LivenessView } from '../../shared/domain/election.ts';
import { incarnation, nodeEpoch, nodeId, replicaId, storeUuid } from '../../shared/domain/ids.ts';
import type { LivenessRecord } from '../../shared/domain/lease.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { aLease, aReplica, aShard } from '../support/shards.ts';

const view = (...leases: LivenessRecord[]): LivenessView => new Map(leases.map((lease) => [lease.nodeId, lease]));
const fenced = (node: number): LivenessRecord =>
  aLease(node, { nodeEpoch: nodeEpoch(2), incarnation: null, sequence: 0 });
const back = (node: number): LivenessRecord =>
  aLease(node, { nodeEpoch: nodeEpoch(3), incarnation: incarnation(`inc-${node}b`) });
const calmly = { leadersOn: () => 0, random: () => 0, nowMs: 42 };

/** `node-2 2/2: node-1 OFFLINE 1, node-2 IN_SYNC 1` : leader epoch/generation: node status entry epoch. */
const drawn = (shard: ShardDescriptor): string =>
  `${shard.leader.nodeId} ${shard.epoch}/${shard.generation}: ` +
  shard.replicas.map((replica) => `${replica.nodeId} ${replica.syncStatus} ${replica.nodeEpoch}`).join(', ');

describe('election after a fence (E1)', () => {
  test("an IN_SYNC replica under its node's present epoch leads; the fenced one leaves the list", () => {
    const elected = electLeader(aShard(), view(fenced(1), aLease(2), aLease(3)), calmly);
    expect(elected.ok && drawn(elected.value.shard)).toBe(
      'node-2 2/2: node-1 OFFLINE 1, node-2 IN_SYNC 1, node-3 IN_SYNC 1',
    );
    expect(elected.ok && elected.value.rejected).toEqual([{ replicaId: 'r-1', nodeId: 'node-1', code: 'ENTRY_VOID' }]);
  });

  test('the fenced replica stays listed where the list would fall below min_in_sync (R1)', () => {
    const shard = aShard({ replicas: [aReplica(1), aReplica(2), aReplica(3, 'LAGGING')] });
    const elected = electLeader(shard, view(fenced(1), aLease(2), aLease(3)), calmly);
    expect(elected.ok && drawn(elected.value.shard)).toBe(
      'node-2 2/2: node-1 IN_SYNC 1, node-2 IN_SYNC 1, node-3 LAGGING 1',
    );
  });

  test("nobody is elected while the leader's node epoch is in force", () => {
    const expired = aLease(1, { expired: { nodeEpoch: nodeEpoch(1), sequence: 1 } });
    for (const leader of [aLease(1), expired, aLease(1, { released: true })]) {
      expect(electLeader(aShard(), view(leader, aLease(2), aLease(3)), calmly)).toEqual({
        ok: false,
        error: { code: 'LEADER_NOT_FENCED' },
      });
    }
  });

  test.each([
    ['LAGGING', 'NOT_IN_SYNC', aReplica(2, 'LAGGING'), aLease(2)],
    ['under an older node epoch', 'ENTRY_VOID', aReplica(2), back(2)],
    ['of a fenced node', 'ENTRY_VOID', aReplica(2), fenced(2)],
    ['of a node that is stopping', 'NODE_RELEASED', aReplica(2), aLease(2, { released: true })],
    [
      'of a node observed expired',
      'NODE_EXPIRED',
      aReplica(2),
      aLease(2, { expired: { nodeEpoch: nodeEpoch(1), sequence: 1 } }),
    ],
  ])('a replica %s is no candidate', (_what, code, replica, lease) => {
    const shard = aShard({ replicas: [aReplica(1), replica], minInSync: 1 });
    const refused = electLeader(shard, view(fenced(1), lease), calmly);
    expect(!refused.ok && refused.error.code === 'NO_CANDIDATE' && refused.error.rejected.at(-1)?.code).toBe(code);
  });

  test('the better of two random candidates leads: fewer leaders win', () => {
    const draws = [0, 0.99];
    const elected = electLeader(aShard(), view(fenced(1), aLease(2), aLease(3)), {
      leadersOn: (node) => (node === nodeId('node-2') ? 5 : 1),
      random: () => draws.shift() ?? 0,
      nowMs: 42,
    });
    expect(elected.ok && elected.value.shard.leader.nodeId).toBe('node-3');
  });

  test('the target of an open transfer is preferred, and the intent ends', () => {
    const shard = aShard({
      over: { intent: { kind: 'TRANSFER', targetReplicaId: replicaId('r-3'), sinceGeneration: aShard().generation } },
    });
    const elected = electLeader(shard, view(fenced(1), aLease(2), aLease(3)), calmly);
    expect(elected.ok && [elected.value.shard.leader.nodeId, elected.value.shard.intent]).toEqual(['node-3', null]);
  });
});

describe('who may be elected, one by one (E1)', () => {
  test.each<[string, ReturnType<typeof aReplica>, LivenessRecord[], string | null]>([
    ['in sync under its node epoch', aReplica(2), [aLease(2)], null],
    ['on a node that nobody knows', aReplica(2), [], 'NODE_UNKNOWN'],
    ['on a node that nobody holds', aReplica(2), [aLease(2, { incarnation: null })], 'NODE_FENCED'],
    ['on a newer node epoch than its node', aReplica(2, 'IN_SYNC', 2), [aLease(2)], 'ENTRY_VOID'],
    ['LAGGING on an unknown node', aReplica(2, 'LAGGING'), [], 'NOT_IN_SYNC'],
    ['OFFLINE', aReplica(2, 'OFFLINE'), [aLease(2)], 'NOT_IN_SYNC'],
    [
      'renewed since it was marked',
      aReplica(2),
      [aLease(2, { sequence: 2, expired: { nodeEpoch: nodeEpoch(1), sequence: 1 } })],
      null,
    ],
    [
      'marked under an older registration',
      aReplica(2, 'IN_SYNC', 2),
      [aLease(2, { nodeEpoch: nodeEpoch(2), expired: { nodeEpoch: nodeEpoch(1), sequence: 1 } })],
      null,
    ],
  ])('a replica %s', (_what, replica, leases, code) => {
    expect(rejectionOf(replica, view(...leases))).toBe(code);
  });

  test('a leader is fenced by a higher node epoch alone', () => {
    expect(leaderIsFenced(aShard(), view(fenced(1)))).toBe(true);
    expect(leaderIsFenced(aShard(), view(aLease(1)))).toBe(false);
    expect(leaderIsFenced(aShard(), view(aLease(1, { nodeEpoch: nodeEpoch(0) })))).toBe(false);
    expect(leaderIsFenced(aShard(), view(aLease(2)))).toBe(false);
  });

  test('every entry is void only if every node is known to have a higher epoch; entries out of sync do not count', () => {
    expect(allEntriesVoid(aShard(), view(fenced(1), back(2), back(3)))).toBe(true);
    expect(allEntriesVoid(aShard(), view(fenced(1), back(2)))).toBe(false);
    expect(allEntriesVoid(aShard(), view(fenced(1), back(2), aLease(3)))).toBe(false);
    const lagging = aShard({ replicas: [aReplica(1), aReplica(2), aReplica(3, 'LAGGING')] });
    expect(allEntriesVoid(lagging, view(fenced(1), back(2), aLease(3)))).toBe(true);
  });

  test('nobody to elect: told with the reason for each, and whether all entries are void', () => {
    const dead = electLeader(aShard(), view(fenced(1), back(2), back(3)), calmly);
    expect(dead).toEqual({
      ok: false,
      error: {
        code: 'NO_CANDIDATE',
        allVoid: true,
        rejected: [1, 2, 3].map((node) => ({ replicaId: `r-${node}`, nodeId: `node-${node}`, code: 'ENTRY_VOID' })),
      },
    });
    const stopping = electLeader(aShard(), view(fenced(1), aLease(2, { released: true }), back(3)), calmly);
    expect(stopping).toMatchObject({ ok: false, error: { code: 'NO_CANDIDATE', allVoid: false } });
  });
});

describe('whom an election chooses', () => {
  const led = (leaders: Readonly<Record<string, number>>, ...draws: number[]) => {
    const elected = electLeader(aShard(), view(fenced(1), aLease(2), aLease(3)), {
      leadersOn: (node) => leaders[node] ?? 0,
      random: () => draws.shift() ?? 0,
      nowMs: 42,
    });
    return elected.ok && elected.value.shard.leader.nodeId;
  };
  test.each<[string, Readonly<Record<string, number>>, number[], string]>([
    ['the first of two draws when both lead as many', { 'node-2': 3, 'node-3': 3 }, [0.99, 0], 'node-3'],
    ['the second when it leads fewer', { 'node-2': 2, 'node-3': 3 }, [0.99, 0], 'node-2'],
    ['the first when it leads fewer', { 'node-2': 4, 'node-3': 3 }, [0.99, 0], 'node-3'],
    ['one that was drawn twice, whatever the other leads', { 'node-2': 9, 'node-3': 0 }, [0, 0.49], 'node-2'],
  ])('%s', (_what, leaders, draws, node) => {
    expect(led(leaders, ...draws)).toBe(node);
  });

  test('a target of a transfer that may not lead is passed over', () => {
    const shard = aShard({
      over: { intent: { kind: 'TRANSFER', targetReplicaId: replicaId('r-3'), sinceGeneration: aShard().generation } },
    });
    const elected = electLeader(shard, view(fenced(1), aLease(2), back(3)), calmly);
    expect(elected.ok && elected.value.shard.leader.nodeId).toBe('node-2');
  });

  test("the leader's node epoch is copied from its entry, and its term begins now", () => {
    const shard = aShard({ replicas: [aReplica(1), aReplica(2, 'IN_SYNC', 7), aReplica(3, 'LAGGING')] });
    const elected = electLeader(shard, view(fenced(1), aLease(2, { nodeEpoch: nodeEpoch(7) })), calmly);
    expect(elected.ok && elected.value.shard).toMatchObject({
      leader: { replicaId: 'r-2', nodeId: 'node-2', nodeEpoch: 7 },
      leaderSinceMs: 42,
      epoch: 2,
      generation: 2,
      intent: null,
    });
  });

  test('of two fenced entries the one that is back with its directory stays, when only one may leave (R1)', () => {
    const replicas = [aReplica(1), aReplica(2), aReplica(3), aReplica(4)];
    const shard = aShard({ replicas, minInSync: 3 });
    const statuses = (...leases: LivenessRecord[]): string => {
      const elected = electLeader(shard, view(...leases, aLease(4)), calmly);
      return elected.ok ? elected.value.shard.replicas.map(({ syncStatus }) => syncStatus).join(' ') : 'nobody';
    };
    expect(statuses(back(1), fenced(2), aLease(3))).toBe('IN_SYNC OFFLINE IN_SYNC IN_SYNC');
    expect(statuses(fenced(1), back(2), aLease(3))).toBe('OFFLINE IN_SYNC IN_SYNC IN_SYNC');
    const wiped = (node: number): LivenessRecord => ({ ...back(node), storeUuid: storeUuid('store-new') });
    expect(statuses(wiped(1), back(2), aLease(3))).toBe('OFFLINE IN_SYNC IN_SYNC IN_SYNC');
    expect(statuses(back(1), wiped(2), aLease(3))).toBe('IN_SYNC OFFLINE IN_SYNC IN_SYNC');
  });

  test('all fenced entries leave where min_in_sync allows, and no other does', () => {
    const shard = aShard({ replicas: [aReplica(1), aReplica(2), aReplica(3), aReplica(4)], minInSync: 1 });
    const elected = electLeader(shard, view(fenced(1), back(2), aLease(3), aLease(4)), calmly);
    expect(elected.ok && drawn(elected.value.shard)).toBe(
      'node-3 2/2: node-1 OFFLINE 1, node-2 OFFLINE 1, node-3 IN_SYNC 1, node-4 IN_SYNC 1',
    );
    const two = electLeader({ ...shard, minInSync: 2 }, view(fenced(1), back(2), aLease(3), aLease(4)), calmly);
    expect(two.ok && drawn(two.value.shard)).toBe(
      'node-3 2/2: node-1 OFFLINE 1, node-2 OFFLINE 1, node-3 IN_SYNC 1, node-4 IN_SYNC 1',
    );
  });

  test('an entry of an unknown node is not fenced: it stays listed', () => {
    const elected = electLeader(aShard({ minInSync: 1 }), view(fenced(1), aLease(2)), calmly);
    expect(elected.ok && drawn(elected.value.shard)).toBe(
      'node-2 2/2: node-1 OFFLINE 1, node-2 IN_SYNC 1, node-3 IN_SYNC 1',
    );
  });
});

describe('election of the void after a loss of power (E4)', () => {
  const proof = (over = {}) => ({
    replicaId: replicaId('r-2'),
    nodeId: nodeId('node-2'),
    nodeEpoch: nodeEpoch(3),
    storeUuid: storeUuid('store-2'),
    logIntact: true,
    ...over,
  });
  const dark = view(fenced(1), back(2), back(3));

  test("a listed replica with its directory and an intact log leads under its node's new epoch", () => {
    const elected = electFromVoid(aShard(), dark, proof(), 42);
    // node-3 is back too: its entry stays listed and required; node-1 is gone and leaves.
    expect(elected.ok && drawn(elected.value.shard)).toBe(
      'node-2 2/2: node-1 OFFLINE 1, node-2 IN_SYNC 3, node-3 IN_SYNC 1',
    );
  });

  test('with one replica the only one leads', () => {
    const alone = aShard({ replicas: [aReplica(1)], minInSync: 1 });
    const elected = electFromVoid(
      alone,
      view(back(1)),
      proof({ replicaId: replicaId('r-1'), nodeId: nodeId('node-1'), storeUuid: storeUuid('store-1') }),
      42,
    );
    expect(elected.ok && drawn(elected.value.shard)).toBe('node-1 2/2: node-1 IN_SYNC 3');
  });

  test.each([
    ['another data directory', { storeUuid: storeUuid('store-wiped') }, 'STORE_MISMATCH'],
    ['a damaged log', { logIntact: false }, 'LOG_DAMAGED'],
    ['a replica that is not listed', { replicaId: replicaId('r-9') }, 'NOT_LISTED'],
    ['a passed node epoch', { nodeEpoch: nodeEpoch(2) }, 'NODE_EPOCH_STALE'],
    ['a replica of another node', { nodeId: nodeId('node-3') }, 'NOT_LISTED'],
  ])('%s proves nothing', (_what, over, reason) => {
    expect(electFromVoid(aShard(), dark, proof(over), 42)).toEqual({
      ok: false,
      error: { code: 'NOT_PROVEN', reason },
    });
  });

  test.each<[string, LivenessRecord[]]>([
    ['a node that nobody holds', [aLease(2, { nodeEpoch: nodeEpoch(3), incarnation: null })]],
    ['a node that registered with another directory', [{ ...back(2), storeUuid: storeUuid('store-new') }]],
  ])('%s proves nothing', (_what, leases) => {
    expect(electFromVoid(aShard(), view(fenced(1), ...leases, back(3)), proof(), 42)).toEqual({
      ok: false,
      error: { code: 'NOT_PROVEN', reason: 'NODE_EPOCH_STALE' },
    });
  });

  test('the winner leads under its new node epoch from now on, and nobody was rejected', () => {
    const elected = electFromVoid(aShard(), dark, proof(), 42);
    expect(elected).toMatchObject({
      ok: true,
      value: {
        rejected: [],
        shard: { leader: { replicaId: 'r-2', nodeId: 'node-2', nodeEpoch: 3 }, leaderSinceMs: 42 },
      },
    });
  });

  test('a LAGGING replica proves nothing', () => {
    const shard = aShard({ replicas: [aReplica(1), aReplica(2, 'LAGGING'), aReplica(3)] });
    expect(electFromVoid(shard, dark, proof(), 42)).toEqual({
      ok: false,
      error: { code: 'NOT_PROVEN', reason: 'NOT_LISTED' },
    });
  });

  test('refused while one entry could be elected in the ordinary way, or the leader is not fenced', () => {
    expect(electFromVoid(aShard(), view(fenced(1), back(2), aLease(3)), proof(), 42)).toEqual({
      ok: false,
      error: { code: 'NO_CANDIDATE', allVoid: false, rejected: [] },
    });
    expect(electFromVoid(aShard(), view(aLease(1), back(2), back(3)), proof(), 42)).toMatchObject({
      ok: false,
      error: { code: 'LEADER_NOT_FENCED' },
    });
    expect(allEntriesVoid(aShard(), dark)).toBe(true);
  });
});
