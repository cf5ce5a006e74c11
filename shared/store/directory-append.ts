import type { EncodedKey, PageId, TableId } from '../domain/ids.ts';
import { compareKeys, KEY_SPACE_START } from '../domain/keys.ts';
import type { PageHeader } from '../domain/records.ts';
import { Bug, invariant } from '../domain/result.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import { StoreError } from '../ports.ts';
import type { Change, RecordWrite, Records, Stored } from '../ports.ts';
import { newPageId, PAGE_FILL, pageAudit, shardAudit } from './directory-pages.ts';
import type { DirectoryEnvironment, PageChangeAudit } from './directory-pages.ts';
import { replicaRow } from './directory-writes.ts';
import { TRANSACTION_ITEMS_MAX } from './limits.ts';
import { readSnapshot } from './records.ts';

/** Appending shards at the high end of a table under construction. */

/** Lost races of one append: an operation's step runs twice at most, so that more means a bug of the caller. */
const RACES_MAX = 20;
/** Pages right of the root's last separator: none unless a root is late. */
const RIGHT_HOPS_MAX = 64;
/** Items besides those of shards: two headers, their audit entries, a separator. */
const PAGE_ITEMS_MAX = 5;
/** Items of one shard besides a row for each replica: descriptor, locator, audit entry. */
const SHARD_ITEMS = 3;
/** Generation of a shard that was just made: the number of its first audit entry. */
const FIRST_GENERATION = 1;

/** The last page of a table, and where its shards end (null = the table is complete). */
interface Tail {
  readonly header: Stored<'page'> | null;
  readonly end: EncodedKey | null;
}

export async function appendShards(
  environment: DirectoryEnvironment,
  tableId: TableId,
  shards: readonly ShardDescriptor[],
  audit: PageChangeAudit,
): Promise<void> {
  checkContiguous(tableId, shards);
  const { records } = environment;
  let tail = await readTail(records, tableId);
  let rest = await withoutPresent(environment, tail, shards);
  let races = 0;
  while (rest.length > 0) {
    const step = nextStep(environment, tableId, tail, rest, audit);
    const committed = await records.commit(step.change);
    if (committed.ok) {
      tail = step.tail;
      rest = rest.slice(step.taken);
      continue;
    }
    races += 1;
    if (races > RACES_MAX)
      throw new StoreError('TRANSACTION_CONFLICT', `lost ${races} races for the last page of table ${tableId}`);
    tail = await readTail(records, tableId);
    rest = await withoutPresent(environment, tail, shards);
  }
}

function checkContiguous(tableId: TableId, shards: readonly ShardDescriptor[]): void {
  for (const [index, shard] of shards.entries()) {
    const next = shards[index + 1];
    const ordered = shard.endKey === null || compareKeys(shard.startKey, shard.endKey) < 0;
    if (shard.tableId !== tableId || !ordered || (next !== undefined && next.startKey !== shard.endKey))
      throw new Bug(`DIRECTORY_MISMATCH: shard ${shard.shardId} does not continue the shards to append`);
    invariant(shard.generation === FIRST_GENERATION, `a new shard has generation 1, not ${shard.generation}`);
  }
}

async function readTail(records: Records, tableId: TableId): Promise<Tail> {
  const partition = { tableId };
  const separators = await records.query('separator', { partition, order: 'backward', limit: 1 });
  let page = separators.items[0]?.value.page ?? null;
  if (page === null) return { header: null, end: KEY_SPACE_START };
  for (let hop = 0; hop < RIGHT_HOPS_MAX; hop++) {
    const header: Stored<'page'> | null = await records.get('page', { page });
    if (header === null) throw new StoreError('TRANSACTION_CONFLICT', `page ${page} of table ${tableId} is changing`);
    if (header.value.right === null) {
      const last = await records.query('shard', { partition: { page }, order: 'backward', limit: 1 });
      const shard = last.items[0]?.value;
      return { header, end: shard === undefined ? header.value.low : shard.endKey };
    }
    page = header.value.right;
  }
  throw new Bug(`the root of table ${tableId} lags more than ${RIGHT_HOPS_MAX} page splits`);
}

