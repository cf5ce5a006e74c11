import type * as z from 'zod';
import {
  appendRequestSchema,
  openSessionRequestSchema,
  REPLICATION_ERROR_STATUS,
  snapshotRequestSchema,
} from '../../shared/contracts/node/replication.ts';
import type {
  AppendRequest,
  OpenSessionRequest,
  ReplicationErrorCode,
  SnapshotRequest,
} from '../../shared/contracts/node/replication.ts';
import { utf8Bytes } from '../../shared/domain/keys.ts';
import type { Json } from '../../shared/domain/records.ts';
import type { EngineTransaction, ReplicaMeta } from '../engine/types.ts';
import type { Caller } from '../ports.ts';
import type { HostContext } from './context.ts';
import type { FollowerSession, ShardReplica } from './shard-replica.ts';
import { sameBounds } from './splits.ts';
import { fromWireEntry, fromWireTime } from './wire.ts';

export interface PeerAnswer {
  status: number;
  body: Json;
}

type NodeCaller = Extract<Caller, { kind: 'node' }>;

/** Log entries that one append may push out of the kept history for each that it brings. */
const COMPACT_PER_ENTRY = 8;

interface Refusal {
  readonly code: ReplicationErrorCode;
  readonly message: string;
  readonly maxEpoch?: number;
  readonly hintSeq?: number;
}

const refuse = (refusal: Refusal): PeerAnswer => ({
  status: REPLICATION_ERROR_STATUS[refusal.code],
  body: {
    code: refusal.code,
    message: refusal.message,
    max_epoch: refusal.maxEpoch ?? null,
    hint_seq: refusal.hintSeq ?? null,
  },
});

/**
 * A follower's answers to its leader: sessions, appends, snapshots. Everything is durable before it is answered, but for chunks of a snapshot
 * before its last one: they stand for nothing without it, and end with the session.
 */
export class Follower {
  private readonly context: HostContext;
  private readonly find: (shardId: string) => ShardReplica | undefined;

  constructor(context: HostContext, find: (shardId: string) => ShardReplica | undefined) {
    this.context = context;
    this.find = find;
  }

  handle(verb: string, body: unknown, caller: NodeCaller): Promise<PeerAnswer> {
    switch (verb) {
      case 'open':
        return this.parsed(openSessionRequestSchema, body, (request) => this.open(request, caller));
      case 'append':
        return this.parsed(appendRequestSchema, body, (request) => this.append(request));
      case 'snapshot':
        return this.parsed(snapshotRequestSchema, body, (request) => this.snapshot(request));
      default:
        return Promise.resolve(refuse({ code: 'INVALID_REQUEST', message: 'unknown verb' }));
    }
  }

  private parsed<S extends z.ZodType>(
    schema: S,
    body: unknown,
    act: (request: z.infer<S>) => Promise<PeerAnswer>,
  ): Promise<PeerAnswer> {
    const request = schema.safeParse(body);
    if (request.success) return act(request.data);
    const issue = request.error.issues[0];
    const message = `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`;
    return Promise.resolve(refuse({ code: 'INVALID_REQUEST', message }));
  }

