import { conflict } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import type { NodeId, PackId } from '../domain/ids.ts';
import type { LivenessRecord, PackPlace } from '../domain/lease.ts';
import { emptyPack, PACK_MEMBERS_MAX } from '../domain/liveness-pack.ts';
import type { PackedLease } from '../domain/liveness-pack.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Deps, RecordWrite } from '../ports.ts';
import { memberEntries, removalEntries, slotConditions } from './lease-writes.ts';

/**
 * The write by which a registration puts its lease into a pack: under the pack's revision, since the number of members and the next
 * slot follow from what was read. A former lease in the same pack ends in the same write. PACK_FULL: register without a relay.
 */
export async function joinPack(
  deps: Deps,
  packId: PackId,
  nodeId: NodeId,
  lease: PackedLease,
  observed: LivenessRecord | null,
): Promise<Result<{ readonly place: PackPlace; readonly write: RecordWrite }, Fault>> {
  const stored = await deps.records.get('livenessPack', { packId });
  const pack = stored?.value ?? emptyPack(packId);
  const leaving = observed?.pack?.packId === packId ? { observed, slot: observed.pack.slot } : null;
  const others = Object.keys(pack.members).filter((slot) => slot !== leaving?.slot).length;
  if (others >= PACK_MEMBERS_MAX) {
    return err(
      conflict(
        'PACK_FULL',
        `The relay ${packId} carries ${PACK_MEMBERS_MAX} nodes already. Register without a relay, or name another.`,
        { detail: { members: others } },
      ),
    );
  }
  const slot = pack.nextSlot.toString(SLOT_RADIX);
  const place = { packId, slot };
  const entries = memberEntries(slot, nodeId, lease);
  if (stored === null) {
    const value = entries.reduce(
      (maps, change) => (change.kind === 'set' ? { ...maps, [change.field]: { [change.entry]: change.value } } : maps),
      { ...pack, nextSlot: 1 },
    );
    return ok({ place, write: { kind: 'put', entity: 'livenessPack', value, when: [{ kind: 'absent' }] } });
  }
  return ok({
    place,
    write: {
      kind: 'update',
      entity: 'livenessPack',
      id: { packId },
      set: { nextSlot: pack.nextSlot + 1 },
      entries: [...entries, ...(leaving === null ? [] : removalEntries(leaving.slot))],
      when: [
        { kind: 'revision', is: stored.revision },
        ...(leaving === null ? [] : slotConditions(leaving.slot, leaving.observed)),
      ],
    },
  });
}

/** Slots are written short: their names stand in nine maps. */
const SLOT_RADIX = 36;
