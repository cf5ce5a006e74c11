import { encodedKey, epoch, generation, operationId, replicaId, shardId } from '../../shared/domain/ids.ts';
import type { ReplicaId } from '../../shared/domain/ids.ts';
import { abortMerge, commitMerge, mergeObstacle } from '../../shared/domain/merge.ts';
import { commitSplit, decideSplitKey, splittingState } from '../../shared/domain/split.ts';
import { inSyncReplicas } from '../../shared/domain/shard.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { checkTransition } from '../../shared/domain/invariants.ts';
import { checkMerge, checkSplit } from '../../shared/domain/structure-invariants.ts';
import { aReplica, aShard } from '../support/shards.ts';

const operation = operationId('op-1');

let numbered = 0;
const newReplicaId = (): ReplicaId => replicaId(`r-new-${++numbered}`);

/** `shard` with the intent of a split at `key`. */
const splitting = (shard: ShardDescriptor, key: string | null): ShardDescriptor => ({
  ...shard,
  state: splittingState(
    shard,
    { operationId: operation, splitKey: key === null ? null : encodedKey(key), childShardId: shardId('shard-child') },
    newReplicaId,
  ),
});
const allPrepared = (shard: ShardDescriptor) =>
  inSyncReplicas(shard).map(({ replicaId: id, nodeEpoch }) => ({ replicaId: id, nodeEpoch }));
const commitOf = (shard: ShardDescriptor) =>
  commitSplit(shard, { operationId: operation, prepared: allPrepared(shard), nowMs: 7 });

describe("a leader's split key (S1)", () => {
  const shard = splitting(aShard({ start: 'b', end: 'y', epoch: 3, generation: 8 }), null);
  const proposal = {
    proposer: shard.leader,
    epoch: epoch(3),
    generation: generation(8),
    operationId: operation,
    splitKey: encodedKey('m'),
  };

  test('goes into the intent, and the shard goes on as it is', () => {
    const decided = decideSplitKey(shard, proposal);
    expect(decided).toMatchObject({ ok: true, value: { generation: 9, endKey: 'y', state: { splitKey: 'm' } } });
    if (!decided.ok || decided.value === null) throw new Error('refused');
    expect(decideSplitKey(decided.value, proposal)).toEqual({ ok: true, value: null });
  });

  test('null gives the shard back: the operation finds that it lost it', () => {
    const decided = decideSplitKey(shard, { ...proposal, splitKey: null });
    expect(decided).toMatchObject({ ok: true, value: { generation: 9, state: { kind: 'ACTIVE' } } });
  });

  test.each([
    ['the start of the shard', { splitKey: encodedKey('b') }, 'KEY_OUT_OF_RANGE'],
    ['its end', { splitKey: encodedKey('y') }, 'KEY_OUT_OF_RANGE'],
    ['a key below it', { splitKey: encodedKey('a') }, 'KEY_OUT_OF_RANGE'],
    ['another epoch', { epoch: epoch(2) }, 'EPOCH_STALE'],
    ['another generation', { generation: generation(7) }, 'GENERATION_STALE'],
    ['a follower', { proposer: aReplica(2) }, 'NOT_LEADER'],
    ['an older registration of the leader', { proposer: aReplica(1, 'IN_SYNC', 0) }, 'NOT_LEADER'],
    ['another operation', { operationId: operationId('op-2') }, 'NO_SPLIT_ASKED'],
  ])('is refused for %s', (_what, over, code) => {
    expect(decideSplitKey(shard, { ...proposal, ...over })).toMatchObject({ ok: false, error: { code } });
  });
});

