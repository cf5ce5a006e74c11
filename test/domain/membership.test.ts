import type { LivenessView } from '../../shared/domain/election.ts';
import { nodeEpoch, nodeId, operationId, replicaId, storeUuid } from '../../shared/domain/ids.ts';
import type { LivenessRecord } from '../../shared/domain/lease.ts';
import {
  decideAddReplica,
  decideMinInSync,
  decideRemoveReplica,
  planRefusal,
  targetRefusal,
} from '../../shared/domain/membership.ts';
import type { TargetNode, ZoneView } from '../../shared/domain/membership.ts';
import type { Replica, ShardDescriptor } from '../../shared/domain/shard.ts';
import { aLease, aReplica, aShard } from '../support/shards.ts';
import type { ShardParts } from '../support/shards.ts';

const OWNER = operationId('op-1');
const owned = (parts: ShardParts = {}): ShardDescriptor =>
  aShard({ ...parts, over: { state: { kind: 'CHANGING_REPLICAS', operationId: OWNER }, ...parts.over } });
const viewOf = (...leases: LivenessRecord[]): LivenessView => new Map(leases.map((lease) => [lease.nodeId, lease]));
const allAlive = viewOf(...[1, 2, 3, 4, 5, 6].map((node) => aLease(node)));
const anywhere: ZoneView = { held: new Map(), able: new Set() };
const target = (over: Partial<TargetNode> = {}, node: Partial<TargetNode['node']> = {}): TargetNode => ({
  node: { nodeId: nodeId('node-4'), zone: 'z4', membership: 'ACTIVE', cordoned: false, ...node },
  lease: aLease(4, { nodeEpoch: nodeEpoch(7), storeUuid: storeUuid('store-4b') }),
  room: null,
  ...over,
});
const codeOf = (result: { ok: true } | { ok: false; error: { code: string } }): string =>
  result.ok ? 'OK' : result.error.code;

describe('add replica: the operation, an absent node, a new replica_id (R4)', () => {
  const add = (shard: ShardDescriptor, to = target(), zones = anywhere, id = 'r-new') =>
    decideAddReplica(shard, OWNER, replicaId(id), to, zones);

  test("the entry is LAGGING, under the node epoch and directory of its node's registration; nothing else changes", () => {
    const shard = owned();
    const decided = add(shard);
    expect(decided).toEqual({
      ok: true,
      value: {
        ...shard,
        generation: 2,
        replicas: [
          ...shard.replicas,
          { replicaId: 'r-new', nodeId: 'node-4', nodeEpoch: 7, storeUuid: 'store-4b', syncStatus: 'LAGGING' },
        ],
      },
    });
  });

  test('repeated: nothing to do, whatever became of the node meanwhile', () => {
    const decided = add(owned());
    const again = decided.ok && decided.value !== null ? add(decided.value, target({}, { cordoned: true })) : null;
    expect(again).toEqual({ ok: true, value: null });
  });

  test.each<[string, ShardDescriptor, TargetNode, ZoneView, string]>([
    ['a shard that nobody owns', aShard(), target(), anywhere, 'NOT_OWNER'],
    [
      'a shard of another operation',
      owned({ over: { state: { kind: 'CHANGING_REPLICAS', operationId: operationId('op-2') } } }),
      target(),
      anywhere,
      'NOT_OWNER',
    ],
    [
      'a shard that is being deleted by the same operation',
      owned({ over: { state: { kind: 'DELETING', operationId: OWNER } } }),
      target(),
      anywhere,
      'NOT_OWNER',
    ],
    ['a node that holds a replica', owned(), target({}, { nodeId: nodeId('node-2') }), anywhere, 'ALREADY_ON_NODE'],
    ['a cordoned node', owned(), target({}, { cordoned: true }), anywhere, 'NODE_CORDONED'],
    ['a leaving node', owned(), target({}, { membership: 'DECOMMISSIONING' }), anywhere, 'NODE_DECOMMISSIONED'],
    ['a node that never registered', owned(), target({ lease: null }), anywhere, 'NODE_UNHEALTHY'],
    ['a fenced node', owned(), target({ lease: aLease(4, { incarnation: null }) }), anywhere, 'NODE_UNHEALTHY'],
    ['a node that is stopping', owned(), target({ lease: aLease(4, { released: true }) }), anywhere, 'NODE_UNHEALTHY'],
    [
      'a node whose lease was seen to expire',
      owned(),
      target({ lease: aLease(4, { expired: { nodeEpoch: nodeEpoch(1), sequence: 1 } }) }),
      anywhere,
      'NODE_UNHEALTHY',
    ],
    ['a full node', owned(), target({ room: { freeBytes: 99, neededBytes: 100 } }), anywhere, 'NODE_FULL'],
    [
      'a zone that holds one while another is free',
      owned(),
      target({}, { zone: 'z1' }),
      { held: new Map([['z1', 1]]), able: new Set(['z1', 'z4']) },
      'ZONE_HELD',
    ],
    [
      'a zone that holds two while another with a place holds one',
      owned(),
      target({}, { zone: 'z1' }),
      {
        held: new Map([
          ['z1', 2],
          ['z2', 1],
        ]),
        able: new Set(['z1', 'z2']),
      },
      'ZONE_HELD',
    ],
  ])('refused: %s', (_what, shard, to, zones, code) => {
    expect(codeOf(add(shard, to, zones))).toBe(code);
  });

  test('too few zones force a second replica into one', () => {
    const zones: ZoneView = {
      held: new Map([
        ['z1', 1],
        ['z2', 1],
      ]),
      able: new Set(['z1', 'z2']),
    };
    expect(targetRefusal(aShard(), target({}, { zone: 'z1' }), zones)).toBeNull();
  });

  test('a node with just enough space takes it', () => {
    expect(targetRefusal(aShard(), target({ room: { freeBytes: 100, neededBytes: 100 } }), anywhere)).toBeNull();
  });
});

