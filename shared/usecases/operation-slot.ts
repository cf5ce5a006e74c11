import type { OperationId } from '../domain/ids.ts';
import { hasEnded } from '../domain/operation.ts';
import type { Json, OperationSlot } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Deps, RecordWrite, Stored } from '../ports.ts';

/** Places that one operation at a time may hold. */

export interface FreeSlot {
  /** What the operation before left for this one. */
  readonly carried: Json;
  /** Goes into the commit that starts the operation; its condition fails if another one was quicker. */
  readonly taking: (operationId: OperationId) => RecordWrite;
}

/** The slot, if no operation that has not ended holds it; else the id of the one that does. */
export async function freeSlot(deps: Deps, slot: string): Promise<Result<FreeSlot, { readonly holder: OperationId }>> {
  const stored = await deps.records.get('operationSlot', { slot });
  const holder = stored?.value.operationId ?? null;
  if (holder !== null && !(await ended(deps, holder))) return err({ holder });
  const carried = stored?.value.carried ?? null;
  return ok({ carried, taking: (operationId) => slotWrite(stored, { slot, operationId, notBeforeMs: 0, carried }) });
}

const slotWrite = (stored: Stored<'operationSlot'> | null, value: OperationSlot): RecordWrite => ({
  kind: 'put',
  entity: 'operationSlot',
  value,
  when: [stored === null ? { kind: 'absent' } : { kind: 'revision', is: stored.revision }],
});

async function ended(deps: Deps, operationId: OperationId): Promise<boolean> {
  const stored = await deps.records.get('operation', { operationId });
  return stored === null || hasEnded(stored.value);
}

/** Notes for the tick and for the next operation, by the one that holds the slot. Lost if somebody else holds it by now. */
export async function leaveInSlot(
  deps: Deps,
  slot: string,
  operationId: OperationId,
  left: { readonly notBeforeMs?: number; readonly carried?: Json },
): Promise<void> {
  await deps.records.observe({
    kind: 'update',
    entity: 'operationSlot',
    id: { slot },
    set: left,
    when: [{ kind: 'equals', field: 'operationId', value: operationId }],
  });
}

/**
 * True if it is this caller's turn now, and nobody's again for `everyMs`: ticks that overlap do the work once. Slots of this kind are held by
 * no operation.
 */
export async function takeTurn(deps: Deps, slot: string, everyMs: number): Promise<boolean> {
  const stored = await deps.records.get('operationSlot', { slot });
  const nowMs = deps.clock.wallMs();
  if (stored !== null && stored.value.notBeforeMs > nowMs) return false;
  const value = { slot, operationId: null, notBeforeMs: nowMs + everyMs, carried: null };
  const taken = await deps.records.observe({
    kind: 'put',
    entity: 'operationSlot',
    value,
    when: [stored === null ? { kind: 'absent' } : { kind: 'revision', is: stored.revision }],
  });
  return taken.ok;
}