  private async open(request: OpenSessionRequest, caller: NodeCaller): Promise<PeerAnswer> {
    const { engine, commits, lease } = this.context;
    const { shard_id, replica_id, epoch, descriptor, leader } = request;
    const registration = lease.registration();
    if (registration === null) return refuse({ code: 'NOT_REGISTERED', message: 'the node has no valid registration' });
    const named = descriptor.leader;
    const isTheLeader =
      leader.node_id === caller.nodeId &&
      leader.node_epoch === caller.nodeEpoch &&
      named.node_id === leader.node_id &&
      named.node_epoch === leader.node_epoch &&
      descriptor.shard_id === shard_id &&
      descriptor.epoch === epoch;
    if (!isTheLeader) return refuse({ code: 'NOT_THE_LEADER', message: 'the caller is not the leader it names' });
    const related = request.related ?? null;
    if (this.find(shard_id) === undefined) await this.context.splits.forkOnDemand(descriptor, related);
    const replica = this.find(shard_id);
    if (replica?.replicaId !== replica_id)
      return refuse({ code: 'REPLICA_UNKNOWN', message: `no replica ${replica_id} of ${shard_id} here` });
    const unable = await this.catchUpPromise(replica, registration.storeUuid);
    if (unable !== null) return refuse(unable);
    if (epoch < replica.promisedEpoch()) return staleEpoch(replica);
    // Ends a term of this node under a lower epoch before the promise is given (I-5).
    replica.adopt(descriptor, related);
    await replica.settled();
    if (!sameBounds(replica.descriptor(), descriptor)) return boundsMismatch;
    if (replica.leadership() !== null) return refuse({ code: 'NOT_THE_LEADER', message: 'this node leads the shard' });
    const promised = await commits.submit((tx): ReplicaMeta | null => {
      const meta = tx.replica(shard_id);
      if (meta?.replicaId !== replica_id || meta.maxEpoch > epoch) return null;
      return meta.maxEpoch === epoch ? meta : tx.patchReplica(shard_id, { maxEpoch: epoch });
    });
    if (!promised.ok) return refuse({ code: 'STORAGE', message: promised.error.message });
    if (promised.value === null) return staleEpoch(replica);
    const now = lease.registration();
    if (now?.nodeEpoch !== registration.nodeEpoch)
      return refuse({ code: 'NOT_REGISTERED', message: 'the registration changed meanwhile' });
    // S1: entries are taken only from a leader that knows the range which this copy has.
    if (replica.isReshaping() || !sameBounds(replica.descriptor(), descriptor)) return boundsMismatch;
    const meta = engine.replica(shard_id) ?? promised.value;
    replica.endSession();
    replica.session = {
      sessionId: request.session_id,
      epoch,
      nodeEpoch: now.nodeEpoch,
      loading: false,
      loaded: null,
      staging: null,
    };
    replica.heard();
    return {
      status: 200,
      body: {
        node_epoch: now.nodeEpoch,
        store_uuid: now.storeUuid,
        intact: meta.intact && meta.storeUuid === now.storeUuid,
        log_end: { ...meta.last },
        commit_seq: meta.commitSeq,
        first_seq: meta.base.seq + 1,
      },
    };
  }

  /**
   * I-5: a directory that was lost or rolled back (L4) forgot what it promised. Before its copy takes part again it learns by a strong
   * read which epoch there is: else a leader of the day before could have it acknowledge, without a lease (E5), what the present one lacks.
   * Null: done, or not needed.
   */
  private async catchUpPromise(replica: ShardReplica, storeUuid: string): Promise<Refusal | null> {
    const meta = replica.meta();
    if (meta === undefined || (meta.intact && meta.storeUuid === storeUuid)) return null;
    const read = await this.context.controlPlane.getShard(replica.shardId);
    if (!read.ok)
      return {
        code: 'NOT_REGISTERED',
        message: 'the directory is an old one, and the present epoch can not be read now',
      };
    if (read.value === null) return { code: 'REPLICA_UNKNOWN', message: `the shard ${replica.shardId} is gone` };
    replica.adopt(read.value);
    await replica.settled();
    return null;
  }

  private async append(request: AppendRequest): Promise<PeerAnswer> {
    const { engine, commits } = this.context;
    const entered = this.enter(request);
    if ('status' in entered) return entered;
    const { replica, session } = entered;
    const disorder = request.entries.some(
      (entry, index) => entry.seq !== request.prev.seq + 1 + index || entry.epoch > request.epoch,
    );
    if (disorder) return refuse({ code: 'INVALID_REQUEST', message: 'entries: must follow prev without a gap' });
    const matchSeq = request.prev.seq + request.entries.length;
    // A heartbeat that changes nothing costs no fsync.
    const meta = engine.replica(request.shard_id);
    const idle =
      meta !== undefined &&
      request.entries.length === 0 &&
      meta.commitSeq >= Math.min(request.commit_seq, matchSeq) &&
      meta.maxEpoch === request.epoch &&
      engine.epochAt(meta, request.prev.seq) === request.prev.epoch;
    if (idle) return { status: 200, body: { match_seq: matchSeq } };
    const done = await commits.submit((tx) => (replica.session === session ? merge(tx, request) : sessionUnknown));
    if (!done.ok) return refuse({ code: 'STORAGE', message: done.error.message });
    if (done.value !== null) return refuse(done.value);
    // The session ended while the disk worked: the entries are durable, but no longer vouched for under its node epoch (R2).
    if (replica.session !== session) return refuse(sessionUnknown);
    replica.heard();
    return { status: 200, body: { match_seq: matchSeq } };
  }

