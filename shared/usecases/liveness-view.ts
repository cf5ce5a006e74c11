import type { LivenessView } from '../domain/election.ts';
import type { NodeId } from '../domain/ids.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import { LIVENESS_BUCKETS } from '../ports.ts';
import type { Deps } from '../ports.ts';

/** Keys of one getMany. */
const READ_BATCH = 100;
/** Liveness items of one query page; about 250 bytes each keep a page well under 1 MB. */
const LIVENESS_PAGE = 1000;
/** 1,000 pages of 1,000 items: a hundred times the fleet of 10,000 nodes. */
const LIVENESS_PAGES_MAX = 1000;

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
  const partitions = await Promise.all(
    Array.from({ length: LIVENESS_BUCKETS }, async (_, bucket) => {
      const items: LivenessRecord[] = [];
      let after: string | undefined;
      for (let page = 0; page < LIVENESS_PAGES_MAX; page++) {
        const answer = await deps.records.query('liveness', {
          partition: { bucket },
          order: 'forward',
          limit: LIVENESS_PAGE,
          ...(after === undefined ? {} : { after }),
        });
        items.push(...answer.items.map((stored) => stored.value));
        if (answer.next === null) return items;
        after = answer.next;
      }
      throw new Error(`liveness partition ${bucket} has more than ${LIVENESS_PAGES_MAX} pages`);
    }),
  );
  return partitions.flat();
}
