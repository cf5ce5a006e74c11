import { hasEnded } from '../shared/domain/operation.ts';
import type { OperationId, ShardId } from '../shared/domain/ids.ts';
import type { Json, OperationPart } from '../shared/domain/records.ts';
import { mapBounded } from '../shared/domain/map-bounded.ts';
import { partJson, partOf } from '../shared/domain/waves/parts.ts';
import type { WavePart } from '../shared/domain/waves/parts.ts';
import type { RunningPart } from '../shared/domain/waves/state.ts';
import type { Deps, UnauditedWrite } from '../shared/ports.ts';

/** Parts of an operation over many shards, as records: written, read by number, and looked at while they run. */

/** Writes of one transaction. */
const WRITES_MAX = 100;
const TRANSACTIONS_AT_ONCE = 8;
/** A leader transfer takes a second; the reconciler finishes one that takes longer. */
const TRANSFER_WAIT_MS = 60_000;

/** Records new parts, numbered from `first` on. Repeating it changes nothing but the time. */
export async function writeParts(
  deps: Deps,
  operationId: OperationId,
  first: number,
  parts: readonly WavePart[],
): Promise<void> {
  const nowMs = deps.clock.wallMs();
  const writes = parts.map((part, index): UnauditedWrite => ({
    kind: 'put',
    entity: 'operationPart',
    value: {
      operationId,
      number: first + index,
      value: partJson(part),
      status: 'PLANNED',
      childId: null,
      reason: null,
      updatedAtMs: nowMs,
    },
    when: [{ kind: 'absent' }],
  }));
  const batches = Array.from({ length: Math.ceil(writes.length / WRITES_MAX) }, (_, batch) =>
    writes.slice(batch * WRITES_MAX, (batch + 1) * WRITES_MAX),
  );
  await mapBounded(batches, TRANSACTIONS_AT_ONCE, async (batch) => {
    const written = await deps.records.observeAll(batch);
    // The step died after this batch was written, and plans again: the plan is a new one, so its numbers must be new.
    if (!written.ok) throw new Error(`parts of ${operationId} from ${first} on exist already`);
  });
}

/** Number of the part after the last one. */
export async function nextPartNumber(deps: Deps, operationId: OperationId): Promise<number> {
  const last = await deps.records.query('operationPart', { partition: { operationId }, order: 'backward', limit: 1 });
  return (last.items[0]?.value.number ?? -1) + 1;
}

/** Parts from number `from` on, in order. */
export async function partsFrom(
  deps: Deps,
  operationId: OperationId,
  from: number,
  limit: number,
): Promise<readonly OperationPart[]> {
  const page = await deps.records.query('operationPart', {
    partition: { operationId },
    from: { operationId, number: from },
    order: 'forward',
    limit,
  });
  return page.items.map(({ value }) => value);
}

const PART_PAGE = 1_000;
/** Reason of a part that an undoing took off the plan. */
export const TAKEN_OFF = 'CANCELLED';

/** Parts from number `from` on that have not ended: planned, or started. */
export async function openPartsFrom(
  deps: Deps,
  operationId: OperationId,
  from: number,
): Promise<readonly OperationPart[]> {
  const parts = await everyPart(deps, operationId, from);
  return parts.filter(({ status }) => status === 'PLANNED' || status === 'RUNNING');
}

/** All parts from number `from` on, page by page: a plan has at most `PARTS_PER_PASS`, and each further pass as many. */
async function everyPart(deps: Deps, operationId: OperationId, from: number): Promise<readonly OperationPart[]> {
  const parts: OperationPart[] = [];
  let next = from;
  for (;;) {
    const page = await partsFrom(deps, operationId, next, PART_PAGE);
    parts.push(...page);
    const last = page.at(-1);
    if (last === undefined || page.length < PART_PAGE) return parts;
    next = last.number + 1;
  }
}

/** What an undoing took off the plan, and nobody has carried out since: of each shard the newest. */
export async function partsTakenOff(deps: Deps, operationId: OperationId): Promise<readonly WavePart[]> {
  const newest = new Map<ShardId, OperationPart>();
  for (const part of await everyPart(deps, operationId, 0)) newest.set(partOf(part.value).shardId, part);
  return [...newest.values()]
    .filter(({ status, reason }) => status === 'SKIPPED' && reason === TAKEN_OFF)
    .map(({ value }) => partOf(value));
}

