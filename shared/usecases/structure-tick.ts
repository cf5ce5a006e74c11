import { carriedSchema, shardLoadsSchema } from '../contracts/node/shard-loads.ts';
import type { SeenSince } from '../contracts/node/shard-loads.ts';
import { encodedKey, shardId as toShardId } from '../domain/ids.ts';
import type { ShardId } from '../domain/ids.ts';
import { decideMerge, DEFAULT_MERGE_OPTIONS } from '../domain/merge-candidates.ts';
import type { MergeSide } from '../domain/merge-candidates.ts';
import type { Json } from '../domain/records.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import { chooseSplitReason, DEFAULT_SPLIT_OPTIONS } from '../domain/split-reasons.ts';
import type { SplitDecision } from '../domain/split-reasons.ts';
import { LIVENESS_BUCKETS } from '../ports.ts';
import type { Deps, Principal } from '../ports.ts';
import { asJson, noteRefusal } from './decisions.ts';
import { startMerge } from './merge-shards.ts';
import { startSplit } from './split-shard.ts';
import { structureSettings } from './structure-config.ts';
import type { StructureSettings } from './structure-config.ts';

/**
 * The structure tick: splits shards that are too large or too busy and merges cold neighbours, by what their leaders tell on the slower
 * beat. Since when a shard has been busy or cold is remembered in the tick's own slot, from beat to beat.
 */

const SLOT = 'structure-check';
/** The beat of statistics. */
const EVERY_MS = 10_000;
/** Without news of a shard for so long its time begins anew: three beats. */
const NEWS_MS_MAX = 30_000;
/** Shards remembered, the longest first: some 60 bytes each, far below an item's 400 KB. */
const REMEMBERED_MAX = 1_000;
/** Open operations looked at to know how many splits and merges are under way. */
const OPEN_LOOKED_AT_MAX = 500;
const STATS_PER_BUCKET_MAX = 1_000;

interface Told {
  readonly shardId: ShardId;
  readonly bytes: number;
  readonly requestsPerSecond: number;
  readonly cpuShare: number;
  readonly loadSplit: { readonly key: string; readonly left_share: number } | undefined;
}

export async function changeStructure(deps: Deps, by: Principal): Promise<void> {
  const settings = await structureSettings(deps);
  if (settings.split === 'off' && settings.merge === 'off') return;
  const slot = await deps.records.get('operationSlot', { slot: SLOT });
  const nowMs = deps.clock.wallMs();
  if ((slot?.value.notBeforeMs ?? 0) > nowMs) return;
  const detector = await deps.records.get('detector', {});
  if (detector !== null && detector.value.brake !== null) return;
  const told = await whatLeadersTell(deps);
  const carried = carriedSchema.safeParse(slot?.value.carried);
  const before = carried.success ? carried.data : { busy: {}, cold: {} };
  const busy = remember(before.busy, told.filter(isBusy), nowMs);
  const cold = remember(before.cold, told.filter(isCold), nowMs);
  const value = { slot: SLOT, operationId: null, notBeforeMs: nowMs + EVERY_MS, carried: { busy, cold } };
  const taken = await deps.records.observe({
    kind: 'put',
    entity: 'operationSlot',
    value,
    when: [slot === null ? { kind: 'absent' } : { kind: 'revision', is: slot.revision }],
  });
  // Another tick was quicker: it does the work.
  if (!taken.ok) return;
  const open = await underWay(deps);
  let splits = settings.splitsMax - open.splits;
  for (const one of told) {
    if (splits <= 0) break;
    if (await splitIfDue(deps, by, settings, one, busy)) splits--;
  }
  let merges = settings.mergesMax - open.merges;
  const byId = new Map(told.map((one) => [one.shardId as string, one]));
  for (const one of told) {
    if (merges <= 0) break;
    if (await mergeIfDue(deps, by, settings, one, byId, cold)) merges--;
  }
}

const isBusy = ({ requestsPerSecond, cpuShare }: Told): boolean =>
  requestsPerSecond > DEFAULT_SPLIT_OPTIONS.requestsPerSecondMax || cpuShare > DEFAULT_SPLIT_OPTIONS.cpuShareMax;

const isCold = ({ bytes, requestsPerSecond, cpuShare }: Told): boolean =>
  bytes <= DEFAULT_MERGE_OPTIONS.bytesEachMax &&
  requestsPerSecond <= DEFAULT_MERGE_OPTIONS.shareOfSplitMax * DEFAULT_MERGE_OPTIONS.splitRequestsPerSecond &&
  cpuShare <= DEFAULT_MERGE_OPTIONS.shareOfSplitMax * DEFAULT_MERGE_OPTIONS.splitCpuShare;

/** Since when each has been so without a gap; who was not told of for long, or is not so any more, is forgotten. */
function remember(before: SeenSince, now: readonly Told[], nowMs: number): SeenSince {
  const entries = now.map(({ shardId }) => {
    const known = before[shardId];
    const goesOn = known !== undefined && nowMs - known.seen_ms <= NEWS_MS_MAX;
    return [shardId, { since_ms: goesOn ? known.since_ms : nowMs, seen_ms: nowMs }] as const;
  });
  return Object.fromEntries(entries.toSorted(([, a], [, b]) => a.since_ms - b.since_ms).slice(0, REMEMBERED_MAX));
}

