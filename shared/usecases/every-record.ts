import type { Deps, EntityKind, EntityPartition, EntityValue } from '../ports.ts';

/** Records of one query page; at 250 bytes each a page stays well under 1 MB. */
const PAGE = 1000;
/** Pages of one partition: a million records, a hundred times the fleet of 10,000 nodes. Beyond it is an error, not a silent stop. */
const PAGES_MAX = 1000;

/** Every record of one partition, page by page, each read strong; the whole is no snapshot. */
export async function everyRecord<K extends EntityKind>(
  deps: Pick<Deps, 'records'>,
  kind: K,
  partition: EntityPartition<K>,
): Promise<EntityValue<K>[]> {
  const values: EntityValue<K>[] = [];
  let after: string | undefined;
  for (let page = 0; page < PAGES_MAX; page++) {
    const answer = await deps.records.query(kind, {
      partition,
      order: 'forward',
      limit: PAGE,
      ...(after === undefined ? {} : { after }),
    });
    values.push(...answer.items.map((stored) => stored.value));
    if (answer.next === null) return values;
    after = answer.next;
  }
  throw new Error(`more than ${PAGES_MAX * PAGE} records of kind ${kind} in one partition`);
}
