import type { PageHeader } from '../domain/records.ts';
import { compareKeys } from '../domain/keys.ts';
import { invariant } from '../domain/result.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import type { Change, LocatedShard, RecordWrite, Records, Stored } from '../ports.ts';
import { PAGE_SHARDS_MAX, pageAudit } from './directory-pages.ts';
import type { PageChangeAudit } from './directory-pages.ts';
import { replicaRow } from './directory-writes.ts';

/** Writes that change bounds: the split of a shard, the merge of two. Each goes into one transaction with its caller's (S1, S2, S4). */

type BoundsChange = Pick<Change, 'writes' | 'audit'>;

const ABSENT = [{ kind: 'absent' }] as const;

/** Conditions of a write that replaces or removes a descriptor: as it was read, under the leader that it had (PROTOCOL, transitions). */
const asRead = ({ shard, revision }: LocatedShard) =>
  [
    { kind: 'revision', is: revision },
    { kind: 'equals', field: 'shardId', value: shard.shardId },
    { kind: 'equals', field: 'generation', value: shard.generation },
    { kind: 'equals', field: 'epoch', value: shard.epoch },
    { kind: 'equals', field: ['leader', 'nodeEpoch'], value: shard.leader.nodeEpoch },
  ] as const;

const headerPut = (from: Stored<'page'>, to: PageHeader): RecordWrite => ({
  kind: 'put',
  entity: 'page',
  value: to,
  when: [{ kind: 'revision', is: from.revision }],
});

/** See `ShardDirectory.splitWrites` in ports.ts. */
export async function splitWrites(
  records: Records,
  from: LocatedShard,
  parts: { readonly parent: ShardDescriptor; readonly child: ShardDescriptor },
  audit: PageChangeAudit,
): Promise<BoundsChange | 'PAGE_FULL' | 'RACED'> {
  const { parent, child } = parts;
  const { shard, page } = from;
  invariant(
    parent.shardId === shard.shardId && parent.startKey === shard.startKey,
    'a split keeps the parent in place',
  );
  invariant(
    parent.endKey !== null && parent.endKey === child.startKey && child.endKey === shard.endKey,
    `the parts of ${shard.shardId} do not tile it (I-1)`,
  );
  invariant(
    parent.generation === shard.generation + 1 && child.generation > shard.generation,
    `the parts of ${shard.shardId} do not exceed it (I-2)`,
  );
  invariant(parent.epoch === shard.epoch && child.epoch === shard.epoch + 1, 'child epoch = parent epoch + 1 (S1)');
  const header = await records.get('page', { page });
  if (header === null || !within(header.value, child)) return 'RACED';
  if (header.value.count >= PAGE_SHARDS_MAX) return 'PAGE_FULL';
  const { generation, count } = header.value;
  const next: PageHeader = { ...header.value, generation: generation + 1, count: count + 1 };
  const { shardId, tableId, table, startKey } = child;
  return {
    writes: [
      { kind: 'put', entity: 'shard', id: { page, startKey: parent.startKey }, value: parent, when: asRead(from) },
      { kind: 'put', entity: 'shard', id: { page, startKey }, value: child, when: ABSENT },
      { kind: 'put', entity: 'locator', value: { shardId, tableId, table, startKey }, when: ABSENT },
      ...child.replicas.map((replica): RecordWrite => ({
        kind: 'put',
        entity: 'nodeReplica',
        value: replicaRow(child, replica),
        when: ABSENT,
      })),
      headerPut(header, next),
    ],
    audit: [pageAudit(next, audit, { added: child.shardId, by_split_of: parent.shardId })],
  };
}

const within = (page: PageHeader, shard: ShardDescriptor): boolean =>
  compareKeys(shard.startKey, page.low) >= 0 &&
  (page.high === null || (shard.endKey !== null && compareKeys(shard.endKey, page.high) <= 0));

