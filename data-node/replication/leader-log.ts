import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import type { HybridTimestamp } from '../engine/hlc.ts';
import { nextTimestamp } from '../engine/hlc.ts';
import { covers, rangeOf } from '../engine/key-range.ts';
import type { EngineTransaction, ReplicaMeta } from '../engine/types.ts';
import type { ClientWrite } from './write-waiters.ts';

/** What a leader does to its own log. Both run inside one transaction and check there what they rely on. */

/** Committed entries that one append may push out of the kept history, so that compaction keeps pace with writing. */
const COMPACT_ENTRIES_PER_WRITE = 8;

/** Whether a replica's durable record lets it take up `epoch`: its promise (I-5), its receipt (E2), its log, its directory (L4). */
export function mayLead(meta: ReplicaMeta, epoch: number): boolean {
  const receiptBars = meta.receipt !== null && meta.receipt.epoch >= epoch;
  return meta.intact && !receiptBars && meta.maxEpoch <= epoch && meta.last.epoch < epoch;
}

/** Promises the descriptor's epoch and appends the no-op (R5); null if the replica may not lead under it. */
export function takeUpEpoch(
  tx: EngineTransaction,
  replicaId: string,
  descriptor: WireDescriptor,
  wallMs: number,
): ReplicaMeta | null {
  const { shard_id: shardId, epoch } = descriptor;
  const meta = tx.replica(shardId);
  if (meta?.replicaId !== replicaId || !mayLead(meta, epoch)) return null;
  const isNewer = meta.descriptor.generation < descriptor.generation;
  tx.patchReplica(shardId, { maxEpoch: epoch, ...(isNewer ? { descriptor } : {}) });
  const at = nextTimestamp(meta.lastAt, wallMs);
  const noop = { epoch, seq: meta.last.seq + 1, writeId: null, fingerprint: '', changes: [], at };
  return tx.append(shardId, [noop], meta.commitSeq);
}

export interface LeaderView {
  readonly replicaId: string;
  readonly descriptor: WireDescriptor;
  /** Members of the ack set, the leader included. */
  readonly members: number;
  readonly commitSeq: number;
  /** Entries from here on are held back from compaction. */
  readonly keepFromSeq: number;
  readonly wallMs: number;
}

export interface AppendRefusal {
  readonly code: 'NOT_LEADER' | 'WRITE_ID_REUSED' | 'NOT_ENOUGH_REPLICAS' | 'KEY_OUT_OF_RANGE';
  readonly message: string;
}

export const notLeading: AppendRefusal = { code: 'NOT_LEADER', message: 'the node does not lead the shard' };

/** Appends a client's write, or finds it in the log (R6). */
export function appendWrite(
  tx: EngineTransaction,
  write: ClientWrite,
  leader: LeaderView,
): { readonly seq: number; readonly at: HybridTimestamp } | AppendRefusal {
  const { shard_id: shardId, epoch, min_in_sync: minInSync } = leader.descriptor;
  const meta = tx.replica(shardId);
  if (meta?.replicaId !== leader.replicaId || meta.maxEpoch !== epoch) return notLeading;
  // A split may have become durable since the request was checked, even in this very transaction (I-1, S1).
  const range = rangeOf(meta);
  if (!write.changes.every(({ key }) => covers(range, key)))
    return { code: 'KEY_OUT_OF_RANGE', message: 'the shard was split and no longer holds this key' };
  const known = tx.write(meta, write.writeId);
  if (known !== undefined) {
    if (known.fingerprint === write.fingerprint) return { seq: known.seq, at: known.at };
    return { code: 'WRITE_ID_REUSED', message: 'the write id was used for another write' };
  }
  if (leader.members < minInSync)
    return { code: 'NOT_ENOUGH_REPLICAS', message: `${leader.members} replicas in sync, ${minInSync} are needed` };
  const at = nextTimestamp(meta.lastAt, leader.wallMs);
  const { writeId, fingerprint, changes } = write;
  const seq = meta.last.seq + 1;
  tx.append(shardId, [{ epoch, seq, writeId, fingerprint, changes, at }], leader.commitSeq);
  tx.compact(shardId, COMPACT_ENTRIES_PER_WRITE, leader.keepFromSeq);
  return { seq, at };
}
