import { nextGeneration } from '../domain/ids.ts';
import type { PageId, TableId } from '../domain/ids.ts';
import type { PageHeader } from '../domain/records.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import { StoreError } from '../ports.ts';
import type { Change, RecordWrite, Stored } from '../ports.ts';
import { ATTEMPTS_MAX, PAGE_SHARDS_MAX, pageAudit, shardAudit } from './directory-pages.ts';
import type { DirectoryEnvironment, PageChangeAudit } from './directory-pages.ts';
import { TRANSACTION_ITEMS_MAX } from './limits.ts';

/** Removing shards at the low end of a table that is being deleted. */

/** Items of a removal besides those of shards: header, separator, the page's audit entry. */
const REMOVAL_PAGE_ITEMS = 3;
/** Items of one removed shard besides a row for each replica: descriptor, locator, open intent, audit entry. */
const REMOVAL_SHARD_ITEMS = 4;

/** See `ShardDirectory.removeFirst` in ports.ts. */
export async function removeFirstShards(
  { records }: DirectoryEnvironment,
  tableId: TableId,
  limit: number,
  audit: PageChangeAudit,
): Promise<{ removed: readonly ShardDescriptor[]; done: boolean }> {
  const removed: ShardDescriptor[] = [];
  let races = 0;
  while (removed.length < limit) {
    const separators = await records.query('separator', { partition: { tableId }, order: 'forward', limit: 1 });
    const separator = separators.items[0]?.value;
    if (separator === undefined) return { removed, done: true };
    const { page } = separator;
    const header = await records.get('page', { page });
    const wanted = Math.min(limit - removed.length, PAGE_SHARDS_MAX);
    const first = await records.query('shard', { partition: { page }, order: 'forward', limit: wanted });
    const taken = header === null ? null : removalOf(header, first.items, audit);
    if (taken !== null && (await records.commit(taken.change)).ok) {
      removed.push(...taken.shards);
      continue;
    }
    races += 1;
    if (races > ATTEMPTS_MAX)
      throw new StoreError('TRANSACTION_CONFLICT', `lost ${races} races for the first page of table ${tableId}`);
  }
  const left = await records.query('separator', { partition: { tableId }, order: 'forward', limit: 1 });
  return { removed, done: left.items.length === 0 };
}

function removalOf(
  header: Stored<'page'>,
  candidates: readonly Stored<'shard'>[],
  audit: PageChangeAudit,
): { change: Change; shards: readonly ShardDescriptor[] } | null {
  const taken: Stored<'shard'>[] = [];
  let items = REMOVAL_PAGE_ITEMS;
  for (const candidate of candidates) {
    items += REMOVAL_SHARD_ITEMS + candidate.value.replicas.length;
    if (items > TRANSACTION_ITEMS_MAX) break;
    taken.push(candidate);
  }
  if (taken.length === 0 && header.value.count > 0) return null; // the page changed between the two reads
  const { page, tableId, low, generation } = header.value;
  const next: PageHeader = {
    ...header.value,
    generation: generation + 1,
    count: header.value.count - taken.length,
  };
  const when = [{ kind: 'revision', is: header.revision }] as const;
  const pageWrites: RecordWrite[] =
    next.count > 0
      ? [{ kind: 'put', entity: 'page', value: next, when }]
      : [
          { kind: 'delete', entity: 'page', id: { page }, when },
          { kind: 'delete', entity: 'separator', id: { tableId, low }, when: [{ kind: 'present' }] },
        ];
  return {
    shards: taken.map(({ value }) => value),
    change: {
      writes: [...pageWrites, ...taken.flatMap((shard) => removalWrites(page, shard))],
      audit: [
        pageAudit(next, audit, { removed: taken.length }),
        ...taken.map(({ value }) => shardAudit(value, nextGeneration(value.generation), audit, page)),
      ],
      events: [],
    },
  };
}

function removalWrites(page: PageId, { value: shard, revision }: Stored<'shard'>): RecordWrite[] {
  const { shardId, startKey } = shard;
  return [
    { kind: 'delete', entity: 'shard', id: { page, startKey }, when: [{ kind: 'revision', is: revision }] },
    { kind: 'delete', entity: 'locator', id: { shardId }, when: [{ kind: 'present' }] },
    ...shard.replicas.map(({ nodeId, replicaId }): RecordWrite => ({
      kind: 'delete',
      entity: 'nodeReplica',
      id: { nodeId, shardId },
      when: [{ kind: 'equals', field: 'replicaId', value: replicaId }],
    })),
    ...(shard.intent === null
      ? []
      : [{ kind: 'delete', entity: 'openIntent', id: { shardId }, when: [] } satisfies RecordWrite]),
  ];
}
