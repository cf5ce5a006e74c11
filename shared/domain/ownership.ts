import { nextGeneration } from './ids.ts';
import type { OperationId } from './ids.ts';
import { err, invariant, ok } from './result.ts';
import type { Result } from './result.ts';
import { ownerOf } from './shard.ts';
import type { ShardDescriptor, ShardState } from './shard.ts';

/** At most one structural operation owns a shard (I-9): it takes it from ACTIVE, and gives it back as ACTIVE. */

/** A state that says which operation owns the shard. */
export type OwnedState = Exclude<ShardState, { kind: 'ACTIVE' }>;

export interface ShardBusy {
  readonly code: 'SHARD_BUSY';
  readonly owner: OperationId;
  readonly state: OwnedState['kind'];
}

/** The shard as owned by the operation that `state` names; null: it owns it already, under that kind of state. */
export function claim(shard: ShardDescriptor, state: OwnedState): Result<ShardDescriptor | null, ShardBusy> {
  const present = shard.state;
  if (present.kind === 'ACTIVE') {
    return ok({ ...shard, state, generation: nextGeneration(shard.generation) });
  }
  if (present.operationId !== state.operationId || present.kind !== state.kind) {
    return err({ code: 'SHARD_BUSY', owner: present.operationId, state: present.kind });
  }
  return ok(null);
}

/**
 * The shard given back; null: the operation does not own it (any more). Bounds are untouched: of a split or merge before its commit this is
 * the abort (S1, S2), its commit gives the shard back by itself. A deletion is never undone.
 */
export function release(shard: ShardDescriptor, operationId: OperationId): ShardDescriptor | null {
  if (ownerOf(shard) !== operationId || shard.state.kind === 'DELETING') return null;
  return { ...shard, state: { kind: 'ACTIVE' }, generation: nextGeneration(shard.generation) };
}

/**
 * Legal changes of state (I-9): ACTIVE to owned, owned to ACTIVE, and details of the same kind under the same owner; DELETING stays.
 * Null, or what is wrong.
 */
export function illegalChange(before: ShardState, after: ShardState): string | null {
  if (before.kind === 'ACTIVE') return null;
  if (before.kind === 'DELETING' && after.kind !== 'DELETING') return 'a deletion was undone';
  if (after.kind === 'ACTIVE') return null;
  if (before.operationId !== after.operationId)
    return `operation ${after.operationId} took the shard from ${before.operationId}`;
  return before.kind === after.kind ? null : `its owner turned ${before.kind} into ${after.kind}`;
}

/** Throws Bug unless the operation owns the shard under a state of `kind`; every effect of an operation is fenced by this (I-9). */
export function ownedState<K extends OwnedState['kind']>(
  shard: ShardDescriptor,
  operationId: OperationId,
  kind: K,
): Extract<OwnedState, { kind: K }> {
  const { state } = shard;
  invariant(
    state.kind === kind && ownerOf(shard) === operationId,
    `operation ${operationId} does not own ${shard.shardId} as ${kind}`,
  );
  return state as Extract<OwnedState, { kind: K }>;
}