  private async snapshot(request: SnapshotRequest): Promise<PeerAnswer> {
    const { commits, engine, lease } = this.context;
    const entered = this.enter(request);
    if ('status' in entered) return entered;
    const { replica, session } = entered;
    const outOfOrder: Refusal = { code: 'SNAPSHOT_OUT_OF_ORDER', message: 'start the snapshot again' };
    if (session.loading) return refuse(outOfOrder);
    const taken = session.loaded ?? session.staging;
    const lastTaken = taken === null ? -1 : 'chunk' in taken ? taken.chunk : taken.nextChunk - 1;
    // Its answer was lost.
    if (taken?.snapshotId === request.snapshot_id && lastTaken === request.chunk)
      return { status: 200, body: { next_chunk: request.chunk + 1 } };
    const restart = request.chunk === 0 && session.staging?.snapshotId !== request.snapshot_id;
    if (restart && session.staging !== null) {
      engine.releaseStaging(session.staging.storageId);
      session.staging = null;
    }
    const before = session.staging;
    if (!restart && (before?.snapshotId !== request.snapshot_id || before.nextChunk !== request.chunk))
      return refuse(outOfOrder);
    const storeUuid = lease.registration()?.storeUuid;
    const rows = (before?.rows ?? 0) + request.rows.length;
    const bytes =
      (before?.bytes ?? 0) +
      request.rows.reduce((sum, row) => sum + utf8Bytes(row.key) + utf8Bytes(row.value ?? ''), 0);
    session.loading = true;
    const durability = request.last ? 'FSYNCED' : 'LAZY';
    const done = await commits.submit((tx): number | Refusal => {
      const meta = tx.replica(request.shard_id);
      if (replica.session !== session || session.staging !== before || storeUuid === undefined) return sessionUnknown;
      if (meta?.replicaId !== replica.replicaId || meta.maxEpoch !== request.epoch) return sessionUnknown;
      if (before !== null && before.nextChunk !== request.chunk) return outOfOrder;
      if (meta.commitSeq > request.at.seq) return outOfOrder;
      const storageId = before?.storageId ?? tx.openStaging();
      tx.stage(
        storageId,
        request.rows.map((row) => ({ key: row.key, seq: row.seq, at: fromWireTime(row.at), value: row.value })),
        request.writes.map((write) => ({
          writeId: write.write_id,
          seq: write.seq,
          fingerprint: write.fingerprint,
          at: fromWireTime(write.at),
        })),
      );
      if (request.last) {
        const time = fromWireTime(request.at_time);
        tx.swapIn(request.shard_id, storageId, { at: request.at, time, storeUuid, rows, bytes });
      }
      return storageId;
    }, durability);
    session.loading = false;
    if (!done.ok || typeof done.value !== 'number' || replica.session !== session) {
      // What was staged is of no use any more; the leader starts again.
      if (done.ok && typeof done.value === 'number') engine.releaseStaging(done.value);
      if (replica.session === session && session.staging !== null) engine.releaseStaging(session.staging.storageId);
      session.staging = null;
      if (!done.ok) return refuse({ code: 'STORAGE', message: done.error.message });
      return refuse(typeof done.value === 'number' ? sessionUnknown : done.value);
    }
    if (request.last) {
      engine.releaseStaging(done.value);
      session.staging = null;
      session.loaded = { snapshotId: request.snapshot_id, chunk: request.chunk };
    } else {
      session.loaded = null;
      session.staging = {
        snapshotId: request.snapshot_id,
        storageId: done.value,
        nextChunk: request.chunk + 1,
        rows,
        bytes,
      };
    }
    replica.heard();
    return { status: 200, body: { next_chunk: request.chunk + 1 } };
  }

