import { currentInSync, unhealthyReason } from '../../shared/domain/membership.ts';
import { replicaById } from '../../shared/domain/shard.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { CommandDraft, Deps } from '../../shared/ports.ts';
import { readLiveness } from '../../shared/usecases/liveness-view.ts';
import type { PlacedReplica } from '../../shared/usecases/move-replica.ts';
import { copyProgress } from '../../shared/usecases/replica-target.ts';
import type { StepError } from '../step.ts';
import { draftFor, elapsedMs } from './work.ts';
import type { Work } from './work.ts';

/** How the new copies come on: the leader feeds them by itself (R2); the operation watches, and gives up within bounds. */

/** Rate of one snapshot; the leaders throttle them to it (DESIGN section 7). */
const SNAPSHOT_BYTES_PER_SECOND = 14_000_000;
/** A copy may take this long, and twice the time that its bytes take at the throttle: sessions break, leaders change. */
const CATCH_UP_BASE_MS = 900_000;
const CATCH_UP_SLACK = 2;
/** A new replica's node may be down this long: a restart takes seconds, and another node takes the copy sooner than a dead one. */
const TARGET_DOWN_MS = 120_000;
/** Pauses between two looks grow with the age of the wait: a small shard is there in a second, a large one after a minute. */
const POLL_SECONDS_MAX = 10;
const POLL_AGE_SHARE = 5_000;

export type Look =
  | { readonly kind: 'IN_SYNC' }
  | { readonly kind: 'GIVE_UP'; readonly error: StepError }
  | {
      readonly kind: 'WAIT';
      readonly waitingOn: string;
      readonly seconds: number;
      readonly downSinceMs: number | null;
    };

/** One look at the new replicas. What a leader or a node may have missed is sent again: commands are idempotent. */
export async function lookAtCopies(deps: Deps, work: Work, shard: ShardDescriptor): Promise<Look> {
  const view = await readLiveness(
    deps,
    shard.replicas.map((replica) => replica.nodeId),
  );
  const current = new Set(currentInSync(shard, view).map((replica) => replica.replicaId));
  const behind = work.state.added.filter((one) => !current.has(one.replicaId));
  const [first] = behind;
  if (first === undefined) return { kind: 'IN_SYNC' };
  const nowMs = deps.clock.wallMs();
  const isDown = (one: PlacedReplica): boolean => unhealthyReason(view.get(one.nodeId)) !== null;
  const down = behind.find(isDown);
  const downSinceMs = down === undefined ? null : (work.state.downSinceMs ?? nowMs);
  if (down !== undefined && downSinceMs !== null && elapsedMs(work, downSinceMs, nowMs) > TARGET_DOWN_MS)
    return {
      kind: 'GIVE_UP',
      error: {
        code: 'TARGET_DOWN',
        message: `Node ${down.nodeId} has been down for ${TARGET_DOWN_MS / 1000} s. Choose another node.`,
      },
    };
  const { copied, total } = await copyProgress(deps, shard, first.nodeId);
  const ageMs = elapsedMs(work, work.state.sinceMs, nowMs);
  const boundMs = CATCH_UP_BASE_MS + ((CATCH_UP_SLACK * (total ?? 0)) / SNAPSHOT_BYTES_PER_SECOND) * 1000;
  if (ageMs > boundMs)
    return {
      kind: 'GIVE_UP',
      error: {
        code: 'CATCH_UP_TIMEOUT',
        message: `The replica on ${first.nodeId} was not IN_SYNC within ${Math.round(boundMs / 1000)} s.`,
      },
    };
  const drafts: CommandDraft[] = [];
  // A wiped node holds nothing any more (ADR 0003); a new leader may not know its newest descriptor.
  for (const one of behind)
    if (!isDown(one) && replicaById(shard, one.replicaId)?.syncStatus !== 'IN_SYNC')
      drafts.push(draftFor('create_replica', shard, one));
  if (unhealthyReason(view.get(shard.leader.nodeId)) === null)
    drafts.push(draftFor('apply_descriptor', shard, shard.leader));
  await deps.commands.send(drafts);
  return {
    kind: 'WAIT',
    waitingOn:
      down === undefined
        ? inWords(shard, first, copied, total)
        : `node ${down.nodeId} to come back: it holds the new replica of ${shard.shardId}`,
    seconds: Math.min(POLL_SECONDS_MAX, Math.max(1, Math.floor(ageMs / POLL_AGE_SHARE))),
    downSinceMs,
  };
}

const BYTES_PER_MB = 1_000_000;

function inWords(shard: ShardDescriptor, to: PlacedReplica, copied: number | null, total: number | null): string {
  if (total === null || total < BYTES_PER_MB) return `snapshot of ${shard.shardId} to ${to.nodeId}`;
  const done = Math.min(copied ?? 0, total) / BYTES_PER_MB;
  return `snapshot of ${shard.shardId} to ${to.nodeId}: ${Math.floor(done)} of ${Math.ceil(total / BYTES_PER_MB)} MB`;
}