/** The shards that the table does not have yet. Throws Bug unless they continue it and the others are there. */
async function withoutPresent(
  { store }: DirectoryEnvironment,
  { end }: Tail,
  shards: readonly ShardDescriptor[],
): Promise<readonly ShardDescriptor[]> {
  const isPresent = (shard: ShardDescriptor): boolean => end === null || compareKeys(shard.startKey, end) < 0;
  const present = shards.filter(isPresent);
  for (let start = 0; start < present.length; start += TRANSACTION_ITEMS_MAX) {
    const part = present.slice(start, start + TRANSACTION_ITEMS_MAX);
    // One snapshot a part: no other read proves that a locator is missing while another append is being committed.
    const locators = await readSnapshot(
      store,
      part.map(({ shardId }) => ({ kind: 'locator', id: { shardId } }) as const),
    );
    for (const [index, shard] of part.entries()) {
      const locator = locators[index]?.value;
      if (locator?.tableId !== shard.tableId || locator.startKey !== shard.startKey)
        throw new Bug(`DIRECTORY_MISMATCH: another shard than ${shard.shardId} starts at its start key`);
    }
  }
  const rest = shards.slice(present.length);
  if (rest[0] !== undefined && rest[0].startKey !== end)
    throw new Bug(`DIRECTORY_MISMATCH: shard ${rest[0].shardId} does not continue table ${rest[0].tableId}`);
  return rest;
}

/** One transaction: as many shards as it and the page hold. */
function nextStep(
  environment: DirectoryEnvironment,
  tableId: TableId,
  tail: Tail,
  rest: readonly ShardDescriptor[],
  audit: PageChangeAudit,
): { change: Change; tail: Tail; taken: number } {
  const present = tail.header?.value;
  const opensPage = present === undefined || present.count >= PAGE_FILL;
  const room = opensPage ? PAGE_FILL : PAGE_FILL - present.count;
  const taken = rest.slice(0, fitting(rest, room));
  const last = taken.at(-1);
  invariant(last !== undefined, 'a transaction holds at least one shard');

  const header: PageHeader = opensPage
    ? {
        page: newPageId(environment.random),
        tableId,
        low: tail.end ?? KEY_SPACE_START,
        high: null,
        generation: FIRST_GENERATION,
        count: taken.length,
        right: null,
      }
    : { ...present, generation: present.generation + 1, count: present.count + taken.length };
  const pages = opensPage
    ? openPageWrites(tail.header, header, audit)
    : {
        writes: [headerWrite(header, tail.header)],
        audit: [pageAudit(header, audit, { added: taken.length })],
      };
  const change: Change = {
    writes: [...pages.writes, ...taken.flatMap((shard) => shardWrites(header.page, shard))],
    audit: [...pages.audit, ...taken.map((shard) => shardAudit(shard, shard.generation, audit, header.page))],
    events: [],
  };
  const headerRevision = opensPage ? 1 : (tail.header?.revision ?? 0) + 1;
  return {
    change,
    tail: { header: { value: header, revision: headerRevision as Stored<'page'>['revision'] }, end: last.endKey },
    taken: taken.length,
  };
}

/** How many of the first shards fit one transaction and `room` places of a page. */
function fitting(shards: readonly ShardDescriptor[], room: number): number {
  let items = PAGE_ITEMS_MAX;
  let count = 0;
  for (const shard of shards.slice(0, room)) {
    items += SHARD_ITEMS + shard.replicas.length;
    if (items > TRANSACTION_ITEMS_MAX) break;
    count += 1;
  }
  return count;
}

const headerWrite = (header: PageHeader, from: Stored<'page'> | null): RecordWrite => ({
  kind: 'put',
  entity: 'page',
  value: header,
  when: from === null ? [{ kind: 'absent' }] : [{ kind: 'revision', is: from.revision }],
});

/** A new page at the right end: its separator is absent, so that of two first pages one wins. */
function openPageWrites(
  left: Stored<'page'> | null,
  header: PageHeader,
  audit: PageChangeAudit,
): { writes: RecordWrite[]; audit: Change['audit'] } {
  const { tableId, low, page } = header;
  const separator: RecordWrite = {
    kind: 'put',
    entity: 'separator',
    value: { tableId, low, page },
    when: [{ kind: 'absent' }],
  };
  const writes = [headerWrite(header, null), separator];
  const entries = [pageAudit(header, audit, { added: header.count })];
  if (left === null) return { writes, audit: entries };
  const shrunk: PageHeader = { ...left.value, high: low, right: page, generation: left.value.generation + 1 };
  return {
    writes: [headerWrite(shrunk, left), ...writes],
    audit: [pageAudit(shrunk, audit, { right: page }), ...entries],
  };
}

function shardWrites(page: PageId, shard: ShardDescriptor): RecordWrite[] {
  const { shardId, tableId, table, startKey } = shard;
  const when = [{ kind: 'absent' }] as const;
  return [
    { kind: 'put', entity: 'shard', id: { page, startKey }, value: shard, when },
    { kind: 'put', entity: 'locator', value: { shardId, tableId, table, startKey }, when },
    ...shard.replicas.map((replica): RecordWrite => ({
      kind: 'put',
      entity: 'nodeReplica',
      value: replicaRow(shard, replica),
      when,
    })),
  ];
}
