import type { Incarnation, NodeEpoch, NodeId, PackId } from './ids.ts';
import type { LivenessRecord, PackPlace } from './lease.ts';
import { err, ok } from './result.ts';
import type { Result } from './result.ts';

/**
 * Packed leases (L1): the leases of up to 100 nodes that beat through one relay, in one item, so that a beat of all of them is one
 * write. Where a node's lease lives is decided by its registration and stays for the whole of its node epoch: each
 * (node, node epoch) has its sequence and incarnation in exactly one item, and renewals and fences of it test that item.
 */

/** Members of one pack, and beats of one message. At 90 bytes each a full pack stays under 10 KB: a beat of 100 nodes costs about 10 write units. */
export const PACK_MEMBERS_MAX = 100;

type BySlot<T> = Readonly<Record<string, T>>;

/** Maps by slot, so that conditions can name one member's facts. A slot is never used twice: what was read of one never fits another. */
export interface LivenessPack {
  readonly packId: PackId;
  /** The slot that the next member gets. */
  readonly nextSlot: number;
  readonly members: BySlot<NodeId>;
  readonly nodeEpochs: BySlot<NodeEpoch>;
  readonly incarnations: BySlot<Incarnation>;
  readonly sequences: BySlot<number>;
  /** True after the incarnation gave up its lease itself (L4). */
  readonly released: BySlot<boolean>;
  /** The detector's mark (L4): the sequence that was observed expired; no entry: no mark. */
  readonly expired: BySlot<number>;
  readonly attestations: BySlot<number>;
  /** Wall clock of the last renewal, for display only. */
  readonly heartbeats: BySlot<number>;
  /** As `mail` of a Liveness item. */
  readonly mail: BySlot<number>;
}

/** Maps of a pack: an entry of each is removed when a member leaves. */
export const PACK_MAPS = [
  'members',
  'nodeEpochs',
  'incarnations',
  'sequences',
  'released',
  'expired',
  'attestations',
  'heartbeats',
  'mail',
] as const satisfies readonly (keyof LivenessPack)[];

export const emptyPack = (packId: PackId): LivenessPack => ({
  packId,
  nextSlot: 0,
  members: {},
  nodeEpochs: {},
  incarnations: {},
  sequences: {},
  released: {},
  expired: {},
  attestations: {},
  heartbeats: {},
  mail: {},
});

/** The slot of a node, or undefined if it is no member. */
export const slotOf = (pack: LivenessPack, nodeId: NodeId): string | undefined =>
  Object.keys(pack.members).find((slot) => pack.members[slot] === nodeId);

const own = <T>(map: BySlot<T>, slot: string): T | undefined => (Object.hasOwn(map, slot) ? map[slot] : undefined);

/** What a pack holds of one member's lease. */
export type PackedLease = Pick<
  LivenessRecord,
  'nodeEpoch' | 'sequence' | 'released' | 'expired' | 'attestation' | 'lastHeartbeatMs' | 'mail'
> & { readonly incarnation: Incarnation };

/** One member's lease; null if the slot is not (any more) that of the node. */
export function packedLease(pack: LivenessPack, slot: string, nodeId: NodeId): PackedLease | null {
  const nodeEpoch = own(pack.nodeEpochs, slot);
  const incarnation = own(pack.incarnations, slot);
  const sequence = own(pack.sequences, slot);
  if (own(pack.members, slot) !== nodeId) return null;
  if (nodeEpoch === undefined || incarnation === undefined || sequence === undefined) return null;
  const expiredAt = own(pack.expired, slot);
  return {
    nodeEpoch,
    incarnation,
    sequence,
    released: own(pack.released, slot) ?? false,
    expired: expiredAt === undefined ? null : { nodeEpoch, sequence: expiredAt },
    attestation: own(pack.attestations, slot) ?? 0,
    lastHeartbeatMs: own(pack.heartbeats, slot) ?? 0,
    mail: own(pack.mail, slot) ?? 0,
  };
}

/**
 * A node's liveness as everybody must see it: its own item, with the lease from its pack if it lives there. Null if the two
 * reads do not belong together (the lease moved between them): read again.
 */
