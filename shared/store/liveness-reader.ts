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

/**
 * Of a watcher's reads so many ask every partition, the first one too. The others ask those that held a node: all of them in a large fleet, five
 * or fewer where five nodes are, and reads of a tick are most of what an idle cluster costs (docs/deploy.md). A partition keeps what it has once
 * held, so that one node is seen late: the first of its partition, when it first registers, and by four ticks (4 s) at most. Failing over from it then
 * still ends within 12 s.
 */
export const FULL_READ_EVERY = 5;

type Bucket = EntityPartition<'liveness'>;
const BUCKETS: readonly Bucket[] = Array.from({ length: LIVENESS_BUCKETS }, (_, bucket) => ({ bucket }));

export function createLivenessReader(records: Records): LivenessReader {
  const packsOf = async (found: readonly LivenessRecord[]): Promise<ReadonlyMap<PackId, LivenessPack>> => {
    if (found.every(({ pack }) => pack === null)) return NO_PACKS;
    const ids = [...new Set(found.flatMap(({ pack }) => (pack === null ? [] : [pack.packId])))];
    const stored = await records.getMany(
      'livenessPack',
      ids.map((packId) => ({ packId })),
    );
    return byId(stored.flatMap((item) => (item === null ? [] : [item.value])));
  };
  const readBuckets = async (
    buckets: readonly Bucket[],
  ): Promise<{ held: readonly Bucket[]; records: LivenessRecord[] }> => {
    const found = await Promise.all(buckets.map((bucket) => everyOf(records, 'liveness', bucket)));
    const own = found.flat();
    // Asked for second, as most fleets have none. A node's own item tells the node epoch and the place, and a lease stays in its place
    // for the whole node epoch: what moved meanwhile is left out, as if it had been read in the other order.
    const packs = await packsOf(own);
    return {
      held: buckets.filter((_, index) => (found[index]?.length ?? 0) > 0),
      records: own.flatMap((record) => mergeLiveness(record, packOf(packs, record)) ?? []),
    };
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
    all: async () => (await readBuckets(BUCKETS)).records,
    watch: () => {
      // Only ever more of them: an answer that its caller no longer waited for takes nothing back when it comes.
      const held = new Set<Bucket>();
      let untilFullRead = 0;
      return async () => {
        if (untilFullRead > 0) {
          untilFullRead--;
          return (await readBuckets([...held])).records;
        }
        const read = await readBuckets(BUCKETS);
        for (const bucket of read.held) held.add(bucket);
        untilFullRead = FULL_READ_EVERY - 1;
        return read.records;
      };
    },
  };
}

const NO_PACKS: ReadonlyMap<PackId, LivenessPack> = new Map();

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