  /** Checks that the request belongs to the session that is open, and hears the leader. */
  private enter(request: {
    session_id: string;
    shard_id: string;
    epoch: number;
  }): { replica: ShardReplica; session: FollowerSession } | PeerAnswer {
    const replica = this.find(request.shard_id);
    const meta = replica?.meta();
    if (replica === undefined || meta === undefined)
      return refuse({ code: 'REPLICA_UNKNOWN', message: `no replica of ${request.shard_id} here` });
    if (request.epoch < replica.promisedEpoch()) return staleEpoch(replica);
    const { session } = replica;
    const registration = this.context.lease.registration();
    if (
      session?.sessionId !== request.session_id ||
      session.epoch !== request.epoch ||
      session.nodeEpoch !== registration?.nodeEpoch
    )
      return refuse(sessionUnknown);
    replica.heard();
    return { replica, session };
  }
}

const staleEpoch = (replica: ShardReplica): PeerAnswer =>
  refuse({ code: 'STALE_EPOCH', message: 'a higher epoch was promised', maxEpoch: replica.promisedEpoch() });

const boundsMismatch = refuse({
  code: 'BOUNDS_MISMATCH',
  message: 'the shard has another range since a split; read its descriptor',
});

const sessionUnknown: Refusal = { code: 'SESSION_UNKNOWN', message: 'no such session; open one' };

/** Merges an append into the log (R5): skips what is there, truncates what conflicts, never below the commit. Null: done. */
function merge(tx: EngineTransaction, request: AppendRequest): Refusal | null {
  const { shard_id: shardId, prev, epoch } = request;
  let meta = tx.replica(shardId);
  if (meta === undefined) return { code: 'REPLICA_UNKNOWN', message: 'the replica was destroyed' };
  if (meta.maxEpoch > epoch)
    return { code: 'STALE_EPOCH', message: 'a higher epoch was promised', maxEpoch: meta.maxEpoch };
  if (prev.seq > meta.last.seq)
    return { code: 'LOG_MISMATCH', message: 'the log ends before prev', hintSeq: meta.last.seq };
  // Entries at and below the base are committed, hence equal in every log.
  const prevEpoch = prev.seq < meta.base.seq ? prev.epoch : tx.epochAt(meta, prev.seq);
  if (prevEpoch !== prev.epoch) {
    if (prev.seq <= meta.commitSeq) return { code: 'LOG_DIVERGED', message: 'a committed entry differs' };
    const first = (prevEpoch === null ? null : tx.firstSeqOfEpoch(meta, prevEpoch)) ?? prev.seq;
    return { code: 'LOG_MISMATCH', message: 'another entry is at prev', hintSeq: Math.max(meta.commitSeq, first - 1) };
  }
  let skipped = 0;
  for (const entry of request.entries) {
    if (entry.seq > meta.last.seq) break;
    if (entry.seq > meta.base.seq && tx.epochAt(meta, entry.seq) !== entry.epoch) {
      if (entry.seq <= meta.commitSeq) return { code: 'LOG_DIVERGED', message: 'a committed entry differs' };
      meta = tx.truncate(shardId, entry.seq - 1);
      break;
    }
    skipped++;
  }
  const fresh = request.entries.slice(skipped).map(fromWireEntry);
  // Only what is known to equal the leader's log is committed here.
  const commitSeq = Math.min(request.commit_seq, prev.seq + request.entries.length);
  tx.append(shardId, fresh, commitSeq);
  if (fresh.length > 0) tx.compact(shardId, fresh.length * COMPACT_PER_ENTRY, Infinity);
  return null;
}
