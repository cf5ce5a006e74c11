import { crc32 } from 'node:zlib';
import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import { wireDescriptorSchema } from '../../shared/contracts/node/descriptor.ts';
import { invariant } from '../../shared/domain/result.ts';
import { StorageError } from './storage-error.ts';
import type { InheritedWrites, ReplicaMeta, RowSegment } from './types.ts';

type SqlRow = Record<string, SQLOutputValue>;

export function integer(row: SqlRow, column: string): number {
  const value = row[column];
  invariant(typeof value === 'number', `column ${column} holds no integer`);
  return value;
}

export function text(row: SqlRow, column: string): string {
  const value = row[column];
  invariant(typeof value === 'string', `column ${column} holds no text`);
  return value;
}

export const textOrNull = (row: SqlRow, column: string): string | null =>
  row[column] === null || row[column] === undefined ? null : text(row, column);

/** Columns of a record, in the order of its checksum; new ones are added at the end. */
export const REPLICA_COLUMNS = [
  'shard_id',
  'replica_id',
  'storage_id',
  'store_uuid',
  'descriptor',
  'max_epoch',
  'commit_seq',
  'receipt_epoch',
  'receipt_generation',
  'intact',
  'base_epoch',
  'base_seq',
  'last_epoch',
  'last_seq',
  'last_wall_ms',
  'last_counter',
  'live_rows',
  'live_bytes',
  'segments',
  'inherited_writes',
  'first_fork_seq',
] as const;

function toColumns(meta: ReplicaMeta): (string | number | null)[] {
  return [
    meta.shardId,
    meta.replicaId,
    meta.storageId,
    meta.storeUuid,
    JSON.stringify(meta.descriptor),
    meta.maxEpoch,
    meta.commitSeq,
    meta.receipt?.epoch ?? null,
    meta.receipt?.generation ?? null,
    meta.intact ? 1 : 0,
    meta.base.epoch,
    meta.base.seq,
    meta.last.epoch,
    meta.last.seq,
    meta.lastAt.wallMs,
    meta.lastAt.counter,
    meta.rows,
    meta.bytes,
    JSON.stringify(meta.segments),
    JSON.stringify(meta.inheritedWrites),
    meta.firstForkSeq,
  ];
}

const checksumOf = (columns: readonly unknown[]): number => crc32(JSON.stringify(columns));

function fromRow(row: SqlRow): ReplicaMeta {
  const shardId = text(row, 'shard_id');
  if (checksumOf(REPLICA_COLUMNS.map((column) => row[column])) !== integer(row, 'checksum'))
    throw new StorageError('CORRUPT', `the record of shard ${shardId} fails its checksum`);
  const receiptEpoch = row['receipt_epoch'];
  return {
    shardId,
    replicaId: text(row, 'replica_id'),
    storageId: integer(row, 'storage_id'),
    storeUuid: text(row, 'store_uuid'),
    descriptor: wireDescriptorSchema.parse(JSON.parse(text(row, 'descriptor'))),
    maxEpoch: integer(row, 'max_epoch'),
    commitSeq: integer(row, 'commit_seq'),
    receipt:
      receiptEpoch === null
        ? null
        : { epoch: integer(row, 'receipt_epoch'), generation: integer(row, 'receipt_generation') },
    intact: integer(row, 'intact') === 1,
    base: { epoch: integer(row, 'base_epoch'), seq: integer(row, 'base_seq') },
    last: { epoch: integer(row, 'last_epoch'), seq: integer(row, 'last_seq') },
    lastAt: { wallMs: integer(row, 'last_wall_ms'), counter: integer(row, 'last_counter') },
    rows: integer(row, 'live_rows'),
    bytes: integer(row, 'live_bytes'),
    segments: JSON.parse(text(row, 'segments')) as RowSegment[],
    inheritedWrites: JSON.parse(text(row, 'inherited_writes')) as InheritedWrites[],
    firstForkSeq: row['first_fork_seq'] === null ? null : integer(row, 'first_fork_seq'),
  };
}

/** The replicas' durable records, cached: reads cost nothing, a transaction that fails puts the cache back. */
export class ReplicaTable {
  private readonly cache = new Map<string, ReplicaMeta>();
  private readonly undo: { shardId: string; before: ReplicaMeta | undefined }[] = [];
  private readonly upsert: StatementSync;
  private readonly remove: StatementSync;

  constructor(db: DatabaseSync) {
    const columns = [...REPLICA_COLUMNS, 'checksum'];
    const changed = columns.filter((column) => column !== 'shard_id').map((column) => `${column} = excluded.${column}`);
    // Each write changes its shard's record: where it stands, its index stays as it is.
    this.upsert = db.prepare(
      `INSERT INTO replicas (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})
        ON CONFLICT (shard_id) DO UPDATE SET ${changed.join(', ')}`,
    );
    this.remove = db.prepare('DELETE FROM replicas WHERE shard_id = ?');
    for (const row of db.prepare('SELECT * FROM replicas').all()) {
      const meta = fromRow(row);
      this.cache.set(meta.shardId, meta);
    }
  }

  all(): readonly ReplicaMeta[] {
    return [...this.cache.values()];
  }

  get(shardId: string): ReplicaMeta | undefined {
    return this.cache.get(shardId);
  }

  need(shardId: string): ReplicaMeta {
    const meta = this.cache.get(shardId);
    invariant(meta !== undefined, `no replica of ${shardId}`);
    return meta;
  }

  put(meta: ReplicaMeta): ReplicaMeta {
    const columns = toColumns(meta);
    this.upsert.run(...columns, checksumOf(columns));
    this.remember(meta.shardId);
    this.cache.set(meta.shardId, meta);
    return meta;
  }

  delete(shardId: string): void {
    this.remove.run(shardId);
    this.remember(shardId);
    this.cache.delete(shardId);
  }

  committed(): void {
    this.undo.length = 0;
  }

  rolledBack(): void {
    for (const { shardId, before } of this.undo.reverse()) {
      if (before === undefined) this.cache.delete(shardId);
      else this.cache.set(shardId, before);
    }
    this.undo.length = 0;
  }

  private remember(shardId: string): void {
    this.undo.push({ shardId, before: this.cache.get(shardId) });
  }
}
