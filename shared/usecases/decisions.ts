import type { decisionSchema } from '../contracts/api/decisions.ts';
import { LIST_LIMIT_DEFAULT, toTimestamp, wallMsOf } from '../contracts/primitives.ts';
import { decisionRecord } from '../domain/decision.ts';
import type { Decided } from '../domain/decision.ts';
import { invalid } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import type { DecisionRecord, FeedEntry, Json } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Deps, Principal, RecordWrite } from '../ports.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { DECISION_FEED } from './feed.ts';
import { principalName } from './principal.ts';
import type { UseCase } from './types.ts';

/**
 * The journal of decisions. One that changes something is written in the transaction of the change. One that changes nothing (no
 * candidate, a refusal) is written by itself, once a minute at most for each entity and code: it is asked again every second.
 */

/** One refusal of a kind is kept for each entity in this time: milliseconds. */
const REFUSAL_WINDOW_MS = 60_000;
const RANDOM_BYTES = 6;
/** Hex digits of a time in milliseconds, as in other time-ordered ids. */
const TIME_DIGITS = 12;
/** Packs of the feed, or pages of an entity, that one answer looks through: a rare code is found in several answers. */
const PACKS_MAX = 20;
const ENTITY_PAGES_MAX = 5;

const timeOf = (atMs: number): string => Math.floor(atMs).toString(16).padStart(TIME_DIGITS, '0');
const idAt = (atMs: number, rest: string): string => `dec-${timeOf(atMs)}-${rest}`;

type JournalDeps = Pick<Deps, 'clock' | 'random'>;

/** The write of a decision, for the transaction of what was decided. */
export function decisionWrite(deps: JournalDeps, principal: Principal, decided: Decided): RecordWrite {
  const atMs = deps.clock.wallMs();
  const decisionId = idAt(atMs, deps.random.hex(RANDOM_BYTES));
  const value = decisionRecord(decided, { decisionId, principal: principalName(principal), atMs });
  return { kind: 'put', entity: 'decision', value, when: [{ kind: 'absent' }] };
}

/** Refusals that this process has noted, so that it asks the store once for each; beyond the bound all are forgotten. */
const notedBy = new WeakMap<Deps['records'], Set<string>>();
const NOTED_MAX = 4_096;

function isNews(deps: Deps, name: string): boolean {
  const noted = notedBy.get(deps.records) ?? new Set<string>();
  notedBy.set(deps.records, noted);
  if (noted.has(name)) return false;
  if (noted.size >= NOTED_MAX) noted.clear();
  noted.add(name);
  return true;
}

/** Keeps a decision that changed nothing. Never throws: the journal must not hold up what it tells of. */
export async function noteRefusal(deps: Deps, principal: Principal, decided: Decided): Promise<void> {
  const atMs = deps.clock.wallMs();
  const window = Math.floor(atMs / REFUSAL_WINDOW_MS) * REFUSAL_WINDOW_MS;
  const decisionId = idAt(window, `${decided.kind}-${decided.code}`);
  if (!isNews(deps, `${decided.entity} ${decisionId}`)) return;
  const value = decisionRecord(decided, { decisionId, principal: principalName(principal), atMs });
  try {
    // Absent, or it was noted in this minute already.
    await deps.records.observe({ kind: 'put', entity: 'decision', value, when: [{ kind: 'absent' }] });
  } catch (error) {
    deps.log.warn('decision-not-noted', { entity: decided.entity, code: decided.code, message: String(error) });
  }
}

/** Plain data as Json: what decisions are given are records, which are stored anyway. */
export const asJson = (value: unknown): Json => JSON.parse(JSON.stringify(value ?? null)) as Json;

export const listDecisions: UseCase<'listDecisions'> = async (deps, _principal, { query }) => {
  const after = decodeCursor(query.cursor);
  if (!after.ok) return after;
  const wanted: Wanted = {
    limit: query.limit ?? LIST_LIMIT_DEFAULT,
    after: after.value,
    fits: ({ code, decisionId }) =>
      (query.code === undefined || code === query.code) && (sinceId === null || decisionId >= sinceId),
    // Ids sort by time, and refusals stand at the start of their minute.
    isPast: ({ decisionId }) => sinceId !== null && decisionId < sinceId,
  };
  const sinceId =
    query.since === undefined
      ? null
      : idAt(Math.floor(wallMsOf(query.since) / REFUSAL_WINDOW_MS) * REFUSAL_WINDOW_MS, '');
  const page = query.entity === undefined ? await ofAll(deps, wanted) : await ofEntity(deps, query.entity, wanted);
  if (!page.ok) return page;
  return ok({ decisions: page.value.found.map(toWire), next_cursor: encodeCursor(page.value.next) });
};

