import type { NodeId, PackId } from '../domain/ids.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import { mergeLiveness } from '../domain/liveness-pack.ts';
import type { LivenessPack } from '../domain/liveness-pack.ts';
import { LIVENESS_BUCKETS, StoreError } from '../ports.ts';
import type { EntityKind, EntityPartition, EntityValue, LivenessReader, Records } from '../ports.ts';
import { QUERY_ITEMS_MAX } from './limits.ts';

/** Reads of a lease that moved between two reads. It moves at registrations and fences only, so a second move is rare. */
const ROUNDS_MAX = 4;
/** Pages of one partition: a million items, a hundred times the fleet of 10,000 nodes. Beyond it is an error, not a silent stop. */
const PAGES_MAX = 1_000;

const BUCKETS = Array.from({ length: LIVENESS_BUCKETS }, (_, bucket) => ({ bucket }));

export function createLivenessReader(records: Records): LivenessReader {
  const packsOf = async (found: readonly LivenessRecord[]): Promise<ReadonlyMap<PackId, LivenessPack>> => {
    const ids = [...new Set(found.flatMap(({ pack }) => (pack === null ? [] : [pack.packId])))];
    const stored =
      ids.length === 0
        ? []
        : await records.getMany(
            'livenessPack',
            ids.map((packId) => ({ packId })),
          );
    return byId(stored.flatMap((item) => (item === null ? [] : [item.value])));
  };
  return {
    of: async (nodeIds) => {
      const view = new Map<NodeId, LivenessRecord>();
      let wanted = [...new Set(nodeIds)];
      for (let round = 0; wanted.length > 0; round++) {
        if (round === ROUNDS_MAX) throw new StoreError('UNAVAILABLE', `the lease of ${wanted.join(', ')} keeps moving`);
        const stored = await records.getMany(
          'liveness',
          wanted.map((nodeId) => ({ nodeId })),
        );
        const found = stored.flatMap((item) => (item === null ? [] : [item.value]));
        const packs = await packsOf(found);
        const moved: NodeId[] = [];
        for (const record of found) {
          const merged = mergeLiveness(record, packOf(packs, record));
          if (merged === null) moved.push(record.nodeId);
          else view.set(merged.nodeId, merged);
        }
        wanted = moved;
      }
      return view;
    },
    all: async () => {
      const own = (await Promise.all(BUCKETS.map((bucket) => everyOf(records, 'liveness', bucket)))).flat();
      // Asked for second, as most fleets have none. A node's own item tells the node epoch and the place, and a lease stays in its place
      // for the whole node epoch: what moved meanwhile is left out, as if it had been read in the other order.
      const packs = await packsOf(own);
      return own.flatMap((record) => mergeLiveness(record, packOf(packs, record)) ?? []);
    },
  };
}

const byId = (packs: readonly LivenessPack[]): ReadonlyMap<PackId, LivenessPack> =>
  new Map(packs.map((pack) => [pack.packId, pack]));

const packOf = (packs: ReadonlyMap<PackId, LivenessPack>, record: LivenessRecord): LivenessPack | null =>
  record.pack === null ? null : (packs.get(record.pack.packId) ?? null);

async function everyOf<K extends EntityKind>(
  records: Records,
  kind: K,
  partition: EntityPartition<K>,
): Promise<EntityValue<K>[]> {
  const values: EntityValue<K>[] = [];
  let after: string | undefined;
  for (let page = 0; page < PAGES_MAX; page++) {
    const answer = await records.query(kind, {
      partition,
      order: 'forward',
      limit: QUERY_ITEMS_MAX,
      ...(after === undefined ? {} : { after }),
    });
    values.push(...answer.items.map((stored) => stored.value));
    if (answer.next === null) return values;
    after = answer.next;
  }
  throw new Error(`more than ${PAGES_MAX * QUERY_ITEMS_MAX} records of kind ${kind} in one partition`);
}