describe('the commit of a split (S1)', () => {
  test('gives parts that tile the parent, the child led by the same node at epoch + 1, entries copied', () => {
    const shard = splitting(
      aShard({ epoch: 4, generation: 9, replicas: [aReplica(1), aReplica(2, 'IN_SYNC', 3), aReplica(3, 'LAGGING')] }),
      'm',
    );
    const parts = commitOf(shard);
    if (!parts.ok) throw new Error(parts.error.code);
    const { parent, child } = parts.value;
    expect(parent).toMatchObject({ shardId: 'shard-1', startKey: '', endKey: 'm', epoch: 4, generation: 10 });
    expect(child).toMatchObject({ shardId: 'shard-child', startKey: 'm', endKey: null, epoch: 5, generation: 10 });
    expect(child.leader).toMatchObject({ nodeId: 'node-1', nodeEpoch: shard.leader.nodeEpoch });
    expect(child.replicas.map(({ nodeId, nodeEpoch, syncStatus }) => [nodeId, nodeEpoch, syncStatus])).toEqual([
      ['node-1', 1, 'IN_SYNC'],
      ['node-2', 3, 'IN_SYNC'],
      ['node-3', 1, 'LAGGING'],
    ]);
    expect(new Set([...parent.replicas, ...child.replicas].map((replica) => replica.replicaId)).size).toBe(6);
    expect(checkSplit(shard, parent, child)).toEqual([]);
  });

  test('waits for every IN_SYNC copy, under the node epoch of its entry', () => {
    const shard = splitting(aShard(), 'm');
    const prepared = allPrepared(shard);
    const stale = prepared.map((one, index) =>
      index === 2 ? { ...one, nodeEpoch: aReplica(3, 'IN_SYNC', 9).nodeEpoch } : one,
    );
    for (const some of [prepared.slice(0, 2), stale, []]) {
      const decided = commitSplit(shard, { operationId: operation, prepared: some, nowMs: 7 });
      expect(decided).toMatchObject({ ok: false, error: { code: 'NOT_PREPARED' } });
    }
  });

  test('is refused to another operation, without a key, and during a transfer', () => {
    const shard = splitting(aShard(), 'm');
    const intent = { kind: 'TRANSFER' as const, targetReplicaId: replicaId('r-2'), sinceGeneration: generation(1) };
    const commit = { operationId: operation, prepared: allPrepared(shard), nowMs: 7 };
    expect(commitSplit(shard, { ...commit, operationId: operationId('op-2') })).toMatchObject({
      error: { code: 'NOT_OWNER' },
    });
    expect(commitSplit(aShard(), commit)).toMatchObject({ error: { code: 'NOT_OWNER' } });
    expect(commitSplit(splitting(aShard(), null), commit)).toMatchObject({ error: { code: 'SPLIT_KEY_MISSING' } });
    expect(commitSplit({ ...shard, intent }, commit)).toMatchObject({ error: { code: 'TRANSFER_PENDING' } });
  });

  test('any broken part is found by the check of the invariants', () => {
    const shard = splitting(aShard({ epoch: 4, generation: 9 }), 'm');
    const parts = commitOf(shard);
    if (!parts.ok) throw new Error(parts.error.code);
    const { parent, child } = parts.value;
    const broken: [ShardDescriptor, ShardDescriptor][] = [
      [{ ...parent, endKey: encodedKey('n') }, child],
      [parent, { ...child, epoch: parent.epoch }],
      [parent, { ...child, generation: shard.generation }],
      [parent, { ...child, shardId: shardId('shard-other') }],
      [parent, { ...child, leader: { ...child.leader, nodeEpoch: aReplica(1, 'IN_SYNC', 2).nodeEpoch } }],
      [{ ...parent, epoch: epoch(5) }, child],
      [parent, { ...child, replicas: child.replicas.slice(0, 2) }],
      [{ ...parent, replicas: parent.replicas.slice(0, 2) }, child],
    ];
    for (const [left, right] of broken) expect(checkSplit(shard, left, right)).not.toEqual([]);
    expect(checkSplit(aShard({ epoch: 4, generation: 9 }), parent, child)).not.toEqual([]);
  });
});