export async function partsByNumber(
  deps: Deps,
  operationId: OperationId,
  numbers: readonly number[],
): Promise<readonly OperationPart[]> {
  const found = await deps.records.getMany(
    'operationPart',
    numbers.map((number) => ({ operationId, number })),
  );
  return found.flatMap((stored) => (stored === null ? [] : [stored.value]));
}

export async function notePart(
  deps: Deps,
  operationId: OperationId,
  number: number,
  set: Partial<Pick<OperationPart, 'status' | 'childId' | 'reason'>>,
): Promise<void> {
  await deps.records.observe({
    kind: 'update',
    entity: 'operationPart',
    id: { operationId, number },
    set: { ...set, updatedAtMs: deps.clock.wallMs() },
    when: [],
  });
}

/** The statuses of a part that has not ended; of most the first one holds. */
const OPEN = ['PLANNED', 'RUNNING'] as const;

/**
 * The same, unless the part has ended: a step that stood still and goes on long after must not open it again. False: it had ended, or was ended
 * meanwhile.
 */
export async function noteOpenPart(
  deps: Deps,
  operationId: OperationId,
  number: number,
  set: Pick<OperationPart, 'status' | 'reason'> & Partial<Pick<OperationPart, 'childId'>>,
): Promise<boolean> {
  for (const status of OPEN) {
    const noted = await deps.records.observe({
      kind: 'update',
      entity: 'operationPart',
      id: { operationId, number },
      set: { ...set, updatedAtMs: deps.clock.wallMs() },
      when: [{ kind: 'equals', field: 'status', value: status }],
    });
    if (noted.ok) return true;
  }
  return false;
}

export type Settled =
  | { readonly kind: 'RUNS'; readonly childId: OperationId | null; readonly isPaused: boolean }
  | { readonly kind: 'DONE' }
  | { readonly kind: 'SKIPPED' | 'FAILED'; readonly reason: string };

/** How the running parts stand, in their order. */
export async function settleParts(
  deps: Deps,
  operationId: OperationId,
  running: readonly RunningPart[],
): Promise<readonly Settled[]> {
  if (running.length === 0) return [];
  const parts = await partsByNumber(
    deps,
    operationId,
    running.map(({ number }) => number),
  );
  const byNumber = new Map(parts.map((part) => [part.number, part]));
  const children = parts.flatMap(({ childId }) => childId ?? []);
  const stored = await deps.records.getMany(
    'operation',
    children.map((id) => ({ operationId: id })),
  );
  const childOf = new Map(children.map((id, index) => [id, stored[index]?.value ?? null]));
  return Promise.all(
    running.map(async (one): Promise<Settled> => {
      const part = byNumber.get(one.number);
      if (part === undefined) return { kind: 'FAILED', reason: 'PART_LOST' };
      if (part.childId === null) return settleTransfer(deps, one, part.value);
      const child = childOf.get(part.childId) ?? null;
      // Recorded, and its start was lost with the step: it is started again.
      if (child === null) return { kind: 'SKIPPED', reason: 'NOT_STARTED' };
      if (!hasEnded(child)) return { kind: 'RUNS', childId: part.childId, isPaused: child.status === 'PAUSED' };
      if (child.status === 'SUCCEEDED') return { kind: 'DONE' };
      return { kind: 'FAILED', reason: child.status === 'CANCELLED' ? 'CANCELLED' : (child.error?.code ?? 'FAILED') };
    }),
  );
}

async function settleTransfer(deps: Deps, one: RunningPart, value: Json): Promise<Settled> {
  const part = partOf(value);
  const shard = (await deps.directory.locate(one.shardId))?.shard ?? null;
  if (shard === null) return { kind: 'SKIPPED', reason: 'SHARD_NOT_FOUND' };
  if (part.kind === 'LEADER' && shard.leader.nodeId === part.to) return { kind: 'DONE' };
  if (shard.intent === null) return { kind: 'SKIPPED', reason: 'TRANSFER_LOST' };
  if (deps.clock.wallMs() - one.sinceMs > TRANSFER_WAIT_MS) return { kind: 'SKIPPED', reason: 'STEP_DOWN_PENDING' };
  return { kind: 'RUNS', childId: null, isPaused: false };
}

/** Shards that have an open part: a plan leaves them alone. */
export const busyShards = (state: {
  readonly running: readonly { readonly shardId: ShardId }[];
  readonly waiting: readonly { readonly shardId: ShardId }[];
}): ReadonlySet<ShardId> => new Set([...state.running, ...state.waiting].map(({ shardId }) => shardId));
