import { pageId } from '../domain/ids.ts';
import type { PageId } from '../domain/ids.ts';
import type { AuditEntry, Json, PageHeader } from '../domain/records.ts';
import { invariant } from '../domain/result.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import { StoreError } from '../ports.ts';
import type { MetadataStore, Records, RecordWrite, Stored } from '../ports.ts';
import type { RecordsEnvironment } from './records.ts';

/** Pages of the directory: their size, their audit entries, and how they split. */

/** A page splits when it holds this many shards (DESIGN section 4). */
export const PAGE_SHARDS_MAX = 64;
/** Shards that an append puts into a page: leaves room for splits of its shards before the page itself has to split. */
export const PAGE_FILL = 48;
/** Descriptors that a page split moves: two items each, so that 100 items hold them, both headers, audit and separator. */
const MOVED_MAX = PAGE_SHARDS_MAX / 2;
/** Attempts of one structural change: it yields to failovers, which change the same descriptors (S4). */
export const ATTEMPTS_MAX = 10;
const PAGE_ID_BYTES = 8;

export interface DirectoryEnvironment extends RecordsEnvironment {
  readonly store: MetadataStore;
  readonly records: Records;
}

/** On whose behalf pages and shards change. */
export interface PageChangeAudit {
  readonly principal: string;
  readonly action: string;
}

export interface PageSplit {
  readonly left: PageHeader;
  readonly right: PageHeader;
}

type Audit = Omit<AuditEntry, 'atMs'>;

export const newPageId = (random: DirectoryEnvironment['random']): PageId =>
  pageId(`page-${random.hex(PAGE_ID_BYTES)}`);

/** Every change of a header raises its generation by one, so that the generation numbers its audit entries without a gap. */
export const pageAudit = (header: PageHeader, by: PageChangeAudit, detail: Json): Audit => ({
  entity: `page:${header.page}`,
  number: header.generation,
  ...by,
  detail,
});

export const shardAudit = (shard: ShardDescriptor, number: number, by: PageChangeAudit, page: PageId): Audit => ({
  entity: `shard:${shard.shardId}`,
  number,
  ...by,
  detail: { table: shard.table, page },
});

/** See `DirectoryWithPages.splitPage` in directory.ts. */
export async function splitPage(
  { records, random }: DirectoryEnvironment,
  page: PageId,
  audit: PageChangeAudit,
): Promise<PageSplit | null> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const header = await records.get('page', { page });
    if (header === null || header.value.count < PAGE_SHARDS_MAX) return null;
    const shards = await allShards(records, header.value);
    if (shards === null) continue; // the page changed while it was read
    const moved = shards.slice(-Math.min(MOVED_MAX, Math.floor(shards.length / 2)));
    const { split, writes } = splitWrites(header, moved, newPageId(random));
    const committed = await records.commit({
      writes,
      audit: [
        pageAudit(split.left, audit, { right: split.right.page, moved: moved.length }),
        pageAudit(split.right, audit, { left: page, moved: moved.length }),
      ],
      events: [],
    });
    if (committed.ok) return split;
  }
  throw new StoreError(
    'TRANSACTION_CONFLICT',
    `page ${page} changed during each of ${ATTEMPTS_MAX} attempts to split it`,
  );
}

/** All descriptors of a page in key order; null if their number is not the header's. */
async function allShards(records: Records, header: PageHeader): Promise<readonly Stored<'shard'>[] | null> {
  const shards: Stored<'shard'>[] = [];
  let after: string | undefined;
  // One descriptor is at most 4 KB, so that a page comes in one answer of 1 MB; the loop ends after at most `count` rounds.
  while (shards.length <= header.count) {
    const answer = await records.query('shard', {
      partition: { page: header.page },
      order: 'forward',
      limit: header.count + 1,
      ...(after === undefined ? {} : { after }),
    });
    shards.push(...answer.items);
    if (answer.next === null) break;
    after = answer.next;
  }
  return shards.length === header.count ? shards : null;
}

/** S4: each moved descriptor's delete carries its revision, its put requires absence; the header's revision is conditioned. */
function splitWrites(
  header: Stored<'page'>,
  moved: readonly Stored<'shard'>[],
  rightPage: PageId,
): { split: PageSplit; writes: RecordWrite[] } {
  const from = header.value;
  const first = moved[0]?.value;
  invariant(first !== undefined, 'a page split moves at least one shard');
  const right: PageHeader = {
    page: rightPage,
    tableId: from.tableId,
    low: first.startKey,
    high: from.high,
    generation: 1,
    count: moved.length,
    right: from.right,
  };
  const left: PageHeader = {
    ...from,
    high: first.startKey,
    generation: from.generation + 1,
    count: from.count - moved.length,
    right: rightPage,
  };
  const absent = [{ kind: 'absent' }] as const;
  const { tableId, low } = right;
  return {
    split: { left, right },
    writes: [
      { kind: 'put', entity: 'page', value: left, when: [{ kind: 'revision', is: header.revision }] },
      { kind: 'put', entity: 'page', value: right, when: absent },
      // The separator fits the transaction, so that no crash leaves the root late for good; cached roots still are late.
      { kind: 'put', entity: 'separator', value: { tableId, low, page: rightPage }, when: absent },
      ...moved.flatMap(({ value: shard, revision }): RecordWrite[] => {
        const { startKey } = shard;
        return [
          {
            kind: 'delete',
            entity: 'shard',
            id: { page: from.page, startKey },
            when: [{ kind: 'revision', is: revision }],
          },
          { kind: 'put', entity: 'shard', id: { page: rightPage, startKey }, value: shard, when: absent },
        ];
      }),
    ],
  };
}
