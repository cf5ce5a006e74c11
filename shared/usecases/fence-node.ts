import { nextNodeEpoch } from '../domain/ids.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import type { Change, Deps, Principal } from '../ports.ts';
import { leavePack, ownConditions, slotConditions, takenFromPack } from './lease-writes.ts';
import { principalName } from './principal.ts';

/**
 * Fences a node (L1): one conditional commit raises its node epoch, under the node epoch and the sequence that the detector
 * observed, and voids every leadership and IN_SYNC entry that it holds. A packed lease is tested in its slot, which it leaves
 * in the same commit. Returns the liveness after the fence, or null if the node renewed, registered or was fenced meanwhile.
 */
export async function fenceNode(
  deps: Deps,
  principal: Principal,
  observed: LivenessRecord,
  /** What commits with the fence. */
  also: Change = { writes: [], audit: [], events: [] },
): Promise<LivenessRecord | null> {
  const fenced = {
    nodeEpoch: nextNodeEpoch(observed.nodeEpoch),
    incarnation: null,
    sequence: 0,
    released: false,
    // L4: the mark tells the old incarnation's directory that its lease is over.
    expired: { nodeEpoch: observed.nodeEpoch, sequence: observed.sequence },
    fencedAtMs: deps.clock.wallMs(),
    openFence: { cleanSweeps: 0 },
    pack: null,
    ...takenFromPack(observed),
  };
  const leaving = leavePack(observed);
  const committed = await deps.records.commit({
    writes: [
      {
        kind: 'update',
        entity: 'liveness',
        id: { nodeId: observed.nodeId },
        set: fenced,
        when: ownConditions(observed),
      },
      ...(leaving === null ? [] : [leaving]),
      ...also.writes,
    ],
    audit: [
      {
        entity: `lease:${observed.nodeId}`,
        number: fenced.nodeEpoch,
        action: 'NODE_FENCED',
        principal: principalName(principal),
        detail: { sequence: observed.sequence, released: observed.released },
      },
      ...also.audit,
    ],
    events: [
      { eventType: 'NODE_FENCED', payload: { node_id: observed.nodeId, node_epoch: fenced.nodeEpoch } },
      ...also.events,
    ],
  });
  return committed.ok ? { ...observed, ...fenced } : null;
}

/** Records in the Liveness item that the lease was observed expired (L4): registration may follow even while the brake holds the fence back. */
export async function markExpired(deps: Deps, observed: LivenessRecord): Promise<void> {
  if (observed.pack !== null) {
    const { packId, slot } = observed.pack;
    await deps.records.observe({
      kind: 'update',
      entity: 'livenessPack',
      id: { packId },
      set: {},
      entries: [{ kind: 'set', field: 'expired', entry: slot, value: observed.sequence }],
      when: slotConditions(slot, observed),
    });
    return;
  }
  await deps.records.observe({
    kind: 'update',
    entity: 'liveness',
    id: { nodeId: observed.nodeId },
    set: { expired: { nodeEpoch: observed.nodeEpoch, sequence: observed.sequence } },
    when: ownConditions(observed),
  });
}