describe('remove replica: the operation, not the leader, survivors under their present node epochs (S3, I-7)', () => {
  const four = [aReplica(1), aReplica(2), aReplica(3), aReplica(4)];
  const remove = (
    replicas: readonly Replica[],
    node: number,
    parts: ShardParts & { rf?: number } = {},
    view = allAlive,
  ) => decideRemoveReplica(owned({ ...parts, replicas }), OWNER, replicaId(`r-${node}`), parts.rf ?? 3, view);
  const fenced = (node: number) => viewOf(...[...allAlive.values(), aLease(node, { nodeEpoch: nodeEpoch(2) })]);

  // Replicas after the letters of their status: I in sync, L lagging, O offline; node 1 leads.
  const listOf = (letters: string): Replica[] =>
    [...letters].map((letter, index) =>
      aReplica(index + 1, letter === 'I' ? 'IN_SYNC' : letter === 'L' ? 'LAGGING' : 'OFFLINE'),
    );

  test.each<[string, number, number, number | null, string, string]>([
    // replicas, leaves, RF, node fenced, result, why
    ['IIII', 2, 3, null, 'OK', 'a move: the newcomer is in sync'],
    ['IIIL', 2, 3, null, 'REPLICA_FLOOR', 'a move: the newcomer is not in sync yet'],
    ['IIIL', 4, 3, null, 'OK', 'a newcomer that never caught up is taken back'],
    ['IIOI', 3, 3, null, 'OK', 'a repair: the dead one leaves'],
    ['IIO', 3, 3, null, 'OK', 'a dead one leaves: as many are in sync as before'],
    ['III', 3, 3, null, 'REPLICA_FLOOR', 'nothing replaces it'],
    ['IIIII', 5, 3, null, 'OK', 'RF 5 to 3, first'],
    ['III', 3, 2, null, 'OK', 'RF 3 to 2'],
    ['II', 2, 1, null, 'NOT_ENOUGH_IN_SYNC', 'min_in_sync is lowered first'],
    ['IIII', 2, 3, 3, 'REPLICA_FLOOR', 'a survivor was fenced: two current ones would be left of three'],
    ['IIII', 3, 3, 3, 'OK', 'the fenced one itself leaves: three current ones stay'],
    ['IIII', 4, 3, 1, 'LEADER_VOID', "the leader's node was fenced: elect first"],
    ['III', 2, 3, 2, 'OK', 'a void entry leaves: two current ones were and are in sync'],
    [
      'II',
      2,
      3,
      2,
      'NOT_ENOUGH_IN_SYNC',
      'a void entry that min_in_sync holds stays: an election of the void may need it',
    ],
    ['IIII', 1, 3, null, 'IS_LEADER', 'the leader never leaves'],
  ])('%s, node %d leaves, RF %d, fenced: %s -> %s (%s)', (letters, node, rf, fencedNode, code) => {
    const view = fencedNode === null ? allAlive : fenced(fencedNode);
    expect(codeOf(remove(listOf(letters), node, { rf }, view))).toBe(code);
  });

  test('the descriptor lists the others as they were; the counted survivors are named for the transaction (S3)', () => {
    const decided = remove(listOf('IIIIO'), 2, {}, fenced(5));
    expect(decided.ok && decided.value).toMatchObject({
      shard: {
        generation: 2,
        epoch: 1,
        replicas: [{ nodeId: 'node-1' }, { nodeId: 'node-3' }, { nodeId: 'node-4' }, { nodeId: 'node-5' }],
      },
      counted: [{ nodeId: 'node-1' }, { nodeId: 'node-3' }, { nodeId: 'node-4' }],
    });
  });

  test('what is not listed is removed already; without ownership nothing is decided', () => {
    expect(remove(four, 9)).toEqual({ ok: true, value: null });
    expect(codeOf(decideRemoveReplica(aShard(), OWNER, replicaId('r-2'), 3, allAlive))).toBe('NOT_OWNER');
  });

  test('the target of a transfer stays until the transfer is over', () => {
    const intent = { kind: 'TRANSFER', targetReplicaId: replicaId('r-2'), sinceGeneration: 1 as never } as const;
    expect(codeOf(remove(four, 2, { over: { intent } }))).toBe('TRANSFER_PENDING');
  });

  test('a survivor that came back with another directory does not count', () => {
    const view = viewOf(...[...allAlive.values(), aLease(3, { storeUuid: storeUuid('store-3b') })]);
    expect(codeOf(remove(four, 2, {}, view))).toBe('REPLICA_FLOOR');
  });
});

