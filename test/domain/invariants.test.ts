import {
  epoch,
  generation,
  incarnation,
  nodeEpoch,
  operationId,
  replicaId,
  storeUuid,
} from '../../shared/domain/ids.ts';
import {
  checkDescriptor,
  checkLivenessTransition,
  checkTiling,
  checkTransition,
} from '../../shared/domain/invariants.ts';
import type { TransitionContext, Violation } from '../../shared/domain/invariants.ts';
import { nextGeneration } from '../../shared/domain/ids.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { aLease, aReplica, aShard } from '../support/shards.ts';

const rules = (violations: readonly Violation[]): readonly string[] =>
  violations.map(({ invariant, rule }) => (rule === null ? invariant : `${invariant} ${rule}`));

/** Liveness in which the listed nodes hold the node epoch given; all others hold 1. */
const under = (epochs: Record<number, number> = {}, over: Partial<TransitionContext> = {}): TransitionContext => ({
  liveness: (node) => aLease(Number(node.slice(5)), { nodeEpoch: nodeEpoch(epochs[Number(node.slice(5))] ?? 1) }),
  ...over,
});
const next = (before: ShardDescriptor, over: Partial<ShardDescriptor>): ShardDescriptor => ({
  ...before,
  generation: nextGeneration(before.generation),
  ...over,
});
const leaderOf = (shard: ShardDescriptor, node: number, nodeEpochOver?: number): ShardDescriptor['leader'] => {
  const replica = shard.replicas.find((candidate) => candidate.nodeId === `node-${node}`)!;
  return {
    replicaId: replica.replicaId,
    nodeId: replica.nodeId,
    nodeEpoch: nodeEpoch(nodeEpochOver ?? replica.nodeEpoch),
  };
};

describe('I-1 tiling', () => {
  const whole = [
    aShard({ id: 'a', end: 'g' }),
    aShard({ id: 'b', start: 'g', end: 'q' }),
    aShard({ id: 'c', start: 'q' }),
  ];
  test('shards that cover the key space are accepted', () => {
    expect(checkTiling('cities', whole)).toEqual([]);
  });
  test.each([
    ['no shard at all', [], ['I-1']],
    ['a gap in the middle', [whole[0]!, whole[2]!], ['I-1']],
    ['a gap at the start', [whole[1]!, whole[2]!], ['I-1']],
    ['a gap at the end', [whole[0]!, whole[1]!], ['I-1']],
    ['an overlap', [aShard({ id: 'a', end: 'h' }), whole[1]!, whole[2]!], ['I-1']],
    ['an empty range', [whole[0]!, aShard({ id: 'x', start: 'g', end: 'g' }), whole[1]!, whole[2]!], ['I-1']],
    ['one id twice', [whole[0]!, aShard({ id: 'a', start: 'g' })], ['I-2']],
  ])('%s is found', (_, shards, expected) => {
    expect(rules(checkTiling('cities', shards))).toEqual(expected);
  });
});

describe('a descriptor by itself', () => {
  test.each([
    ['fine', aShard(), []],
    [
      'two replicas on one node',
      aShard({ replicas: [aReplica(1), aReplica(2), { ...aReplica(2), replicaId: replicaId('r-9') }] }),
      ['I-7'],
    ],
    [
      'IN_SYNC below min_in_sync',
      aShard({ replicas: [aReplica(1), aReplica(2, 'LAGGING'), aReplica(3, 'OFFLINE')] }),
      ['I-7 R1'],
    ],
    ['a leader that lags', aShard({ replicas: [aReplica(1, 'LAGGING'), aReplica(2), aReplica(3)] }), ['I-6 E1']],
    [
      'a leader that is not listed',
      aShard({ over: { leader: leaderOf(aShard({ replicas: [aReplica(1), aReplica(4)] }), 4) } }),
      ['I-6 E1'],
    ],
  ])('%s', (_, shard, expected) => {
    expect(rules(checkDescriptor(shard))).toEqual(expected);
  });
});

