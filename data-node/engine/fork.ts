import { invariant } from '../../shared/domain/result.ts';
import type { Garbage } from './garbage.ts';
import { covers, rangeOf, segmentsIn } from './key-range.ts';
import type { RangeCounts } from './range-counts.ts';
import type { Tables } from './transaction.ts';
import type { Fork, ForkResult, LogPosition, RangeSize, ReplicaMeta } from './types.ts';

/**
 * Forks a copy inside one transaction (S1). Rows stay where they are and are shared by range. The child's log begins at the parent's
 * commit and repeats the entries above it with the changes of its own range, under the same (epoch, seq), so that copies that were
 * forked at different places match like any logs (R5). Write ids up to the commit are looked up in the parent's storage (R6).
 */
export function forkReplica(
  { tables, garbage, counts }: { tables: Tables; garbage: Garbage; counts: RangeCounts },
  parentShardId: string,
  fork: Fork,
): ForkResult {
  const before = tables.replicas.need(parentShardId);
  const { start_key: from, end_key: to } = fork.child;
  const halves = fork.parent.start_key === before.descriptor.start_key && fork.parent.end_key === from;
  invariant(halves && to === before.descriptor.end_key, 'the halves of a split tile the range of the copy (I-1)');
  invariant(tables.replicas.get(fork.child.shard_id) === undefined, 'a copy is forked once');
  const commitSeq = Math.max(before.commitSeq, fork.commitSeq);
  const base = positionAt(tables, before, commitSeq);
  const range = { from, to };
  const counted = counts.size(parentShardId, range);
  const size = counted ?? half(before);
  const storageId = garbage.newStorageId();
  const child = tables.replicas.put({
    shardId: fork.child.shard_id,
    replicaId: fork.childReplicaId,
    storageId,
    segments: segmentsIn(before.segments, range).map((part) => ({ from: part.from, rowsId: part.rowsId })),
    inheritedWrites: [
      ...before.inheritedWrites,
      { storageId: before.storageId, uptoSeq: commitSeq, wallMs: before.lastAt.wallMs },
    ],
    firstForkSeq: null,
    storeUuid: before.storeUuid,
    descriptor: fork.child,
    maxEpoch: fork.child.epoch,
    commitSeq,
    receipt: null,
    intact: before.intact,
    base,
    last: before.last,
    lastAt: before.lastAt,
    ...size,
  });
  const tail = tables.log.read(before.storageId, commitSeq + 1, {
    entries: before.last.seq - commitSeq,
    bytes: Infinity,
  });
  for (const entry of tail) {
    const changes = entry.changes.filter(({ key }) => covers(range, key));
    // A place in the numbering is all that is left of a write to the left part.
    const rest = changes.length === 0 ? { writeId: null, fingerprint: '' } : {};
    tables.log.append(storageId, { ...entry, changes, ...rest });
  }
  const parent = tables.replicas.put({
    ...before,
    descriptor: fork.parent,
    maxEpoch: Math.max(before.maxEpoch, fork.parent.epoch),
    firstForkSeq: before.firstForkSeq ?? commitSeq,
    rows: Math.max(0, before.rows - size.rows),
    bytes: Math.max(0, before.bytes - size.bytes),
  });
  counts.end(parentShardId);
  return { parent, child, counted: counted !== null };
}

/** Without a count: an estimate, until the range was counted. */
const half = ({ rows, bytes }: ReplicaMeta): RangeSize => ({
  rows: Math.floor(rows / 2),
  bytes: Math.floor(bytes / 2),
});

function positionAt(tables: Tables, meta: ReplicaMeta, seq: number): LogPosition {
  if (seq === meta.base.seq) return meta.base;
  const epoch = tables.log.epochAt(meta.storageId, seq);
  invariant(epoch !== null && seq <= meta.last.seq, 'what is committed is in the log');
  return { epoch, seq };
}

/** Takes a smaller range whose other part this copy did not fork: those rows are nobody's. */
export function shrinkReplica(
  { tables, garbage, counts }: { tables: Tables; garbage: Garbage; counts: RangeCounts },
  shardId: string,
  descriptor: Fork['parent'],
): ReplicaMeta {
  const before = tables.replicas.need(shardId);
  const range = rangeOf(before);
  invariant(descriptor.start_key === range.from && descriptor.end_key !== null, 'a split takes the right part away');
  const lost = { from: descriptor.end_key, to: range.to };
  garbage.discardRows(before, lost);
  const size = counts.size(shardId, lost) ?? half(before);
  counts.end(shardId);
  return tables.replicas.put({
    ...before,
    descriptor,
    maxEpoch: Math.max(before.maxEpoch, descriptor.epoch),
    rows: Math.max(0, before.rows - size.rows),
    bytes: Math.max(0, before.bytes - size.bytes),
  });
}
