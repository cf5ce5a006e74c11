import { snapshotResponseSchema } from '../../shared/contracts/node/replication.ts';
import type { SnapshotRequest } from '../../shared/contracts/node/replication.ts';
import { utf8Bytes } from '../../shared/domain/keys.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { LogPosition, ReplicaMeta, RowVersion } from '../engine/types.ts';
import type { HostContext } from './context.ts';
import { callPeer } from './peer-call.ts';
import type { PeerAddress, PeerFailure } from './peer-call.ts';
import type { LinkOwner } from './peer-link.ts';
import { toWireTime } from './wire.ts';

interface Destination {
  readonly address: PeerAddress;
  readonly sessionId: string;
  /** False once the snapshot is no longer of use. */
  readonly wanted: () => boolean;
}

interface Chunk {
  readonly content: Pick<SnapshotRequest, 'rows' | 'writes' | 'last'>;
  readonly bytes: number;
}

/** Bytes that one write id takes in a chunk, about. */
const WRITE_RECORD_BYTES = 150;

/** Rows looked at for one chunk: a page of values of the largest size would hold 250 MB, so pages are small. */
const SCAN_ROWS = 64;

/**
 * Sends the committed state to a follower that the log can't catch up, chunk by chunk. Versions are kept (pinned) while it
 * lasts, so that all chunks show one state. Answers the position from which the log continues.
 */
export async function sendSnapshot(
  context: HostContext,
  owner: LinkOwner,
  to: Destination,
): Promise<Result<LogPosition, PeerFailure>> {
  const { env, tuning, engine, peers } = context;
  const gone = (why: string) => err({ code: 'UNREACHABLE' as const, message: `snapshot given up: ${why}` });
  const start = owner.meta();
  if (start === undefined) return gone('the replica is gone');
  const seq = owner.commitSeq();
  const epoch = engine.epochAt(start, seq);
  if (epoch === null) return gone('the log moved on');
  const at = { epoch, seq };
  const atTime = engine.entries(start, seq, { entries: 1, bytes: 0 })[0]?.at ?? start.lastAt;
  const unpin = owner.pin(seq + 1);
  let deadlineMs = env.clock.monotonicMs() + tuning.snapshotMsMax;
  const snapshotId = env.random.hex(12);
  try {
    const chunks = readChunks(context, start, seq);
    for (let number = 0; ; number++) {
      const meta = owner.meta();
      if (meta?.storageId !== start.storageId || !to.wanted()) return gone('no longer wanted');
      if (env.clock.monotonicMs() > deadlineMs) return gone('it took too long');
      const chunk = chunks.next();
      if (chunk.done === true) return ok(at);
      deadlineMs += await context.snapshots.take(chunk.value.bytes);
      const send = () =>
        callPeer(
          peers,
          to.address,
          {
            verb: 'snapshot',
            timeoutMs: tuning.snapshotChunkTimeoutMs,
            body: {
              session_id: to.sessionId,
              shard_id: owner.shardId,
              epoch: owner.epoch,
              snapshot_id: snapshotId,
              chunk: number,
              at,
              at_time: toWireTime(atTime),
              ...chunk.value.content,
            },
          },
          snapshotResponseSchema,
        );
      let answer = await send();
      for (let attempt = 1; !answer.ok && answer.error.code === 'UNREACHABLE' && to.wanted(); attempt++) {
        if (attempt === tuning.snapshotChunkAttempts) break;
        // The follower takes a chunk once, however often it arrives.
        await env.timers.sleep(tuning.retryMs * 2 ** attempt);
        answer = await send();
      }
      if (!answer.ok) return answer;
    }
  } finally {
    unpin();
  }
}

function* readChunks(context: HostContext, meta: ReplicaMeta, atSeq: number): Generator<Chunk> {
  const { engine, tuning } = context;
  const { catchUpItemsMax: itemsMax, catchUpBytesMax: bytesMax } = tuning;
  let from: string = meta.descriptor.start_key;
  let rows: RowVersion[] = [];
  let bytes = 0;
  const chunk = (): Chunk => {
    const sent = rows.map((row) => ({ key: row.key, seq: row.seq, at: toWireTime(row.at), value: row.value }));
    const full: Chunk = { content: { rows: sent, writes: [], last: false }, bytes };
    rows = [];
    bytes = 0;
    return full;
  };
  for (;;) {
    const page = engine.scan(meta, { from, to: null }, atSeq, SCAN_ROWS);
    for (const row of page) {
      if (row.value === null) continue;
      const size = utf8Bytes(row.key) + utf8Bytes(row.value);
      if (rows.length > 0 && bytes + size > bytesMax) yield chunk();
      rows.push(row);
      bytes += size;
      if (rows.length === itemsMax) yield chunk();
    }
    const last = page.at(-1);
    if (page.length < SCAN_ROWS || last === undefined) break;
    // The smallest key above `last`, in byte order.
    from = `${last.key}\u0000`;
  }
  yield chunk();
  let afterSeq = 0;
  for (;;) {
    // Where several have the last one's sequence (S2) a few more come: a chunk may hold 1,000.
    const writes = engine.writes(meta, afterSeq, atSeq, itemsMax);
    const done = writes.length < itemsMax;
    const sent = writes.map((write) => ({
      write_id: write.writeId,
      seq: write.seq,
      fingerprint: write.fingerprint,
      at: toWireTime(write.at),
    }));
    yield { content: { rows: [], writes: sent, last: done }, bytes: sent.length * WRITE_RECORD_BYTES };
    if (done) return;
    afterSeq = writes.at(-1)?.seq ?? atSeq;
  }
}