describe('changes under one leader', () => {
  const changing = aShard({ over: { state: { kind: 'CHANGING_REPLICAS', operationId: operationId('op-1') } } });
  const lagging3 = aShard({ replicas: [aReplica(1), aReplica(2), aReplica(3, 'LAGGING')] });
  test.each<[string, ShardDescriptor, ShardDescriptor, TransitionContext, string[]]>([
    ['mark LAGGING', aShard(), next(aShard(), { replicas: lagging3.replicas }), under(), []],
    ['mark IN_SYNC', lagging3, next(lagging3, { replicas: aShard().replicas }), under(), []],
    [
      'mark IN_SYNC under a later session',
      lagging3,
      next(lagging3, { replicas: [aReplica(1), aReplica(2), aReplica(3, 'IN_SYNC', 2)] }),
      under({ 3: 2 }),
      [],
    ],
    [
      'mark IN_SYNC under a node epoch that does not exist',
      lagging3,
      next(lagging3, { replicas: [aReplica(1), aReplica(2), aReplica(3, 'IN_SYNC', 2)] }),
      under(),
      ['I-6 R2'],
    ],
    [
      'OFFLINE for a fenced node',
      aShard(),
      next(aShard(), { replicas: [aReplica(1), aReplica(2), aReplica(3, 'OFFLINE')] }),
      under({ 3: 2 }),
      [],
    ],
    [
      'OFFLINE for a live node',
      aShard(),
      next(aShard(), { replicas: [aReplica(1), aReplica(2), aReplica(3, 'OFFLINE')] }),
      under(),
      ['I-7 R3'],
    ],
    [
      'shrinkage below min_in_sync',
      lagging3,
      next(lagging3, { replicas: [aReplica(1), aReplica(2, 'LAGGING'), aReplica(3, 'LAGGING')] }),
      under(),
      ['I-7 R1'],
    ],
    ['generation repeated', aShard(), { ...aShard(), replicas: lagging3.replicas }, under(), ['I-2']],
    ['generation skipped', aShard(), { ...aShard(), generation: generation(3) }, under(), ['I-2']],
    [
      'another leader within the epoch',
      aShard(),
      next(aShard(), { leader: leaderOf(aShard(), 2) }),
      under({ 1: 2 }),
      ['I-3 E1'],
    ],
    ['epoch fell', aShard({ epoch: 5 }), next(aShard({ epoch: 5 }), { epoch: epoch(4) }), under(), ['I-3']],
    [
      'added replica that lags',
      changing,
      next(changing, { replicas: [...aShard().replicas, aReplica(4, 'LAGGING')] }),
      under(),
      [],
    ],
    [
      'added replica in sync',
      changing,
      next(changing, { replicas: [...aShard().replicas, aReplica(4)] }),
      under(),
      ['I-6 R2', 'I-7 R4'],
    ],
    [
      'added replica with a used id',
      changing,
      next(changing, { replicas: [...aShard().replicas, aReplica(4, 'LAGGING')] }),
      under({}, { replicaIdUsed: () => true }),
      ['I-7 R4'],
    ],
    [
      'two membership changes at once',
      changing,
      next(changing, { replicas: [...aShard().replicas, aReplica(4, 'LAGGING'), aReplica(5, 'LAGGING')] }),
      under(),
      ['I-7'],
    ],
    [
      'a copy that changed its directory',
      aShard(),
      next(aShard(), { replicas: [aReplica(1), aReplica(2), { ...aReplica(3), storeUuid: storeUuid('other') }] }),
      under(),
      ['I-6 R2'],
    ],
    ['bounds moved', aShard(), next(aShard(), { startKey: aShard({ start: 'k' }).startKey }), under(), ['I-1']],
    ['data_loss raised', aShard(), next(aShard(), { dataLoss: true }), under(), ['I-6 E4']],
  ])('%s', (_, before, after, context, expected) => {
    expect(rules(checkTransition(before, after, context))).toEqual(expected);
  });
});

