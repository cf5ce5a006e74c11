import type { LivenessView } from '../../shared/domain/election.ts';
import { nodeEpoch, nodeId, replicaId, shardId, storeUuid } from '../../shared/domain/ids.ts';
import { checkTransition } from '../../shared/domain/invariants.ts';
import type { LivenessRecord } from '../../shared/domain/lease.ts';
import type { ReplicaLogRecord } from '../../shared/domain/records.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { diagnose, electUnclean, planRecovery, shrinkBelow } from '../../shared/domain/unclean-election.ts';
import type { LogView } from '../../shared/domain/unclean-election.ts';
import { aLease, aReplica, aShard } from '../support/shards.ts';

const viewOf = (...leases: LivenessRecord[]): LivenessView => new Map(leases.map((lease) => [lease.nodeId, lease]));
const dead = (node: number): LivenessRecord => aLease(node, { nodeEpoch: nodeEpoch(2), incarnation: null });
const back = (node: number, over: Partial<LivenessRecord> = {}): LivenessRecord =>
  aLease(node, { nodeEpoch: nodeEpoch(3), ...over });
const log = (node: number, over: Partial<ReplicaLogRecord> = {}): ReplicaLogRecord => ({
  shardId: shardId('shard-1'),
  replicaId: replicaId(`r-${node}`),
  nodeId: nodeId(`node-${node}`),
  nodeEpoch: nodeEpoch(1),
  storeUuid: storeUuid(`store-${node}`),
  lastEpoch: 1,
  lastSeq: 10 * node,
  intact: true,
  atMs: 0,
  ...over,
});
const logsOf = (...logs: ReplicaLogRecord[]): LogView => new Map(logs.map((one) => [one.replicaId, one]));
/** In sync on 1 and 2, lagging on 3 and 4. */
const shard = (): ShardDescriptor =>
  aShard({ replicas: [aReplica(1), aReplica(2), aReplica(3, 'LAGGING'), aReplica(4, 'OFFLINE')] });
const expired = (node: number): LivenessRecord => aLease(node, { expired: { nodeEpoch: nodeEpoch(1), sequence: 1 } });

describe('what keeps a shard from serving (E1, E4, R1)', () => {
  test.each<[string, ShardDescriptor, LivenessView, LogView, object]>([
    ['all is well', shard(), viewOf(aLease(1), aLease(2), aLease(3)), logsOf(), { kind: 'LED' }],
    [
      'the leader is expired, not fenced',
      shard(),
      viewOf(expired(1), dead(2), aLease(3)),
      logsOf(log(3)),
      { kind: 'FENCE_AWAITED', nodeId: 'node-1' },
    ],
    [
      'a replica in sync can be elected',
      shard(),
      viewOf(dead(1), aLease(2), aLease(3)),
      logsOf(log(3)),
      { kind: 'ELECTION_AWAITED', nodeId: 'node-2' },
    ],
    [
      'a replica in sync is expired and not fenced',
      shard(),
      viewOf(dead(1), expired(2), aLease(3)),
      logsOf(log(3)),
      { kind: 'FENCE_AWAITED', nodeId: 'node-2' },
    ],
    [
      'a replica in sync is back with its directory',
      shard(),
      viewOf(dead(1), back(2), aLease(3)),
      logsOf(log(3)),
      { kind: 'PROOF_AWAITED', nodeId: 'node-2' },
    ],
    [
      'it is back, and said under its former registration that its copy is damaged: that may have passed',
      shard(),
      viewOf(dead(1), back(2), aLease(3)),
      logsOf(log(3), log(2, { intact: false })),
      { kind: 'PROOF_AWAITED', nodeId: 'node-2' },
    ],
    [
      'it is back with a damaged copy',
      shard(),
      viewOf(dead(1), back(2), aLease(3)),
      logsOf(log(3), log(2, { intact: false, nodeEpoch: nodeEpoch(3) })),
      { kind: 'QUORUM_LOST', lost: [{ reason: 'NODE_AWAY' }, { reason: 'COPY_DAMAGED' }] },
    ],
    [
      'one is away, one lost its directory',
      shard(),
      viewOf(dead(1), back(2, { storeUuid: storeUuid('store-new') }), aLease(3)),
      logsOf(log(3)),
      { kind: 'QUORUM_LOST', lost: [{ reason: 'NODE_AWAY' }, { reason: 'DIRECTORY_LOST' }] },
    ],
    [
      'the leader lives, the other one of the least list is away',
      shard(),
      viewOf(aLease(1), dead(2), aLease(3)),
      logsOf(),
      { kind: 'STALLED', lost: [{ nodeId: 'node-2', reason: 'NODE_AWAY' }] },
    ],
    [
      'that one is back: the leader fills it',
      shard(),
      viewOf(aLease(1), back(2, { storeUuid: storeUuid('store-new') }), aLease(3)),
      logsOf(),
      { kind: 'LED' },
    ],
  ])('%s', (_, at, view, logs, expected) => {
    expect(diagnose(at, view, logs)).toMatchObject(expected);
  });
});

