import { allEntriesVoid, electFromVoid, electLeader } from '../../shared/domain/election.ts';
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
  ])('%s proves nothing', (_what, over, reason) => {
    expect(electFromVoid(aShard(), dark, proof(over), 42)).toEqual({
      ok: false,
      error: { code: 'NOT_PROVEN', reason },
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
    expect(electFromVoid(aShard(), view(fenced(1), back(2), aLease(3)), proof(), 42)).toMatchObject({
      ok: false,
      error: { code: 'NO_CANDIDATE', allVoid: false },
    });
    expect(electFromVoid(aShard(), view(aLease(1), back(2), back(3)), proof(), 42)).toMatchObject({
      ok: false,
      error: { code: 'LEADER_NOT_FENCED' },
    });
    expect(allEntriesVoid(aShard(), dark)).toBe(true);
  });
});