describe('a merge (S2)', () => {
  const copies = (prefix: string, ...replicas: readonly ReturnType<typeof aReplica>[]) =>
    replicas.map((replica) => ({ ...replica, replicaId: replicaId(`${prefix}${replica.replicaId}`) }));
  const left = aShard({
    id: 'left',
    end: 'm',
    epoch: 4,
    generation: 9,
    over: { state: { kind: 'MERGING', operationId: operation, side: 'LEFT', otherShardId: shardId('right') } },
  });
  const right = aShard({
    id: 'right',
    start: 'm',
    end: 't',
    epoch: 7,
    generation: 3,
    replicas: copies('right-', aReplica(1), aReplica(2), aReplica(3, 'LAGGING')),
    over: { state: { kind: 'MERGING', operationId: operation, side: 'RIGHT', otherShardId: shardId('left') } },
  });
  const receiptOf = (shard: ShardDescriptor) => ({
    replicaId: shard.leader.replicaId,
    epoch: shard.epoch,
    generation: shard.generation,
    sealed: { epoch: shard.epoch, seq: 40 },
  });
  const commit = {
    operationId: operation,
    receipts: { left: receiptOf(left), right: receiptOf(right) },
    sinceGeneration: { left: 9, right: 3 },
    nowMs: 7,
  };

  test('keeps the left id and copies; epoch and generation exceed both, IN_SYNC is the intersection', () => {
    const decided = commitMerge(left, right, commit);
    if (!decided.ok) throw new Error(decided.error.code);
    const merged = decided.value;
    expect(merged).toMatchObject({ shardId: 'left', startKey: '', endKey: 't', epoch: 8, generation: 10 });
    expect(merged.state).toEqual({ kind: 'ACTIVE' });
    expect(merged.replicas.map(({ replicaId: id, syncStatus }) => [id, syncStatus])).toEqual([
      ['r-1', 'IN_SYNC'],
      ['r-2', 'IN_SYNC'],
      ['r-3', 'LAGGING'],
    ]);
    const receipts = new Map([left, right].map((shard) => [shard.shardId as string, receiptOf(shard)]));
    const receipt = (id: string) => receipts.get(id) ?? null;
    expect(checkMerge(left, right, merged, receipt)).toEqual([]);
    expect(checkMerge(left, right, merged, () => null)).not.toEqual([]);
    expect(checkMerge(left, right, { ...merged, epoch: right.epoch }, receipt)).not.toEqual([]);
    expect(checkMerge(left, right, { ...merged, replicas: left.replicas }, receipt)).not.toEqual([]);
  });

  test.each([
    ['shards that are no neighbours', left, { ...right, startKey: encodedKey('n') }, 'NOT_NEIGHBOURS'],
    ['another operation', left, { ...right, state: { kind: 'ACTIVE' as const } }, 'NOT_OWNER'],
    [
      'replicas on other nodes',
      left,
      { ...right, replicas: copies('right-', aReplica(1), aReplica(2), aReplica(4)) },
      'REPLICAS_APART',
    ],
    [
      'leaders on two nodes',
      left,
      { ...right, leader: { ...right.leader, nodeId: aReplica(2).nodeId } },
      'LEADERS_APART',
    ],
    [
      'a leader of another registration',
      left,
      { ...right, leader: { ...right.leader, nodeEpoch: aReplica(1, 'IN_SYNC', 2).nodeEpoch } },
      'LEADERS_APART',
    ],
  ])('is refused for %s', (_what, one, other, code) => {
    expect(commitMerge(one, other, commit)).toMatchObject({ ok: false, error: { code } });
  });

  test('is refused without both receipts of the present epochs', () => {
    for (const receipts of [
      { ...commit.receipts, left: { ...commit.receipts.left, epoch: epoch(3) } },
      { ...commit.receipts, right: { ...commit.receipts.right, generation: generation(2) } },
      { ...commit.receipts, right: { ...commit.receipts.right, replicaId: replicaId('right-r-2') } },
    ])
      expect(commitMerge(left, right, { ...commit, receipts })).toMatchObject({ error: { code: 'RECEIPT_MISMATCH' } });
  });

  test('tells where the parts were sealed, and is refused if one was not (R1)', () => {
    const { sealed: _end, ...unsealed } = commit.receipts.right;
    expect(commitMerge(left, right, { ...commit, receipts: { ...commit.receipts, right: unsealed } })).toMatchObject({
      error: { code: 'NOT_SEALED' },
    });
    expect(commitMerge(left, right, commit)).toMatchObject({
      value: {
        mergedFrom: {
          rightShardId: 'right',
          borderKey: 'm',
          endKey: 't',
          sealed: { left: { epoch: 4, seq: 40 }, right: { epoch: 7, seq: 40 } },
        },
      },
    });
  });

  test('that is given up gives a side back with a transfer, since its leader may be sealed (E2)', () => {
    const back = abortMerge(left, operation);
    expect(back).toMatchObject({
      state: { kind: 'ACTIVE' },
      generation: 10,
      intent: { targetReplicaId: left.leader.replicaId, sinceGeneration: 10 },
    });
    expect(
      checkTransition(left, back!, { liveness: () => null, receipt: () => null }).filter(({ rule }) => rule !== 'R2'),
    ).toEqual([]);
    expect(abortMerge(left, operationId('op-other'))).toBeNull();
    expect(abortMerge({ ...left, state: { kind: 'ACTIVE' } }, operation)).toBeNull();
  });

  test('is refused if too few nodes hold both parts in sync', () => {
    const thin = { ...right, replicas: copies('right-', aReplica(1), aReplica(2, 'LAGGING'), aReplica(3)) };
    const other = { ...left, replicas: [aReplica(1), aReplica(2), aReplica(3, 'LAGGING')] };
    expect(commitMerge(other, thin, commit)).toMatchObject({
      error: { code: 'NOT_ENOUGH_IN_SYNC', inSync: 1, minInSync: 2 },
    });
    expect(mergeObstacle(other, thin)).toBeNull();
  });
});
