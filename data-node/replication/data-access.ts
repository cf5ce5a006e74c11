import { createHash } from 'node:crypto';
import { decodeKey } from '../../shared/domain/keys.ts';
import { encodedKey } from '../../shared/domain/ids.ts';
import type { Json } from '../../shared/domain/records.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { GetRowResponse, ScanRequest, ScanResponse, WriteResponse } from '../../shared/contracts/data/rows.ts';
import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import { formatTimestamp } from '../engine/hlc.ts';
import { asStorageError } from '../engine/storage-error.ts';
import type { ReplicaMeta, RowVersion } from '../engine/types.ts';
import type { Caller } from '../ports.ts';
import type { HostContext } from './context.ts';
import { changesOf, keyInShard, parseDataRequest, refusalAnswer } from './data-requests.ts';
import type { DataRequest, Refusal } from './data-requests.ts';
import type { Leadership } from './leadership.ts';
import { routeOf } from './routes.ts';
import type { ShardReplica } from './shard-replica.ts';

type ClientCaller = Extract<Caller, { kind: 'client' }>;
type WriteRequest = Extract<DataRequest, { verb: 'put' | 'delete' | 'batch' }>;

/** Content of one scan answer in bytes, beyond the first row: 4 MiB. */
const SCAN_BYTES_MAX = 4 * 1024 * 1024;
/** Keys looked at for one scan answer, deleted ones included; then the page ends early with `next_key`. */
const SCAN_KEYS_MAX = 5_000;
/** Keys read in one step of a scan: few, as each may hold a value of the largest size. */
const SCAN_STEP = 64;
/** When a retry makes sense, ms: after a new leader has taken up its term; after some writes in flight have ended. */
const RETRY_SOON_MS = 50;
const RETRY_AFTER_LEASE_MS = 500;
const THROTTLE_RETRY_MS = 100;
/** A data token for every table. */
const ALL_TABLES = '*';

const NO_LEASE: Refusal = {
  code: 'NO_LEASE',
  message: 'the node has no valid lease, and not every follower confirms that it leads',
  retryAfterMs: RETRY_AFTER_LEASE_MS,
};

interface Serving {
  readonly replica: ShardReplica;
  readonly leadership: Leadership;
  readonly descriptor: WireDescriptor;
  readonly meta: ReplicaMeta;
}

/** The client protocol: rows of the shards that this node leads. */
export class DataAccess {
  private readonly context: HostContext;
  private readonly find: (shardId: string) => ShardReplica | undefined;
  private writesInFlight = 0;
  private bytesInFlight = 0;

  constructor(context: HostContext, find: (shardId: string) => ShardReplica | undefined) {
    this.context = context;
    this.find = find;
  }

  async handle(verb: string, body: unknown, caller: ClientCaller): Promise<{ status: number; body: Json }> {
    const fromMs = this.context.env.clock.monotonicMs();
    const parsed = parseDataRequest(verb, body);
    if (!parsed.ok) return refusalAnswer(parsed.error);
    const denied = denies(caller, parsed.value);
    if (denied !== null) return refusalAnswer(denied);
    const answer = await this.answer(parsed.value, fromMs);
    this.context.statistics.answered(this.context.env.clock.monotonicMs() - fromMs);
    return answer.ok ? { status: 200, body: answer.value } : refusalAnswer(answer.error);
  }

  private async answer(data: DataRequest, fromMs: number): Promise<Result<Json, Refusal>> {
    try {
      switch (data.verb) {
        case 'get':
          return await this.read(data, fromMs, (serving) => this.get(serving, data.request.key));
        case 'scan':
          return await this.read(data, fromMs, (serving) => this.scan(serving, data.request));
        case 'put':
        case 'delete':
        case 'batch':
          return await this.write(data, fromMs);
      }
    } catch (error) {
      const storage = asStorageError(error);
      if (storage === null) throw error;
      return err({ code: 'STORAGE', message: storage.message });
    }
  }

