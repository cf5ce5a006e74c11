import { decideShrink, decideStatusProposal, mayRecreateEmpty } from '../../shared/domain/replication.ts';
import type { StatusProposal } from '../../shared/domain/replication.ts';
import { epoch, generation, nodeEpoch, nodeId, replicaId, storeUuid } from '../../shared/domain/ids.ts';
import { aReplica, aShard } from '../support/shards.ts';

const proposal = (over: Partial<StatusProposal> = {}): StatusProposal => ({
  proposer: { nodeId: nodeId('node-1'), nodeEpoch: nodeEpoch(1) },
  epoch: epoch(1),
  generation: generation(1),
  replicaId: replicaId('r-3'),
  session: { nodeEpoch: nodeEpoch(4), storeUuid: storeUuid('store-3b') },
  syncStatus: 'IN_SYNC',
  ...over,
});
const lagging = aShard({ replicas: [aReplica(1), aReplica(2), aReplica(3, 'LAGGING')] });

describe("the leader proposes, the descriptor's own fields decide (R1, R2, R3)", () => {
  test('growth: the entry carries the node epoch and the directory of the session (R2)', () => {
    const decided = decideStatusProposal(lagging, proposal());
    expect(decided.ok && decided.value?.replicas[2]).toEqual({ ...aReplica(3), nodeEpoch: 4, storeUuid: 'store-3b' });
    expect(decided.ok && decided.value?.generation).toBe(2);
  });

  test.each([
    ['another epoch', { epoch: epoch(2) }, 'EPOCH_STALE'],
    ['another generation', { generation: generation(2) }, 'GENERATION_STALE'],
    ['a follower', { proposer: { nodeId: nodeId('node-2'), nodeEpoch: nodeEpoch(1) } }, 'NOT_LEADER'],
    [
      "the leader's node under another registration",
      { proposer: { nodeId: nodeId('node-1'), nodeEpoch: nodeEpoch(2) } },
      'NOT_LEADER',
    ],
    ['of a replica that is not listed', { replicaId: replicaId('r-9') }, 'REPLICA_UNKNOWN'],
  ])('refused: a proposal under or by %s', (_what, over, code) => {
    expect(decideStatusProposal(lagging, proposal(over))).toMatchObject({ ok: false, error: { code } });
  });

  test('a repeated proposal changes nothing, whatever generation it names', () => {
    const again = proposal({
      replicaId: replicaId('r-2'),
      session: { nodeEpoch: nodeEpoch(1), storeUuid: storeUuid('store-2') },
      generation: generation(0),
    });
    expect(decideStatusProposal(lagging, again)).toEqual({ ok: true, value: null });
  });

  test('a replica IN_SYNC under an older session is entered anew under the new one', () => {
    const decided = decideStatusProposal(aShard(), proposal());
    expect(decided.ok && decided.value?.replicas[2]?.nodeEpoch).toBe(4);
  });

  test('shrinkage stops at min_in_sync, and never takes the leader (R1)', () => {
    expect(decideStatusProposal(lagging, proposal({ replicaId: replicaId('r-2'), syncStatus: 'LAGGING' }))).toEqual({
      ok: false,
      error: { code: 'NOT_ENOUGH_IN_SYNC', inSync: 2, minInSync: 2 },
    });
    expect(decideShrink(aShard(), aReplica(1), 'OFFLINE')).toMatchObject({
      ok: false,
      error: { code: 'LEADER_STAYS_IN_SYNC' },
    });
    const shrunk = decideShrink(aShard(), aReplica(3), 'OFFLINE');
    expect(shrunk.ok && shrunk.value?.replicas.map((replica) => replica.syncStatus)).toEqual([
      'IN_SYNC',
      'IN_SYNC',
      'OFFLINE',
    ]);
  });

  test('an empty copy is made only where the entry could not be elected as it stands', () => {
    const session = { nodeEpoch: nodeEpoch(2), storeUuid: storeUuid('store-3b') };
    expect(mayRecreateEmpty(aReplica(3, 'IN_SYNC', 1), session)).toBe(true);
    expect(mayRecreateEmpty(aReplica(3, 'LAGGING', 2), session)).toBe(true);
    expect(mayRecreateEmpty(aReplica(3, 'IN_SYNC', 2), session)).toBe(false);
  });
});