describe('min_in_sync: raised only after enough are in sync', () => {
  const change = (shard: ShardDescriptor, rf: number, view = allAlive) => decideMinInSync(shard, OWNER, rf, view);
  const five = [1, 2, 3, 4, 5].map((node) => aReplica(node));

  test.each<[string, ShardDescriptor, number, LivenessView, number | string | null]>([
    ['RF 3 to 5 with five in sync', owned({ replicas: five }), 5, allAlive, 3],
    [
      'RF 3 to 5 with two in sync',
      owned({ replicas: [aReplica(1), aReplica(2), aReplica(3, 'LAGGING')] }),
      5,
      allAlive,
      'NOT_ENOUGH_IN_SYNC',
    ],
    [
      'RF 3 to 5 with three listed, one of them void',
      owned(),
      5,
      viewOf(aLease(1), aLease(2), aLease(3, { nodeEpoch: nodeEpoch(2) })),
      'NOT_ENOUGH_IN_SYNC',
    ],
    ['RF 5 to 3', owned({ replicas: five, minInSync: 3 }), 3, allAlive, 2],
    ['RF 3 as it is', owned(), 3, allAlive, null],
    ['a shard that it does not own', aShard(), 5, allAlive, 'NOT_OWNER'],
  ])('%s', (_what, shard, rf, view, expected) => {
    const decided = change(shard, rf, view);
    expect(decided.ok ? (decided.value?.minInSync ?? null) : decided.error.code).toBe(expected);
    if (decided.ok && decided.value !== null) expect(decided.value.generation).toBe(2);
  });
});

describe('a plan, against the descriptor alone', () => {
  const four = [1, 2, 3, 4].map((node) => aReplica(node));
  test.each<[string, ShardDescriptor, { add: number; remove: string[]; rf: number }, string | null]>([
    ['a move', aShard(), { add: 1, remove: ['r-3'], rf: 3 }, null],
    ['RF 3 to 5', aShard(), { add: 2, remove: [], rf: 5 }, null],
    ['RF 4 to 3', aShard({ replicas: four }), { add: 0, remove: ['r-4'], rf: 3 }, null],
    [
      'a repair of a shard that lost one before',
      aShard({ replicas: [aReplica(1), aReplica(2)] }),
      { add: 1, remove: ['r-2'], rf: 3 },
      null,
    ],
    ['only min_in_sync', aShard({ minInSync: 3 }), { add: 0, remove: [], rf: 3 }, null],
    ['nothing', aShard(), { add: 0, remove: [], rf: 3 }, 'NOTHING_TO_DO'],
    ['a stranger', aShard(), { add: 1, remove: ['r-9'], rf: 3 }, 'REPLICA_UNKNOWN'],
    ['a removal without a replacement', aShard(), { add: 0, remove: ['r-3'], rf: 3 }, 'TOO_FEW_REPLICAS'],
  ])('%s', (_what, shard, { add, remove, rf }, code) => {
    const plan = {
      add: Array.from({ length: add }, (_, index) => nodeId(`node-${index + 5}`)),
      remove: remove.map(replicaId),
      replicationFactor: rf,
    };
    expect(planRefusal(shard, plan)?.code ?? null).toBe(code);
  });
});
