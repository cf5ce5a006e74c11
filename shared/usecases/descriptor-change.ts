import { conflict, notFound } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import type { ShardId } from '../domain/ids.ts';
import type { Json } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { ownerOf } from '../domain/shard.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import { StoreError } from '../ports.ts';
import type { Deps, LocatedShard, Principal, RecordWrite } from '../ports.ts';
import { principalName } from './principal.ts';

/** The one way to change a shard's descriptor: read, decide, one conditional commit with audit entry and event. */

export type DescriptorAction =
  | 'LEADER_ELECTED'
  | 'LEADER_ELECTED_FROM_VOID'
  | 'LEADER_TRANSFERRED'
  | 'TRANSFER_STARTED'
  | 'REPLICA_IN_SYNC'
  | 'REPLICA_LAGGING'
  | 'REPLICA_OFFLINE'
  | 'REPLICA_ADDED'
  | 'REPLICA_REMOVED'
  | 'MIN_IN_SYNC_CHANGED'
  | 'SHARD_CLAIMED'
  | 'SHARD_RELEASED'
  | 'SPLIT_KEY_CHOSEN'
  | 'SPLIT_KEY_NOT_FOUND'
  | 'MERGE_ABORTED'
  | 'SIDE_SEALED'
  | 'LEADER_ELECTED_UNCLEAN'
  | 'QUORUM_SHRUNK'
  | 'RECOVERY_CLOSED';

/** A decision over the present descriptor: the next one, null when nothing is to be done, or a refusal. */
export type Decide<E> = (
  shard: ShardDescriptor,
) => Promise<Result<ShardDescriptor | null, E>> | Result<ShardDescriptor | null, E>;

/** Who changes a descriptor, and as what. */
export interface ChangedBy {
  readonly principal: Principal;
  readonly action: DescriptorAction;
  readonly detail?: Json;
  /** Conditions on other records that the decision rests on, asked for after it: they hold in the same transaction (S3). */
  readonly checks?: () => readonly Extract<RecordWrite, { kind: 'check' }>[];
  /** Records that are kept in step with the descriptor, by the descriptor that is about to be written. */
  readonly also?: (next: ShardDescriptor) => readonly RecordWrite[];
}

/** Attempts of one change against concurrent ones: each loss means that another change of the shard got through. */
const ATTEMPTS_MAX = 6;
/** First pause after a TransactionConflict, doubled each time: retried apart from a failed condition (S4). */
const CONFLICT_PAUSE_MS = 10;

export type Changed = { readonly kind: 'CHANGED' | 'UNCHANGED'; readonly shard: ShardDescriptor };

/**
 * Changes a shard by `decide`, which is asked anew whenever another change came between. Errors: SHARD_NOT_FOUND, CONFLICT
 * (still contended after the attempts), or what `decide` refuses.
 */
export async function changeDescriptor<E>(
  deps: Deps,
  shardId: ShardId,
  by: ChangedBy,
  decide: Decide<E>,
): Promise<Result<Changed, E | Fault>> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const located = await deps.directory.locate(shardId);
    if (located === null) return err(shardNotFound(shardId));
    const outcome = await changeLocated(deps, located, by, decide);
    if (!outcome.ok) return outcome;
    if (outcome.value !== 'RACED') return ok(outcome.value);
    if (attempt > 0) await deps.timers.sleep(CONFLICT_PAUSE_MS * 2 ** attempt * (0.5 + deps.random.next()));
  }
  return err(
    conflict('CONFLICT', `Shard ${shardId} keeps changing. Send the request again.`, { retryAfterSeconds: 1 }),
  );
}

/** One attempt on a descriptor that was just read. RACED: somebody else changed it, or held it. */
export async function changeLocated<E>(
  deps: Deps,
  located: LocatedShard,
  by: ChangedBy,
  decide: Decide<E>,
): Promise<Result<Changed | 'RACED', E>> {
  const decided = await decide(located.shard);
  if (!decided.ok) return decided;
  const next = decided.value;
  if (next === null) return ok({ kind: 'UNCHANGED', shard: located.shard });
  try {
    const committed = await deps.records.commit({
      writes: [
        ...deps.directory.replaceWrites(located, next),
        ...intentWrites(deps, located.shard, next),
        ...ownershipWrites(deps, located.shard, next),
        ...(by.checks?.() ?? []),
        ...(by.also?.(next) ?? []),
      ],
      audit: [
        {
          entity: `shard:${next.shardId}`,
          number: next.generation,
          action: by.action,
          principal: principalName(by.principal),
          detail: {
            epoch: next.epoch,
            leader: next.leader.nodeId,
            ...(by.detail === undefined ? {} : { cause: by.detail }),
          },
        },
      ],
      events:
        next.epoch === located.shard.epoch
          ? []
          : [
              {
                eventType: 'LEADER_CHANGED',
                payload: {
                  shard_id: next.shardId,
                  table: next.table,
                  from: located.shard.leader.nodeId,
                  to: next.leader.nodeId,
                  epoch: next.epoch,
                },
              },
            ],
    });
    return ok(committed.ok ? { kind: 'CHANGED', shard: next } : 'RACED');
  } catch (error) {
    if (error instanceof StoreError && error.code === 'TRANSACTION_CONFLICT') return ok('RACED');
    throw error;
  }
}

/** The row by which the reconciler finds open intents, kept in step with the descriptor (E2). */
function intentWrites(deps: Deps, from: ShardDescriptor, to: ShardDescriptor): RecordWrite[] {
  if (from.intent === null && to.intent !== null) {
    const value = { shardId: to.shardId, sinceMs: deps.clock.wallMs() };
    return [{ kind: 'put', entity: 'openIntent', value, when: [{ kind: 'absent' }] }];
  }
  if (from.intent !== null && to.intent === null) {
    return [{ kind: 'delete', entity: 'openIntent', id: { shardId: to.shardId }, when: [] }];
  }
  return [];
}

/**
 * The row by which the reconciler finds owned shards, kept in step with the descriptor (I-9, I-10). Commits that change a descriptor by other writes
 * than these (split, merge) take it along; `to` null: the shard is gone.
 */
export function ownershipWrites(deps: Deps, from: ShardDescriptor, to: ShardDescriptor | null): RecordWrite[] {
  const owner = to === null ? null : ownerOf(to);
  if (ownerOf(from) === owner) return [];
  const { shardId } = from;
  if (owner === null) return [{ kind: 'delete', entity: 'ownedShard', id: { shardId }, when: [] }];
  const value = { shardId, operationId: owner, sinceMs: deps.clock.wallMs() };
  return [{ kind: 'put', entity: 'ownedShard', value, when: [{ kind: 'absent' }] }];
}

export const shardNotFound = (shardId: string): Fault =>
  notFound('SHARD_NOT_FOUND', `There is no shard ${shardId}. List shards with GET /shards.`);
