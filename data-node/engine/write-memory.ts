import type { LogTable } from './log-table.ts';
import type { ReplicaMeta, WriteRecord } from './types.ts';

/** The write ids that a copy remembers (R6): in its own storage, and in those of the copies that it was forked from or joined of. */

export function findWrite(log: LogTable, meta: ReplicaMeta, writeId: string): WriteRecord | undefined {
  const own = log.write(meta.storageId, writeId);
  if (own !== undefined) return own;
  for (const { storageId, uptoSeq } of meta.inheritedWrites) {
    const found = log.write(storageId, writeId);
    if (found !== undefined && found.seq <= uptoSeq) return found;
  }
  return undefined;
}

/**
 * Writes in `(afterSeq, atSeq]` by sequence, at least `limit` of them if there are. Sources overlap after a merge, whose parts were
 * numbered apart: writes of one sequence are never parted, so that the last one's sequence is a place to go on from.
 */
export function writesInOrder(
  log: LogTable,
  meta: ReplicaMeta,
  afterSeq: number,
  atSeq: number,
  limit: number,
): WriteRecord[] {
  const sources = [...meta.inheritedWrites, { storageId: meta.storageId, uptoSeq: Infinity }];
  const found = sources
    .flatMap(({ storageId, uptoSeq }) => {
      const upto = Math.min(uptoSeq, atSeq);
      return upto <= afterSeq ? [] : log.writes(storageId, afterSeq, upto, limit);
    })
    .toSorted((one, other) => one.seq - other.seq);
  const last = found[limit - 1];
  return last === undefined ? found : found.filter(({ seq }) => seq <= last.seq);
}