describe('an UNCLEAN election (E4)', () => {
  const view = viewOf(dead(1), dead(2), aLease(3), aLease(4));

  test('candidates are ranked by epoch, then entry; whoever can not be relied on is rejected with a reason', () => {
    const ends = logsOf(log(3, { lastEpoch: 1, lastSeq: 99 }), log(4, { lastEpoch: 2, lastSeq: 5 }));
    const found = diagnose({ ...shard(), epoch: 2 as never }, view, ends);
    expect(found.kind === 'QUORUM_LOST' && found.candidates.map((one) => one.nodeId)).toEqual(['node-4', 'node-3']);
    const rejections: [ReplicaLogRecord | null, LivenessRecord, string][] = [
      [null, aLease(3), 'NOT_REPORTED'],
      [log(3), back(3), 'REPORT_STALE'],
      [log(3), aLease(3, { storeUuid: storeUuid('store-new') }), 'REPORT_STALE'],
      [log(3, { intact: false }), aLease(3), 'COPY_DAMAGED'],
      [log(3, { lastSeq: 0 }), aLease(3), 'COPY_EMPTY'],
      [log(3), dead(3), 'NODE_AWAY'],
      [log(3), expired(3), 'NODE_AWAY'],
    ];
    for (const [end, lease, code] of rejections) {
      const logs = end === null ? logsOf(log(4)) : logsOf(end, log(4));
      const plan = planRecovery(shard(), viewOf(dead(1), dead(2), lease, aLease(4)), logs);
      expect(plan).toMatchObject({ ok: true, value: { candidate: { nodeId: 'node-4' } } });
      if (plan.ok) expect(plan.value.rejected).toContainEqual({ replicaId: 'r-3', nodeId: 'node-3', code });
    }
  });

  test('the plan says what is missing as far as anybody told', () => {
    expect(planRecovery({ ...shard(), epoch: 4 as never }, view, logsOf(log(3)))).toMatchObject({
      ok: true,
      value: { kind: 'UNCLEAN', behindEntries: null, missingEpochs: 3, logEnd: { epoch: 1, seq: 30 } },
    });
    expect(planRecovery(shard(), view, logsOf(log(3), log(1, { lastSeq: 37 })))).toMatchObject({
      ok: true,
      value: { behindEntries: 7, missingEpochs: 0 },
    });
    expect(planRecovery(shard(), view, logsOf())).toMatchObject({ ok: false, error: { kind: 'NO_COPY' } });
  });

  test('the candidate leads above every epoch that was seen; every other copy is made anew', () => {
    let drawn = 0;
    const before = shard();
    const logs = logsOf(log(3), log(4, { lastEpoch: 0, lastSeq: 1 }), log(1, { lastEpoch: 6 }));
    const elected = electUnclean(before, view, logs, () => replicaId(`new-${++drawn}`), 7);
    if (!elected.ok) throw new Error(elected.error.kind);
    const after = elected.value;
    expect(after).toMatchObject({
      epoch: 7,
      generation: 2,
      dataLoss: true,
      minInSync: 1,
      leader: { replicaId: 'r-3', nodeId: 'node-3', nodeEpoch: 1 },
    });
    expect(after.replicas.map((one) => `${one.replicaId}@${one.nodeId}/${one.nodeEpoch} ${one.syncStatus}`)).toEqual([
      'new-1@node-1/2 OFFLINE',
      'new-2@node-2/2 OFFLINE',
      'r-3@node-3/1 IN_SYNC',
      'new-3@node-4/1 OFFLINE',
    ]);
    const liveness = (id: string): LivenessRecord | null => view.get(nodeId(id)) ?? null;
    expect(checkTransition(before, after, { liveness })).toEqual([]);

    const broken: [string, ShardDescriptor, LivenessView][] = [
      ['I-4 E4', after, viewOf(aLease(1), dead(2), aLease(3), aLease(4))],
      ['I-6 E4', after, viewOf(dead(1), aLease(2), aLease(3), aLease(4))],
      ['I-4 E4', after, viewOf(dead(1), dead(2), back(3), aLease(4))],
      ['I-6 E4', { ...after, replicas: [before.replicas[0]!, ...after.replicas.slice(1)] }, view],
      [
        'I-6 E4',
        { ...after, replicas: after.replicas.map((one) => ({ ...one, syncStatus: 'IN_SYNC' as const })) },
        view,
      ],
      ['I-7 E4', { ...after, replicas: after.replicas.slice(1) }, view],
    ];
    for (const [expected, shown, at] of broken) {
      const found = checkTransition(before, shown, { liveness: (id) => at.get(id) ?? null });
      expect(found.map(({ invariant, rule }) => `${invariant} ${rule ?? ''}`)).toContain(expected);
    }
  });
});

describe('a forced shrink', () => {
  test('the leader keeps its epoch; who is away leaves the list, and min_in_sync follows', () => {
    const view = viewOf(aLease(1), dead(2), aLease(3), aLease(4));
    const shrunk = shrinkBelow(shard(), view);
    if (!shrunk.ok) throw new Error(shrunk.error.kind);
    expect(shrunk.value).toMatchObject({
      epoch: 1,
      generation: 2,
      minInSync: 1,
      dataLoss: false,
      leader: { nodeId: 'node-1' },
    });
    expect(shrunk.value.replicas.map((one) => one.syncStatus)).toEqual(['IN_SYNC', 'OFFLINE', 'LAGGING', 'OFFLINE']);
    const liveness = (id: string): LivenessRecord | null => view.get(nodeId(id)) ?? null;
    expect(checkTransition(shard(), shrunk.value, { liveness })).toEqual([]);
  });

  test('refused while the leader is fenced or nobody is missing', () => {
    expect(shrinkBelow(shard(), viewOf(dead(1), dead(2)))).toMatchObject({ ok: false });
    expect(shrinkBelow(shard(), viewOf(aLease(1), aLease(2)))).toMatchObject({ ok: false, error: { kind: 'LED' } });
  });
});