  /**
   * Reads committed state, then checks that the node may still answer (R5). Without a lease the followers are asked first (E5): what
   * is read after their answers holds every write that was acknowledged before the request came.
   */
  private async read<T extends Json>(
    { request }: DataRequest,
    fromMs: number,
    look: (serving: Serving) => Result<T, Refusal>,
  ): Promise<Result<T, Refusal>> {
    const first = this.serving(request);
    if (!first.ok) return first;
    const { leadership } = first.value;
    const confirmedMs = leadership.entitled() ? null : await leadership.confirmed();
    if (confirmedMs === null && !leadership.entitled()) return err(NO_LEASE);
    // The shard may have changed while the followers were asked; its leader must still be the one that they confirmed.
    const serving = confirmedMs === null ? first : this.serving(request);
    if (!serving.ok) return serving;
    if (serving.value.leadership !== leadership) return err(NO_LEASE);
    const result = look(serving.value);
    serving.value.replica.load.busy(this.context.env.clock.monotonicMs() - fromMs);
    // The moment that counts is the check's: a process frozen right after it answers late, but what was true then.
    const checkedMs = confirmedMs ?? this.context.env.clock.monotonicMs();
    const barred = this.barred(serving.value);
    if (barred !== null) return err(barred);
    if (confirmedMs === null && !leadership.entitled()) return err(NO_LEASE);
    if (result.ok) this.observe('READ', serving.value, fromMs, checkedMs);
    return result;
  }

  private get({ replica, leadership, descriptor, meta }: Serving, key: string): Result<GetRowResponse, Refusal> {
    const encoded = keyInShard(descriptor, key, 'key');
    if (!encoded.ok) return this.withRoute(encoded.error, descriptor);
    replica.load.request('READ', encoded.value);
    const row = this.context.engine.row(meta, encoded.value, leadership.commitSeq());
    const { epoch } = leadership;
    if (row === undefined || row.value === null) return ok({ found: false, value: null, timestamp: null, epoch });
    return ok({ found: true, value: valueOf(row.value), timestamp: formatTimestamp(row.at), epoch });
  }

  private scan(
    { replica, leadership, descriptor, meta }: Serving,
    request: ScanRequest,
  ): Result<ScanResponse, Refusal> {
    let from: string = descriptor.start_key;
    if (request.start_key !== null && request.start_key !== '') {
      const start = keyInShard(descriptor, request.start_key, 'start_key');
      if (!start.ok) return this.withRoute(start.error, descriptor);
      from = start.value;
    }
    let to = descriptor.end_key;
    if (request.end_key !== null) {
      const end = keyInShard({ ...descriptor, start_key: '', end_key: null }, request.end_key, 'end_key');
      if (!end.ok) return end;
      if (to === null || Buffer.compare(Buffer.from(end.value), Buffer.from(to)) < 0) to = end.value;
    }
    replica.load.request('READ', from);
    const found = this.collect(meta, { from, to }, leadership.commitSeq(), request.limit);
    const shown = (key: string): string => decodeKey(descriptor.key_type, encodedKey(key));
    return ok({
      rows: found.rows.map((row) => ({
        key: shown(row.key),
        value: valueOf(row.value ?? 'null'),
        timestamp: formatTimestamp(row.at),
      })),
      next_key: found.nextKey === null ? null : shown(found.nextKey),
      shard_end_key: descriptor.end_key === null ? null : shown(descriptor.end_key),
      epoch: leadership.epoch,
    });
  }

  /** Live rows of a range, up to `limit` and the bounds of one answer. `nextKey` is an existing key, live or deleted. */
  private collect(
    meta: ReplicaMeta,
    range: { from: string; to: string | null },
    atSeq: number,
    limit: number,
  ): { rows: RowVersion[]; nextKey: string | null } {
    const rows: RowVersion[] = [];
    let from = range.from;
    let bytes = 0;
    let looked = 0;
    for (;;) {
      const page = this.context.engine.scan(meta, { from, to: range.to }, atSeq, SCAN_STEP);
      for (const row of page) {
        const size = row.value === null ? 0 : row.key.length + row.value.length;
        const full = rows.length === limit || (rows.length > 0 && bytes + size > SCAN_BYTES_MAX);
        if ((full && row.value !== null) || looked === SCAN_KEYS_MAX) return { rows, nextKey: row.key };
        looked++;
        if (row.value === null) continue;
        rows.push(row);
        bytes += size;
      }
      const last = page.at(-1);
      if (last === undefined || page.length < SCAN_STEP) return { rows, nextKey: null };
      // The smallest key above the last one, in byte order.
      from = `${last.key}\u0000`;
    }
  }