/** See `ShardDirectory.mergeWrites` in ports.ts. */
export async function mergeWrites(
  records: Records,
  parts: { readonly left: LocatedShard; readonly right: LocatedShard },
  merged: ShardDescriptor,
  audit: PageChangeAudit,
): Promise<BoundsChange | 'RACED'> {
  const { left, right } = parts;
  invariant(
    left.shard.endKey === right.shard.startKey && left.shard.tableId === right.shard.tableId,
    `${left.shard.shardId} and ${right.shard.shardId} are no neighbours`,
  );
  invariant(
    merged.shardId === left.shard.shardId &&
      merged.startKey === left.shard.startKey &&
      merged.endKey === right.shard.endKey,
    'the merged shard is the left one with the right bounds of the right one',
  );
  invariant(
    merged.generation > left.shard.generation && merged.generation > right.shard.generation,
    'a merge exceeds both parents (I-2)',
  );
  const headers = await readHeaders(records, left, right);
  if (headers === null) return 'RACED';
  const { shardId, startKey, replicas } = right.shard;
  return {
    writes: [
      {
        kind: 'put',
        entity: 'shard',
        id: { page: left.page, startKey: merged.startKey },
        value: merged,
        when: asRead(left),
      },
      { kind: 'delete', entity: 'shard', id: { page: right.page, startKey }, when: asRead(right) },
      { kind: 'delete', entity: 'locator', id: { shardId }, when: [{ kind: 'present' }] },
      ...replicas.map(({ nodeId, replicaId }): RecordWrite => ({
        kind: 'delete',
        entity: 'nodeReplica',
        id: { nodeId, shardId },
        when: [{ kind: 'equals', field: 'replicaId', value: replicaId }],
      })),
      ...headers.writes,
    ],
    audit: headers.changed.map((header) =>
      pageAudit(header, audit, { removed: shardId, by_merge_into: merged.shardId }),
    ),
  };
}

/** Both pages' headers: one if both shards are in it; else the border between the pages moves to the merged shard's end. */
async function readHeaders(
  source: Records,
  from: LocatedShard,
  gone: LocatedShard,
): Promise<{ writes: RecordWrite[]; changed: PageHeader[] } | null> {
  const leftHeader = await source.get('page', { page: from.page });
  if (leftHeader === null) return null;
  if (from.page === gone.page) {
    const { generation, count } = leftHeader.value;
    const next = { ...leftHeader.value, generation: generation + 1, count: count - 1 };
    return { writes: [headerPut(leftHeader, next)], changed: [next] };
  }
  const rightHeader = await source.get('page', { page: gone.page });
  if (rightHeader === null || leftHeader.value.right !== gone.page || rightHeader.value.low !== gone.shard.startKey)
    return null;
  return gone.shard.endKey === null || rightHeader.value.count === 1
    ? absorbPage(leftHeader, rightHeader)
    : moveBorder(leftHeader, rightHeader, gone.shard.endKey);
}

/** The right page held the absorbed shard alone: it goes, and its left neighbour covers its keys. */
function absorbPage(left: Stored<'page'>, right: Stored<'page'>): { writes: RecordWrite[]; changed: PageHeader[] } {
  const { page, tableId, low, high, right: beyond, generation } = right.value;
  const widened: PageHeader = { ...left.value, high, right: beyond, generation: left.value.generation + 1 };
  return {
    writes: [
      headerPut(left, widened),
      { kind: 'delete', entity: 'page', id: { page }, when: [{ kind: 'revision', is: right.revision }] },
      { kind: 'delete', entity: 'separator', id: { tableId, low }, when: [{ kind: 'present' }] },
    ],
    changed: [widened, { ...right.value, count: 0, generation: generation + 1 }],
  };
}

function moveBorder(
  left: Stored<'page'>,
  right: Stored<'page'>,
  border: NonNullable<ShardDescriptor['endKey']>,
): { writes: RecordWrite[]; changed: PageHeader[] } {
  const { page, tableId, low } = right.value;
  const widened: PageHeader = { ...left.value, high: border, generation: left.value.generation + 1 };
  const narrowed: PageHeader = {
    ...right.value,
    low: border,
    generation: right.value.generation + 1,
    count: right.value.count - 1,
  };
  return {
    writes: [
      headerPut(left, widened),
      headerPut(right, narrowed),
      { kind: 'delete', entity: 'separator', id: { tableId, low }, when: [{ kind: 'present' }] },
      { kind: 'put', entity: 'separator', value: { tableId, low: border, page }, when: ABSENT },
    ],
    changed: [widened, narrowed],
  };
}
