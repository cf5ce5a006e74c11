import type { LivenessView } from '../domain/election.ts';
import type { NodeId } from '../domain/ids.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import { LIVENESS_BUCKETS } from '../ports.ts';
import type { Deps } from '../ports.ts';
import { everyRecord } from './every-record.ts';

/** Keys of one getMany. */
const READ_BATCH = 100;
/** Strong read of some nodes' liveness. Nodes that do not exist are missing from the view. */
export async function readLiveness(deps: Deps, nodeIds: Iterable<NodeId>): Promise<LivenessView> {
  const wanted = [...new Set(nodeIds)];
  const view = new Map<NodeId, LivenessRecord>();
  for (let i = 0; i < wanted.length; i += READ_BATCH) {
    const found = await deps.records.getMany(
      'liveness',
      wanted.slice(i, i + READ_BATCH).map((nodeId) => ({ nodeId })),
    );
    for (const stored of found) if (stored !== null) view.set(stored.value.nodeId, stored.value);
  }
  return view;
}

/** Strong read of every liveness item, all partitions in parallel. */
export async function readAllLiveness(deps: Deps): Promise<LivenessRecord[]> {
  const buckets = Array.from({ length: LIVENESS_BUCKETS }, (_, bucket) => everyRecord(deps, 'liveness', { bucket }));
  return (await Promise.all(buckets)).flat();
}