async function whatLeadersTell(deps: Deps): Promise<readonly Told[]> {
  const nowMs = deps.clock.wallMs();
  const told: Told[] = [];
  for (let bucket = 0; bucket < LIVENESS_BUCKETS; bucket++) {
    const page = await deps.records.query('nodeStats', {
      partition: { bucket },
      order: 'forward',
      limit: STATS_PER_BUCKET_MAX,
    });
    for (const { value } of page.items) {
      const stats = shardLoadsSchema.safeParse(value.stats);
      if (!stats.success || nowMs - value.atMs > NEWS_MS_MAX) continue;
      for (const one of stats.data.busiest.filter(({ role, serving }) => role === 'LEADER' && serving))
        told.push({
          shardId: toShardId(one.shard_id),
          bytes: one.bytes,
          requestsPerSecond: one.reads_per_second + one.writes_per_second,
          cpuShare: one.busy_ms_per_second / 1000,
          loadSplit: one.load_split,
        });
    }
  }
  return told;
}

async function underWay(deps: Deps): Promise<{ splits: number; merges: number }> {
  const page = await deps.records.query('openOperation', {
    partition: {},
    order: 'forward',
    limit: OPEN_LOOKED_AT_MAX,
  });
  const count = { splits: 0, merges: 0 };
  for (const { value } of page.items) {
    const operation = await deps.records.get('operation', value);
    if (operation?.value.type === 'split-shard') count.splits++;
    if (operation?.value.type === 'merge-shards') count.merges++;
  }
  return count;
}

async function splitIfDue(
  deps: Deps,
  by: Principal,
  settings: StructureSettings,
  one: Told,
  busy: SeenSince,
): Promise<boolean> {
  const nowMs = deps.clock.wallMs();
  // Cheap first: most shards are neither large nor busy.
  if (one.bytes <= settings.splitBytesLeast && busy[one.shardId] === undefined) return false;
  const located = await deps.directory.locate(one.shardId);
  if (located === null) return false;
  const { shard } = located;
  const own = settings.of(shard.table);
  if (own.split === 'off') return false;
  const split = one.loadSplit;
  const decided = chooseSplitReason(
    shard,
    {
      bytes: one.bytes,
      requestsPerSecondMin: one.requestsPerSecond,
      cpuShareMin: one.cpuShare,
      sustainedMs: nowMs - (busy[one.shardId]?.since_ms ?? nowMs),
      // The leader tells the key that comes closest to halving its sample, and the share left of it.
      samples:
        split === undefined
          ? []
          : [
              { key: shard.startKey, weight: split.left_share },
              { key: encodedKey(split.key), weight: 1 - split.left_share },
            ],
      sinceStructuralChangeMs: nowMs - shard.boundsSinceMs,
    },
    { ...DEFAULT_SPLIT_OPTIONS, bytesMax: own.splitBytes, samplesMin: 2 },
  );
  if (decided.decision === 'KEEP') return false;
  const started = await startSplit(deps, by, shard, decided.splitKey);
  if (started.ok) await journal(deps, by, shard, `SPLIT_${decided.reason}`, asJson(one), decided);
  return started.ok;
}

async function mergeIfDue(
  deps: Deps,
  by: Principal,
  settings: StructureSettings,
  one: Told,
  told: ReadonlyMap<string, Told>,
  cold: SeenSince,
): Promise<boolean> {
  const nowMs = deps.clock.wallMs();
  const coldMs = (id: string): number => nowMs - (cold[id]?.since_ms ?? nowMs);
  if (coldMs(one.shardId) < DEFAULT_MERGE_OPTIONS.sustainedMsMin) return false;
  const left = (await deps.directory.locate(one.shardId))?.shard;
  if (left === undefined || left.endKey === null || settings.of(left.table).merge === 'off') return false;
  const right = (await deps.directory.lookup(left.tableId, left.endKey))?.shard;
  const other = right === undefined ? undefined : told.get(right.shardId);
  if (right === undefined || other === undefined) return false;
  const sideOf = (shard: ShardDescriptor, { bytes, requestsPerSecond, cpuShare }: Told): MergeSide => ({
    shard,
    activity: {
      bytes,
      requestsPerSecondMax: requestsPerSecond,
      cpuShareMax: cpuShare,
      sustainedMs: coldMs(shard.shardId),
      sinceStructuralChangeMs: nowMs - Math.max(shard.boundsSinceMs, shard.createdAtMs),
    },
  });
  const decided = decideMerge(sideOf(left, one), sideOf(right, other), {
    ...DEFAULT_MERGE_OPTIONS,
    splitBytes: settings.of(left.table).splitBytes,
  });
  if (decided.decision === 'KEEP') return false;
  const started = await startMerge(deps, by, left, right);
  if (started.ok) await journal(deps, by, left, 'MERGE_COLD', asJson({ left: one, right: other }), decided);
  return started.ok;
}

/** What was decided, and from what: `GET /decisions`. */
const journal = (
  deps: Deps,
  by: Principal,
  shard: ShardDescriptor,
  code: string,
  inputs: Json,
  outcome: SplitDecision | ReturnType<typeof decideMerge>,
): Promise<void> =>
  noteRefusal(deps, by, {
    entity: `shard:${shard.shardId}`,
    kind: 'structure',
    code,
    inputs,
    rejected: [],
    outcome: asJson(outcome),
  });