  private async write(data: WriteRequest, fromMs: number): Promise<Result<WriteResponse, Refusal>> {
    const serving = this.serving(data.request);
    if (!serving.ok) return serving;
    const { leadership, descriptor } = serving.value;
    const changes = changesOf(descriptor, data);
    if (!changes.ok) return this.withRoute(changes.error, descriptor);
    const content = JSON.stringify(changes.value.map(({ key, value }) => [key, value]));
    const { replica } = serving.value;
    replica.load.request('WRITE', changes.value[0]?.key ?? descriptor.start_key);
    const { tuning } = this.context;
    const bytes = content.length;
    if (
      this.writesInFlight >= tuning.writesInFlightMax ||
      (this.writesInFlight > 0 && this.bytesInFlight + bytes > tuning.writeBytesInFlightMax)
    )
      return err({ code: 'THROTTLED', message: 'too many writes in flight', retryAfterMs: THROTTLE_RETRY_MS });
    this.writesInFlight++;
    this.bytesInFlight += bytes;
    replica.load.busy(this.context.env.clock.monotonicMs() - fromMs);
    try {
      const outcome = await leadership.write({
        writeId: data.request.write_id,
        fingerprint: createHash('sha256').update(content).digest('hex'),
        changes: changes.value,
      });
      switch (outcome.kind) {
        case 'ACKNOWLEDGED':
          this.observe('WRITE', serving.value, fromMs, outcome.checkedMs);
          return ok({ status: 'success', timestamp: formatTimestamp(outcome.at), epoch: leadership.epoch });
        case 'UNKNOWN':
          return err({ code: 'UNKNOWN_OUTCOME', message: outcome.message });
        case 'REFUSED':
          return this.withRoute({ ...outcome, retryAfterMs: RETRY_SOON_MS }, descriptor);
      }
    } finally {
      this.writesInFlight--;
      this.bytesInFlight -= bytes;
    }
  }

  /** The leadership that may answer the request, or why this node does not. */
  private serving(request: { table: string; shard_id: string; epoch: number }): Result<Serving, Refusal> {
    const replica = this.find(request.shard_id);
    const meta = replica?.meta();
    if (replica === undefined || meta === undefined)
      return err({ code: 'SHARD_UNKNOWN', message: 'the node holds no replica of this shard' });
    const descriptor = replica.descriptor();
    if (descriptor.table !== request.table || descriptor.state.kind === 'DELETING')
      return err({ code: 'SHARD_UNKNOWN', message: 'the table has no such shard' });
    if (request.epoch > descriptor.epoch) {
      // The client knows more: the node reads the descriptor itself, and may find that it leads (R6).
      this.context.refresh(request.shard_id);
      return err({ code: 'NOT_LEADER', message: 'a newer epoch is being looked up', retryAfterMs: RETRY_SOON_MS });
    }
    const route = routeOf(descriptor);
    if (request.epoch < descriptor.epoch)
      return err({ code: 'STALE_EPOCH', message: `the shard's epoch is ${descriptor.epoch}`, route });
    const leadership = replica.leadership();
    if (leadership === null) return err({ code: 'NOT_LEADER', message: 'another node leads the shard', route });
    const serving = { replica, leadership, descriptor, meta };
    const barred = this.barred(serving);
    return barred === null ? ok(serving) : err(barred);
  }

  /** Why the node may not answer as leader at this moment; null if it may. */
  private barred({ leadership, descriptor }: Serving): Refusal | null {
    const route = routeOf(descriptor);
    switch (leadership.state()) {
      case 'ESTABLISHING':
        return { code: 'NOT_LEADER', message: 'the leader is taking over', route, retryAfterMs: RETRY_SOON_MS };
      case 'ENDED':
        return { code: 'NOT_LEADER', message: 'the leadership has ended', route: null, retryAfterMs: RETRY_SOON_MS };
      case 'SERVING':
      case 'STEPPING_DOWN':
        return leadership.stands() ? null : NO_LEASE;
    }
  }

  private withRoute(refusal: Refusal, descriptor: WireDescriptor): { ok: false; error: Refusal } {
    return err(refusal.code === 'INVALID_REQUEST' ? refusal : { ...refusal, route: routeOf(descriptor) });
  }

  private observe(kind: 'READ' | 'WRITE', { replica, leadership }: Serving, fromMs: number, toMs: number): void {
    const { observer } = this.context;
    const { shardId, replicaId } = replica;
    observer.onServe?.({ kind, shardId, replicaId, epoch: leadership.epoch, fromMs, toMs });
  }
}

const valueOf = (stored: string): GetRowResponse['value'] => JSON.parse(stored) as GetRowResponse['value'];

/** Whether the caller's token covers the request. */
function denies(caller: ClientCaller, { verb, request }: DataRequest): Refusal | null {
  if (!caller.tables.includes(request.table) && !caller.tables.includes(ALL_TABLES))
    return { code: 'FORBIDDEN', message: `the token does not cover table ${request.table}` };
  if (verb !== 'get' && verb !== 'scan' && caller.access !== 'read-write')
    return { code: 'FORBIDDEN', message: 'the token allows reading only' };
  return null;
}