interface Wanted {
  readonly limit: number;
  readonly after: string | null;
  readonly fits: (decision: Pick<DecisionRecord, 'code' | 'decisionId'>) => boolean;
  readonly isPast: (decision: Pick<DecisionRecord, 'decisionId'>) => boolean;
}
type Found = Result<{ readonly found: readonly DecisionRecord[]; readonly next: string | null }, Fault>;

async function ofEntity(deps: Deps, entity: string, { limit, after, fits, isPast }: Wanted): Promise<Found> {
  const found: DecisionRecord[] = [];
  let next = after;
  for (let page = 0; page < ENTITY_PAGES_MAX; page++) {
    const answer = await deps.records.query('decision', {
      partition: { entity },
      order: 'backward',
      // As many as still fit: the place to go on from is then the end of the page.
      limit: limit - found.length,
      ...(next === null ? {} : { after: next }),
    });
    const values = answer.items.map(({ value }) => value);
    found.push(...values.filter(fits));
    ({ next } = answer);
    if (next === null || values.some(isPast)) return ok({ found, next: null });
    if (found.length >= limit) break;
  }
  return ok({ found, next });
}

type Pointer = Extract<FeedEntry, { kind: 'DECISION' }>;

/** From the feed of all decisions, backward. A cursor is the number of a pack and how many of its entries were told. */
async function ofAll(deps: Deps, { limit, after, fits, isPast }: Wanted): Promise<Found> {
  const from = after === null ? { pack: Number.MAX_SAFE_INTEGER, told: 0 } : parsePlace(after);
  if (from === null)
    return err(invalid('INVALID_REQUEST', 'Pass next_cursor of the page before, unchanged.', { field: 'cursor' }));
  const { items } = await deps.records.query('feedPack', {
    partition: { feed: DECISION_FEED },
    to: { feed: DECISION_FEED, number: from.pack },
    order: 'backward',
    limit: PACKS_MAX,
  });
  const pointers: Pointer[] = [];
  let next: string | null = null;
  walk: for (const { value: pack } of items) {
    const told = pack.number === from.pack ? from.told : 0;
    for (const [index, entry] of pack.entries.toReversed().entries()) {
      if (index < told || entry.kind !== 'DECISION') continue;
      if (pointers.length === limit) {
        next = `${pack.number}:${index}`;
        break walk;
      }
      if (fits(entry)) pointers.push(entry);
    }
    next = pack.number > 1 ? `${pack.number - 1}:0` : null;
    // Entries of one pack may be out of order by seconds; a pack that is wholly past ends the search.
    if (pack.entries.length > 0 && pack.entries.every((entry) => entry.kind !== 'DECISION' || isPast(entry))) {
      next = null;
      break;
    }
  }
  if (items.length < PACKS_MAX && pointers.length < limit) next = null;
  const stored = await deps.records.getMany(
    'decision',
    pointers.map(({ entity, decisionId }) => ({ entity, decisionId })),
  );
  return ok({ found: stored.flatMap((one) => (one === null ? [] : [one.value])), next });
}

function parsePlace(text: string): { readonly pack: number; readonly told: number } | null {
  const [pack, told] = (/^(\d{1,15}):(\d{1,4})$/.exec(text) ?? []).slice(1).map(Number);
  return pack === undefined || told === undefined ? null : { pack, told };
}

const toWire = (decision: DecisionRecord): (typeof decisionSchema)['_output'] => ({
  decision_id: decision.decisionId,
  entity: decision.entity,
  kind: decision.kind,
  code: decision.code,
  principal: decision.principal,
  at: toTimestamp(decision.atMs),
  inputs: decision.inputs,
  rejected: decision.rejected.map(({ candidate, code }) => ({ candidate, code })),
  outcome: decision.outcome,
});
