import { incarnation, nodeEpoch, nodeId, packId } from '../../shared/domain/ids.ts';
import type { LivenessRecord } from '../../shared/domain/lease.ts';
import {
  emptyPack,
  judgeBeat,
  mergeLiveness,
  PACK_MAPS,
  packedLease,
  renewMembers,
  samePlace,
  slotOf,
} from '../../shared/domain/liveness-pack.ts';
import type { LivenessPack } from '../../shared/domain/liveness-pack.ts';
import { aLease } from '../support/shards.ts';

const id = nodeId('node-1');
const place = { packId: packId('relay-1'), slot: '0' };

/** A pack with node-1 in slot 0 and node-2 in slot 1, both under node epoch 4 at sequence 7. */
const aPack = (over: Partial<LivenessPack> = {}): LivenessPack => ({
  packId: place.packId,
  nextSlot: 2,
  members: { 0: id, 1: nodeId('node-2') },
  nodeEpochs: { 0: nodeEpoch(4), 1: nodeEpoch(4) },
  incarnations: { 0: incarnation('inc-1'), 1: incarnation('inc-2') },
  sequences: { 0: 7, 1: 7 },
  released: { 0: false, 1: false },
  expired: {},
  attestations: { 0: 70, 1: 70 },
  heartbeats: { 0: 700, 1: 700 },
  mail: { 0: 3, 1: 5 },
  ...over,
});
const leaseOfNode1 = {
  nodeEpoch: 4,
  incarnation: 'inc-1',
  sequence: 7,
  released: false,
  expired: null,
  attestation: 70,
  lastHeartbeatMs: 700,
  mail: 3,
};
const own = (over: Partial<LivenessRecord> = {}): LivenessRecord =>
  aLease(1, { nodeEpoch: nodeEpoch(4), incarnation: null, sequence: 0, pack: place, ...over });

describe('one lease of a pack (L1)', () => {
  test('is what the maps hold of its slot', () => {
    expect(packedLease(aPack(), '0', id)).toEqual(leaseOfNode1);
    expect(slotOf(aPack(), id)).toBe('0');
    expect(slotOf(aPack(), nodeId('node-2'))).toBe('1');
    expect(slotOf(aPack(), nodeId('node-3'))).toBeUndefined();
  });

  test('carries the mark of the detector under its own node epoch, and a release (L4)', () => {
    const marked = packedLease(aPack({ expired: { 0: 7 }, released: { 0: true } }), '0', id);
    expect(marked).toEqual({ ...leaseOfNode1, released: true, expired: { nodeEpoch: 4, sequence: 7 } });
  });

  test('what a map does not hold is nothing: not released, nothing attested, no mail', () => {
    const sparse = aPack({ released: {}, attestations: {}, heartbeats: {}, mail: {} });
    expect(packedLease(sparse, '0', id)).toEqual({ ...leaseOfNode1, attestation: 0, lastHeartbeatMs: 0, mail: 0 });
  });

  test.each<[string, LivenessPack, string]>([
    ['another node has the slot', aPack({ members: { 0: nodeId('node-9') } }), '0'],
    ['the slot was given up', aPack(), '5'],
    ['no node epoch is there', aPack({ nodeEpochs: {} }), '0'],
    ['no incarnation is there', aPack({ incarnations: {} }), '0'],
    ['no sequence is there', aPack({ sequences: {} }), '0'],
  ])('there is none where %s', (_what, pack, slot) => {
    expect(packedLease(pack, slot, id)).toBeNull();
  });

  test('a slot named like something that every object has is no slot', () => {
    expect(packedLease(aPack(), 'constructor', Object as unknown as typeof id)).toBeNull();
  });

  test('an empty pack has a map for everything that leaves with a member, and gives slot 0 first', () => {
    const pack = emptyPack(place.packId);
    expect(pack).toEqual({ packId: 'relay-1', nextSlot: 0, ...Object.fromEntries(PACK_MAPS.map((map) => [map, {}])) });
    expect(PACK_MAPS).toHaveLength(Object.keys(pack).length - 2);
  });
});

describe('liveness put together of the own item and the pack', () => {
  test('the own item alone, where the lease is not packed', () => {
    const alone = aLease(1);
    expect(mergeLiveness(alone, null)).toBe(alone);
    expect(mergeLiveness(alone, aPack())).toBe(alone);
  });
  test('the lease of the pack over the own item', () => {
    const merged = mergeLiveness(own({ fencedAtMs: 5 }), aPack());
    expect(merged).toEqual({ ...own({ fencedAtMs: 5 }), ...leaseOfNode1 });
  });
  test.each<[string, LivenessRecord, LivenessPack | null]>([
    ['the pack is gone', own(), null],
    ['the pack is another one', own(), aPack({ packId: packId('relay-2') })],
    ['the slot is not that of the node', own({ pack: { ...place, slot: '1' } }), aPack()],
    ['the node was fenced in between', own({ nodeEpoch: nodeEpoch(5) }), aPack()],
  ])('nothing, so that it is read again, when %s', (_what, record, pack) => {
    expect(mergeLiveness(record, pack)).toBeNull();
  });
});