export function mergeLiveness(record: LivenessRecord, pack: LivenessPack | null): LivenessRecord | null {
  const place = record.pack;
  if (place === null) return record;
  if (pack?.packId !== place.packId) return null;
  const lease = packedLease(pack, place.slot, record.nodeId);
  return lease?.nodeEpoch === record.nodeEpoch ? { ...record, ...lease } : null;
}

/** What one heartbeat claims. */
export interface Beat {
  readonly nodeId: NodeId;
  readonly nodeEpoch: number;
  readonly incarnation: string;
  readonly sequence: number;
  readonly attestation: number;
}

export type BeatRefusal =
  /** Not the node epoch or the incarnation that holds the lease, or a lease that was given up. */
  | { readonly code: 'NODE_FENCED'; readonly nodeEpoch: NodeEpoch }
  | { readonly code: 'SEQUENCE_STALE'; readonly sequence: number };

/** L1: a renewal needs the same node epoch and incarnation and a higher sequence. `REPEATED`: this very beat is stored already. */
export function judgeBeat(
  lease: Pick<LivenessRecord, 'nodeEpoch' | 'incarnation' | 'sequence' | 'released'>,
  beat: Omit<Beat, 'nodeId' | 'attestation'>,
): Result<'RENEWS' | 'REPEATED', BeatRefusal> {
  if (lease.nodeEpoch !== beat.nodeEpoch || lease.incarnation !== beat.incarnation || lease.released)
    return err({ code: 'NODE_FENCED', nodeEpoch: lease.nodeEpoch });
  if (lease.sequence === beat.sequence) return ok('REPEATED');
  return lease.sequence < beat.sequence ? ok('RENEWS') : err({ code: 'SEQUENCE_STALE', sequence: lease.sequence });
}

export type PackedOutcome =
  | { readonly kind: 'RENEWED' | 'REPEATED'; readonly lease: PackedLease }
  | { readonly kind: 'REFUSED'; readonly refusal: BeatRefusal }
  /** The node's lease is not in this pack. */
  | { readonly kind: 'NOT_HERE' };

export interface PackRenewal {
  /** The pack with the renewals in it; null if there are none and nothing is to be written. */
  readonly pack: LivenessPack | null;
  /** In the order of the beats. True only once `pack` is committed under the revision that was read. */
  readonly outcomes: readonly PackedOutcome[];
}

/** Renews the members that may renew, and leaves out the rest, each with its reason (L1). Pure: judged on the pack that was read. */
export function renewMembers(pack: LivenessPack, beats: readonly Beat[], nowMs: number): PackRenewal {
  const slots = new Map(Object.entries(pack.members).map(([slot, nodeId]) => [nodeId, slot]));
  const sequences: Record<string, number> = { ...pack.sequences };
  const attestations: Record<string, number> = { ...pack.attestations };
  const heartbeats: Record<string, number> = { ...pack.heartbeats };
  const renewed: LivenessPack = { ...pack, sequences, attestations, heartbeats };
  let renewals = 0;
  const outcomes = beats.map((beat): PackedOutcome => {
    const slot = slots.get(beat.nodeId);
    const lease = slot === undefined ? null : packedLease(renewed, slot, beat.nodeId);
    if (slot === undefined || lease === null) return { kind: 'NOT_HERE' };
    const verdict = judgeBeat(lease, beat);
    if (!verdict.ok) return { kind: 'REFUSED', refusal: verdict.error };
    if (verdict.value === 'REPEATED') return { kind: 'REPEATED', lease };
    renewals++;
    sequences[slot] = beat.sequence;
    attestations[slot] = beat.attestation;
    heartbeats[slot] = nowMs;
    return {
      kind: 'RENEWED',
      lease: { ...lease, sequence: beat.sequence, attestation: beat.attestation, lastHeartbeatMs: nowMs },
    };
  });
  return { pack: renewals === 0 ? null : renewed, outcomes };
}

/** Place of a lease in a pack, or null: in the node's own item. */
export const samePlace = (a: PackPlace | null, b: PackPlace | null): boolean =>
  a?.packId === b?.packId && a?.slot === b?.slot;
