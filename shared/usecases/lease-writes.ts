import type { LivenessRecord } from '../domain/lease.ts';
import { PACK_MAPS } from '../domain/liveness-pack.ts';
import type { PackedLease } from '../domain/liveness-pack.ts';
import type { Condition, EntryWrite, RecordWrite } from '../ports.ts';

/**
 * The writes of leases, wherever they live (L1). A lease is renewed and fenced by a condition on the one item that holds its
 * node epoch, incarnation and sequence: the node's own Liveness item, or one slot of a pack.
 */

/**
 * The lease is still as it was observed, as far as the node's own item says it: node epoch and sequence, or node epoch and place.
 * The place of a lease changes only together with its node epoch.
 */
export function ownConditions(observed: LivenessRecord): readonly Condition[] {
  const epoch: Condition = { kind: 'equals', field: 'nodeEpoch', value: observed.nodeEpoch };
  return observed.pack === null
    ? [epoch, { kind: 'equals', field: 'sequence', value: observed.sequence }]
    : [epoch, { kind: 'equals', field: ['pack', 'slot'], value: observed.pack.slot }];
}

/** The same of a slot: the two facts of L1. */
export const slotConditions = (
  slot: string,
  observed: Pick<LivenessRecord, 'nodeEpoch' | 'sequence'>,
): readonly Condition[] => [
  { kind: 'equals', field: ['nodeEpochs', slot], value: observed.nodeEpoch },
  { kind: 'equals', field: ['sequences', slot], value: observed.sequence },
];

/** Takes a member out of its pack. */
export const removalEntries = (slot: string): readonly EntryWrite[] =>
  PACK_MAPS.map((field) => ({ kind: 'remove', field, entry: slot }));

/** Puts a member into a pack: its lease begins there. */
export function memberEntries(
  slot: string,
  nodeId: string,
  lease: Omit<PackedLease, 'expired'>,
): readonly EntryWrite[] {
  const set = (field: (typeof PACK_MAPS)[number], value: string | number | boolean): EntryWrite => ({
    kind: 'set',
    field,
    entry: slot,
    value,
  });
  return [
    set('members', nodeId),
    set('nodeEpochs', lease.nodeEpoch),
    set('incarnations', lease.incarnation),
    set('sequences', lease.sequence),
    set('released', lease.released),
    set('attestations', lease.attestation),
    set('heartbeats', lease.lastHeartbeatMs),
    set('mail', lease.mail),
  ];
}

/** Ends a packed lease that was observed: the write on its pack, or null if it lives in the node's own item. */
export function leavePack(observed: LivenessRecord): RecordWrite | null {
  if (observed.pack === null) return null;
  const { packId, slot } = observed.pack;
  return {
    kind: 'update',
    entity: 'livenessPack',
    id: { packId },
    set: {},
    entries: removalEntries(slot),
    when: slotConditions(slot, observed),
  };
}

/**
 * What the node's own item takes over when a packed lease ends: what only the pack knew. The mail counter is raised, so that a command
 * that was announced in the pack meanwhile is asked for.
 */
export const takenFromPack = (
  observed: LivenessRecord,
): Partial<Pick<LivenessRecord, 'attestation' | 'lastHeartbeatMs' | 'mail'>> =>
  observed.pack === null
    ? {}
    : {
        attestation: observed.attestation,
        lastHeartbeatMs: observed.lastHeartbeatMs,
        mail: observed.mail + 1,
      };