describe('changes of leader', () => {
  const before = aShard();
  const withoutOld = [aReplica(1, 'OFFLINE'), aReplica(2), aReplica(3)];
  const elected = next(before, { epoch: epoch(2), leader: leaderOf(before, 2), replicas: withoutOld });

  test('election after a fence', () => {
    expect(checkTransition(before, elected, under({ 1: 2 }))).toEqual([]);
  });
  test('election without a fence is found (E1)', () => {
    expect(rules(checkTransition(before, elected, under()))).toContain('I-4 E1');
  });
  test('the epoch rises by exactly 1', () => {
    expect(rules(checkTransition(before, { ...elected, epoch: epoch(3) }, under({ 1: 2 })))).toEqual(['I-3 E1']);
  });
  test('a lagging replica must not be elected', () => {
    const lagging = aShard({ replicas: [aReplica(1), aReplica(2), aReplica(3, 'LAGGING')] });
    const wrong = next(lagging, {
      epoch: epoch(2),
      leader: leaderOf(lagging, 3),
      replicas: [aReplica(1), aReplica(2), aReplica(3)],
    });
    expect(rules(checkTransition(lagging, wrong, under({ 1: 2 })))).toEqual(['I-6 E1', 'I-6 R2']);
  });
  test('leader_node_epoch is copied from the entry, never looked up (E1)', () => {
    const lookedUp = next(before, {
      epoch: epoch(2),
      leader: leaderOf(before, 2, 2),
      replicas: [aReplica(1, 'OFFLINE'), aReplica(2, 'IN_SYNC', 2), aReplica(3)],
    });
    expect(rules(checkTransition(before, lookedUp, under({ 1: 2, 2: 2 })))).toEqual(['I-6 E1', 'I-6 R2']);
  });
  test('a member whose node is not fenced stays listed (R1)', () => {
    const shrunk = next(before, {
      epoch: epoch(2),
      leader: leaderOf(before, 2),
      replicas: [aReplica(1), aReplica(2), aReplica(3, 'LAGGING')],
    });
    expect(rules(checkTransition(before, shrunk, under({ 1: 2 })))).toEqual(['I-6 R1']);
  });
  test('election of the void: every entry void, same directory, new node epoch (E4)', () => {
    const everyone = under({ 1: 2, 2: 2, 3: 2 });
    const proven = next(before, {
      epoch: epoch(2),
      leader: leaderOf(before, 2, 2),
      replicas: [aReplica(1), aReplica(2, 'IN_SYNC', 2), aReplica(3)],
    });
    expect(checkTransition(before, proven, everyone)).toEqual([]);
    const otherDirectory = { ...aReplica(2, 'IN_SYNC', 2), storeUuid: storeUuid('wiped') };
    const wiped = { ...proven, replicas: [aReplica(1), otherDirectory, aReplica(3)] };
    expect(rules(checkTransition(before, wiped, everyone))).toEqual(['I-6 E4']);
  });
  test('transfer: on a receipt of its epoch, at least as new as the intent (E2)', () => {
    const intended = next(before, {
      intent: { kind: 'TRANSFER', targetReplicaId: replicaId('r-2'), sinceGeneration: generation(2) },
    });
    expect(checkTransition(before, intended, under())).toEqual([]);
    const transferred = next(intended, { epoch: epoch(2), leader: leaderOf(before, 2), intent: null });
    const withReceipt = (receipt: { epoch: number; generation: number } | null): TransitionContext =>
      under({}, { receipt: () => receipt });
    expect(checkTransition(intended, transferred, withReceipt({ epoch: 1, generation: 2 }))).toEqual([]);
    expect(rules(checkTransition(intended, transferred, withReceipt(null)))).toEqual(['I-4 E2']);
    expect(rules(checkTransition(intended, transferred, withReceipt({ epoch: 1, generation: 1 })))).toEqual(['I-4 E2']);
    expect(rules(checkTransition(intended, transferred, withReceipt({ epoch: 0, generation: 2 })))).toEqual(['I-4 E2']);
  });
});

describe('Liveness items (L1, L4)', () => {
  const held = aLease(1, { sequence: 7 });
  const fenced = aLease(1, { nodeEpoch: nodeEpoch(2), incarnation: null, sequence: 0, openFence: { cleanSweeps: 0 } });
  const registered = { ...fenced, incarnation: incarnation('inc-new') };
  test.each([
    ['renewal', held, { ...held, sequence: 8 }, []],
    ['sequence fell', held, { ...held, sequence: 6 }, ['I-4 L1']],
    ['fence', held, fenced, []],
    ['node epoch fell', fenced, held, ['I-4 L1']],
    ['node epoch skipped', held, { ...fenced, nodeEpoch: nodeEpoch(3) }, ['I-4 L1']],
    ['fence that is not open', held, { ...fenced, openFence: null }, ['I-4 E3']],
    ['a fenced node renewed', fenced, { ...fenced, sequence: 1 }, ['I-4 L1']],
    ['another incarnation took over the node epoch', held, { ...held, incarnation: incarnation('other') }, ['I-8 L1']],
    ['registration over a live lease', held, registered, ['I-4 L4']],
    [
      'registration over a lease observed expired',
      { ...held, expired: { nodeEpoch: nodeEpoch(1), sequence: 7 } },
      registered,
      [],
    ],
    [
      'registration over a mark that a renewal made void',
      { ...held, expired: { nodeEpoch: nodeEpoch(1), sequence: 6 } },
      registered,
      ['I-4 L4'],
    ],
    ['registration after a release', { ...held, released: true }, registered, []],
    ['registration after a fence', { ...fenced, nodeEpoch: nodeEpoch(1) }, registered, []],
    [
      'one incarnation twice',
      { ...held, released: true },
      { ...registered, incarnation: held.incarnation },
      ['I-8 L4'],
    ],
    ['renewal after a release', { ...held, released: true }, { ...held, released: true, sequence: 8 }, ['I-8 L4']],
  ])('%s', (_, before, after, expected) => {
    expect(rules(checkLivenessTransition(before, after))).toEqual(expected);
  });
});
