import { conflict } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import type { OperationId, ShardId } from '../domain/ids.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import { hasEnded } from '../domain/operation.ts';
import { claim, release } from '../domain/ownership.ts';
import type { OwnedState, ShardBusy } from '../domain/ownership.ts';
import type { OwnedShard } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { ownerOf } from '../domain/shard.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import type { Deps, Principal, Stored } from '../ports.ts';
import { changeDescriptor } from './descriptor-change.ts';
import type { ChangedBy } from './descriptor-change.ts';

/** Structural ownership of shards by operations (I-9, I-10): claimed, given back, and taken back from operations that ended. */

/** Rows looked at in one tick; the rest is left to the following ticks. */
const OWNED_PER_TICK = 500;
/** An operation that ends gives its shards back before or just after its last save; older ownership by an ended one is a lock left behind. */
const ORPHAN_AGE_MS = 10_000;
const CONCURRENCY = 8;

/**
 * Makes the operation that `state` names the owner of an ACTIVE shard; the answer is the shard as it is then. Idempotent: an owner of the same kind
 * gets the shard as it is. `state` may be made from the shard; `checks` hold in the same transaction. Errors: SHARD_BUSY (names the owner), SHARD_NOT_FOUND, CONFLICT.
 */
export async function claimShard(
  deps: Deps,
  principal: Principal,
  shardId: ShardId,
  state: OwnedState | ((shard: ShardDescriptor) => OwnedState),
  checks: ChangedBy['checks'] = () => [],
): Promise<Result<ShardDescriptor, Fault>> {
  const by = { principal, action: 'SHARD_CLAIMED', checks } as const;
  const changed = await changeDescriptor<Fault>(deps, shardId, by, (shard) => {
    const decided = claim(shard, typeof state === 'function' ? state(shard) : state);
    return decided.ok ? decided : err(shardBusy(shardId, decided.error));
  });
  return changed.ok ? ok(changed.value.shard) : changed;
}

/** Gives the shard back as ACTIVE if the operation owns it; else nothing is done. Null: there is no such shard. */
export async function releaseShard(
  deps: Deps,
  principal: Principal,
  shardId: ShardId,
  operationId: OperationId,
): Promise<Result<ShardDescriptor | null, Fault>> {
  const changed = await changeDescriptor<Fault>(deps, shardId, { principal, action: 'SHARD_RELEASED' }, (shard) =>
    ok(release(shard, operationId)),
  );
  if (changed.ok) return ok(changed.value.shard);
  return changed.error.code === 'SHARD_NOT_FOUND' ? ok(null) : changed;
}

export const shardBusy = (shardId: ShardId, { owner, state }: Pick<ShardBusy, 'owner' | 'state'>): Fault =>
  conflict(
    'SHARD_BUSY',
    `Operation ${owner} owns shard ${shardId} (${state}). Wait for its end, or cancel it: GET /operations/${owner}.`,
    { detail: { shard_id: shardId, operation_id: owner, state } },
  );

/** Gives back what ended operations left owned (I-10), and removes rows that tell of no ownership. */
export async function releaseOrphans(deps: Deps, by: Principal): Promise<void> {
  const page = await deps.records.query('ownedShard', { partition: {}, order: 'forward', limit: OWNED_PER_TICK });
  const nowMs = deps.clock.wallMs();
  const old = page.items.filter(({ value }) => nowMs - value.sinceMs >= ORPHAN_AGE_MS);
  const owners = [...new Set(old.map(({ value }) => value.operationId))];
  const stored = await deps.records.getMany(
    'operation',
    owners.map((operationId) => ({ operationId })),
  );
  const ended = new Set(owners.filter((_owner, i) => stored[i] === null || hasEnded(stored[i]!.value)));
  await mapBounded(old, CONCURRENCY, (row) => tidy(deps, by, row, ended.has(row.value.operationId)));
}

async function tidy(deps: Deps, by: Principal, row: Stored<'ownedShard'>, ownerEnded: boolean): Promise<void> {
  const { shardId, operationId }: OwnedShard = row.value;
  if (ownerEnded) {
    const released = await releaseShard(deps, by, shardId, operationId);
    if (!released.ok) return; // contended: the next tick
    deps.log.warn('shard-taken-back', { shardId, operationId });
  }
  const located = await deps.directory.locate(shardId);
  if (located !== null && ownerOf(located.shard) === operationId) return;
  const when = [{ kind: 'revision', is: row.revision }] as const;
  await deps.records.observe({ kind: 'delete', entity: 'ownedShard', id: { shardId }, when });
}