describe('one beat (L1)', () => {
  const lease = { nodeEpoch: nodeEpoch(4), incarnation: incarnation('inc-1'), sequence: 7, released: false };
  const beat = { nodeEpoch: 4, incarnation: 'inc-1', sequence: 8 };
  test.each([
    ['a higher sequence renews', lease, beat, { ok: true, value: 'RENEWS' }],
    ['the stored one is a repetition', lease, { ...beat, sequence: 7 }, { ok: true, value: 'REPEATED' }],
    [
      'a lower one is stale',
      lease,
      { ...beat, sequence: 6 },
      { ok: false, error: { code: 'SEQUENCE_STALE', sequence: 7 } },
    ],
    [
      'an older node epoch is fenced',
      lease,
      { ...beat, nodeEpoch: 3 },
      { ok: false, error: { code: 'NODE_FENCED', nodeEpoch: 4 } },
    ],
    [
      'another incarnation is fenced',
      lease,
      { ...beat, incarnation: 'inc-0' },
      { ok: false, error: { code: 'NODE_FENCED', nodeEpoch: 4 } },
    ],
    [
      'a lease that was given up is over',
      { ...lease, released: true },
      beat,
      { ok: false, error: { code: 'NODE_FENCED', nodeEpoch: 4 } },
    ],
    [
      'nobody holds the lease of a fenced node',
      { ...lease, incarnation: null },
      beat,
      { ok: false, error: { code: 'NODE_FENCED', nodeEpoch: 4 } },
    ],
  ])('%s', (_what, held, claimed, verdict) => {
    expect(judgeBeat(held, claimed)).toEqual(verdict);
  });
});

describe('the beats of a message', () => {
  const beat = (node: number, sequence: number, epoch = 4) => ({
    nodeId: nodeId(`node-${node}`),
    nodeEpoch: epoch,
    incarnation: `inc-${node}`,
    sequence,
    attestation: 80 + node,
  });

  test('renew who may be renewed and leave out the rest, each with its reason', () => {
    const before = aPack();
    const { pack, outcomes } = renewMembers(before, [beat(1, 8), beat(2, 9, 3), beat(3, 1)], 900);
    expect(pack).toEqual(
      aPack({ sequences: { 0: 8, 1: 7 }, attestations: { 0: 81, 1: 70 }, heartbeats: { 0: 900, 1: 700 } }),
    );
    expect(outcomes).toEqual([
      { kind: 'RENEWED', lease: { ...leaseOfNode1, sequence: 8, attestation: 81, lastHeartbeatMs: 900 } },
      { kind: 'REFUSED', refusal: { code: 'NODE_FENCED', nodeEpoch: 4 } },
      { kind: 'NOT_HERE' },
    ]);
    expect(before).toEqual(aPack());
  });

  test('write nothing when nothing is renewed', () => {
    expect(renewMembers(aPack(), [beat(1, 7), beat(2, 6)], 900)).toEqual({
      pack: null,
      outcomes: [
        { kind: 'REPEATED', lease: leaseOfNode1 },
        { kind: 'REFUSED', refusal: { code: 'SEQUENCE_STALE', sequence: 7 } },
      ],
    });
  });

  test('the second beat of a node is judged on the first', () => {
    const { pack, outcomes } = renewMembers(aPack(), [beat(1, 9), beat(1, 8)], 900);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['RENEWED', 'REFUSED']);
    expect(pack?.sequences[0]).toBe(9);
  });

  test('a member whose entries are torn is not here', () => {
    expect(renewMembers(aPack({ incarnations: { 1: incarnation('inc-2') } }), [beat(1, 8)], 900).outcomes).toEqual([
      { kind: 'NOT_HERE' },
    ]);
  });
});

test('a place is a pack and a slot; both in the own item are the same place', () => {
  expect(samePlace(place, { ...place })).toBe(true);
  expect(samePlace(null, null)).toBe(true);
  expect(samePlace(place, null)).toBe(false);
  expect(samePlace(null, place)).toBe(false);
  expect(samePlace(place, { ...place, slot: '1' })).toBe(false);
  expect(samePlace(place, { ...place, packId: packId('relay-2') })).toBe(false);
});
