import { completeTransfer, decideTransfer } from '../../shared/domain/transfer.ts';
import type { LivenessView } from '../../shared/domain/election.ts';
import { epoch, generation, nodeEpoch, replicaId } from '../../shared/domain/ids.ts';
import type { LivenessRecord } from '../../shared/domain/lease.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { aLease, aReplica, aShard } from '../support/shards.ts';

const view = (...leases: LivenessRecord[]): LivenessView => new Map(leases.map((lease) => [lease.nodeId, lease]));
const healthy = view(aLease(1), aLease(2), aLease(3));
const to = (node: number) => replicaId(`r-${node}`);
const intended = (): ShardDescriptor => {
  const step = decideTransfer(aShard(), to(2), healthy);
  if (!step.ok || step.value.kind !== 'WRITE_INTENT') throw new Error('no intent');
  return step.value.shard;
};
const receipt = (over = {}) => ({ replicaId: to(1), epoch: epoch(1), generation: generation(2), ...over });

describe('transfer of leadership by receipt (E2)', () => {
  test('the intent is a new generation under the same leader and epoch', () => {
    expect(intended()).toMatchObject({
      epoch: 1,
      generation: 2,
      leader: { nodeId: 'node-1' },
      intent: { targetReplicaId: 'r-2', sinceGeneration: 2 },
    });
  });

  test("the leader itself, a standing intent, another one, and targets that can't lead", () => {
    expect(decideTransfer(aShard(), to(1), healthy)).toEqual({ ok: true, value: { kind: 'ALREADY_LEADER' } });
    expect(decideTransfer(intended(), to(2), healthy)).toEqual({ ok: true, value: { kind: 'INTENT_STANDS' } });
    expect(decideTransfer(intended(), to(3), healthy)).toMatchObject({
      ok: false,
      error: { code: 'TRANSFER_PENDING' },
    });
    const lagging = aShard({ replicas: [aReplica(1), aReplica(2, 'LAGGING'), aReplica(3)] });
    expect(decideTransfer(lagging, to(2), healthy)).toEqual({
      ok: false,
      error: { code: 'REPLICA_NOT_IN_SYNC', reason: 'NOT_IN_SYNC' },
    });
    expect(decideTransfer(aShard(), to(9), healthy)).toEqual({ ok: false, error: { code: 'REPLICA_UNKNOWN' } });
  });

  test('the receipt makes the target leader at epoch + 1', () => {
    const done = completeTransfer(intended(), receipt(), healthy, 42);
    expect(done.ok && done.value).toMatchObject({
      epoch: 2,
      generation: 3,
      intent: null,
      leader: { nodeId: 'node-2', nodeEpoch: 1 },
      leaderSinceMs: 42,
    });
  });

  test.each([
    ['of another epoch', { epoch: epoch(2) }],
    ['of a generation before the intent', { generation: generation(1) }],
    ['of another replica', { replicaId: to(3) }],
  ])('a receipt %s does not count', (_what, over) => {
    expect(completeTransfer(intended(), receipt(over), healthy, 42)).toEqual({
      ok: false,
      error: { code: 'RECEIPT_MISMATCH' },
    });
  });

  test('a target that fell away is replaced by another, at last by the old leader: an abort is a transfer too', () => {
    const gone = (node: number) => aLease(node, { nodeEpoch: nodeEpoch(2), incarnation: null });
    const other = completeTransfer(intended(), receipt(), view(aLease(1), gone(2), aLease(3)), 42);
    expect(other.ok && [other.value.leader.nodeId, other.value.epoch]).toEqual(['node-3', 2]);
    const old = completeTransfer(intended(), receipt(), view(aLease(1), gone(2), gone(3)), 42);
    expect(old.ok && [old.value.leader.nodeId, old.value.epoch]).toEqual(['node-1', 2]);
  });

  test('without an intent a receipt changes nothing', () => {
    expect(completeTransfer(aShard(), receipt(), healthy, 42)).toEqual({ ok: false, error: { code: 'NO_INTENT' } });
  });
});
