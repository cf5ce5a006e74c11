import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import { invariant } from '../../shared/domain/result.ts';
import type { Garbage } from './garbage.ts';
import type { HybridTimestamp } from './hlc.ts';
import { rangeOf, segmentsIn } from './key-range.ts';
import type { RangeCounts } from './range-counts.ts';
import type { Tables } from './transaction.ts';
import type { InheritedWrites, LogPosition, ReplicaMeta, RowSegment } from './types.ts';

/** Joins the two copies that a node holds of the parts of a merge (S2). */

export type MergeOrigin = NonNullable<WireDescriptor['merged_from']>;

/** Why a node's copies can't be joined; null if they can. */
export type JoinObstacle =
  /** One of the parts is not held here, or not as it was at the merge. */
  | 'PART_MISSING'
  /** A log does not end where its leader sealed it: the copy lacks writes, or has some that were never committed. */
  | 'NOT_AT_SEAL'
  /** A copy lost its directory's identity (L4): what it holds is no proof of anything. */
  | 'NOT_INTACT';

const at = (left: LogPosition, right: LogPosition): boolean => left.epoch === right.epoch && left.seq === right.seq;

/**
 * Whether the copies are the parts of `merged`, exactly as sealed. Logs that end at one (epoch, seq) are equal (R5), all of it is
 * committed, and no copy that misses an acknowledged write ends there (R1).
 */
export function joinObstacle(
  left: ReplicaMeta,
  right: ReplicaMeta | undefined,
  merged: WireDescriptor,
): JoinObstacle | null {
  const origin = merged.merged_from;
  if (right === undefined || origin?.right_shard_id !== right.shardId) return 'PART_MISSING';
  const tiles =
    left.descriptor.start_key === merged.start_key &&
    left.descriptor.end_key === origin.border_key &&
    right.descriptor.start_key === origin.border_key &&
    right.descriptor.end_key === origin.end_key &&
    merged.end_key === origin.end_key;
  if (!tiles) return 'PART_MISSING';
  if (!left.intact || !right.intact || left.storeUuid !== right.storeUuid) return 'NOT_INTACT';
  return at(left.last, origin.left_end) && at(right.last, origin.right_end) ? null : 'NOT_AT_SEAL';
}

/**
 * The log of the merged shard begins here: the same place on every node, above every entry of both parts and below the first of the new
 * term, and in no log of a part (R5).
 */
export const joinedBase = ({ left_end: left, right_end: right }: MergeOrigin): LogPosition => ({
  epoch: Math.max(left.epoch, right.epoch),
  seq: Math.max(left.seq, right.seq) + 1,
});

/**
 * One copy in place of the two, inside one transaction. No row moves: the parts' rows stay where they are, by range. The log begins anew;
 * write ids are looked up in the parts' storages as long as they are remembered (R6). It takes the same time for any size.
 */
export function joinReplicas(
  { tables, garbage, counts }: { tables: Tables; garbage: Garbage; counts: RangeCounts },
  leftShardId: string,
  merged: WireDescriptor,
): ReplicaMeta {
  const origin = merged.merged_from;
  const left = tables.replicas.need(leftShardId);
  const right = origin === undefined ? undefined : tables.replicas.get(origin.right_shard_id);
  invariant(origin !== undefined && right !== undefined, 'both parts of a join are held');
  invariant(joinObstacle(left, right, merged) === null, 'copies are joined as they were sealed (S2)');
  const base = joinedBase(origin);
  tables.replicas.delete(right.shardId);
  garbage.discardLog(left.storageId);
  garbage.discardLog(right.storageId);
  counts.end(left.shardId);
  counts.end(right.shardId);
  return tables.replicas.put({
    ...left,
    storageId: garbage.newStorageId(),
    segments: joinedSegments(left, right),
    inheritedWrites: joinedWrites(left, right),
    firstForkSeq: null,
    descriptor: merged,
    maxEpoch: Math.max(left.maxEpoch, right.maxEpoch, merged.epoch),
    base,
    last: base,
    lastAt: later(left.lastAt, right.lastAt),
    commitSeq: base.seq,
    rows: left.rows + right.rows,
    bytes: left.bytes + right.bytes,
  });
}

/** Each part's segments inside its own range; halves of one storage that meet again become one. */
function joinedSegments(left: ReplicaMeta, right: ReplicaMeta): RowSegment[] {
  const parts = [...segmentsIn(left.segments, rangeOf(left)), ...segmentsIn(right.segments, rangeOf(right))];
  return parts
    .filter((part, index) => part.rowsId !== parts[index - 1]?.rowsId)
    .map(({ from, rowsId }) => ({ from, rowsId }));
}

/** Storages that both parts remember writes in (halves of one split) are named once, with the higher end. */
function joinedWrites(left: ReplicaMeta, right: ReplicaMeta): InheritedWrites[] {
  const sources = new Map<number, InheritedWrites>();
  for (const part of [left, right]) {
    const own = { storageId: part.storageId, uptoSeq: part.last.seq, wallMs: part.lastAt.wallMs };
    for (const source of [...part.inheritedWrites, own]) {
      const known = sources.get(source.storageId);
      if (known === undefined || known.uptoSeq < source.uptoSeq) sources.set(source.storageId, source);
    }
  }
  return [...sources.values()].toSorted((one, other) => one.uptoSeq - other.uptoSeq);
}

const later = (left: HybridTimestamp, right: HybridTimestamp): HybridTimestamp =>
  left.wallMs > right.wallMs || (left.wallMs === right.wallMs && left.counter >= right.counter) ? left : right;

/**
 * Takes the merged shard's descriptor with copies that can't be joined: the left one is no proof of anything any more and waits for its
 * leader's snapshot, which brings both parts; what is held of the right one goes, its id never to come back (R4).
 */
export function giveUpParts(
  { tables, counts }: { tables: Tables; counts: RangeCounts },
  leftShardId: string,
  merged: WireDescriptor,
): ReplicaMeta {
  const left = tables.replicas.need(leftShardId);
  counts.end(leftShardId);
  return tables.replicas.put({
    ...left,
    descriptor: merged,
    maxEpoch: Math.max(left.maxEpoch, merged.epoch),
    intact: false,
  });
}
