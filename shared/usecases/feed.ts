import type { TableId } from '../domain/ids.ts';
import type { DecisionRecord, FeedEntry, FeedHead, FeedPack, RouteVersion } from '../domain/records.ts';
import { StoreError } from '../ports.ts';
import type { Deps, Stored } from '../ports.ts';

/**
 * Feeds: what was committed in many places, under numbers without a gap (ADR 13). Entries come from the stream of the events table, at least once and in
 * no certain order; a reader that has number n has everything that was numbered up to n.
 */
export type FeedDeps = Pick<Deps, 'records' | 'clock' | 'timers' | 'random' | 'log'>;

/** Entries of one pack: of the longest keys about 3 KB each, so that a pack stays below an item's 400 KB. */
export const PACK_ENTRIES_MAX = 100;
/** Attempts of one pack against other writers of the feed: there are as many as the stream has shards. */
const ATTEMPTS_MAX = 12;
/** First pause between them, doubled each time: milliseconds. */
const PAUSE_MS = 5;
/**
 * A change that was not sequenced for so long (milliseconds) may have been followed by some that the stream has dropped: it keeps
 * them for 24 h. The feed is cut, so that its readers begin anew.
 */
const LATE_MS = 12 * 3_600_000;

export const routeFeed = (tableId: TableId): string => `routes:${tableId}`;
export const DECISION_FEED = 'decisions';

/** The entry that followers of routes get of a change; of a decision, where it is. */
export const entryOfVersion = ({ shardId, table, keyType, generation, after }: RouteVersion): FeedEntry =>
  after === null ? { kind: 'GONE', shardId, generation } : { kind: 'ROUTE', shardId, table, keyType, route: after };

const entryOfDecision = ({ entity, decisionId, code }: DecisionRecord): FeedEntry => ({
  kind: 'DECISION',
  entity,
  decisionId,
  code,
});

/** Numbers what was committed. Throws StoreError when it could not: the caller hands the same records in again, and what is then twice in a feed does no harm. */
export async function sequence(
  deps: FeedDeps,
  committed: { readonly versions: readonly RouteVersion[]; readonly decisions: readonly DecisionRecord[] },
): Promise<void> {
  const byFeed = new Map<string, { entries: FeedEntry[]; cut: boolean }>();
  const nowMs = deps.clock.wallMs();
  const of = (feed: string): { entries: FeedEntry[]; cut: boolean } => {
    const known = byFeed.get(feed) ?? { entries: [], cut: false };
    byFeed.set(feed, known);
    return known;
  };
  for (const version of committed.versions) {
    const feed = of(routeFeed(version.tableId));
    feed.entries.push(entryOfVersion(version));
    if (nowMs - version.atMs > LATE_MS) feed.cut = true;
  }
  for (const decision of committed.decisions) of(DECISION_FEED).entries.push(entryOfDecision(decision));
  for (const [feed, { entries, cut }] of byFeed) {
    if (cut) await appendPack(deps, feed, { cut: true, entries: [] });
    for (let from = 0; from < entries.length; from += PACK_ENTRIES_MAX)
      await appendPack(deps, feed, { cut: false, entries: entries.slice(from, from + PACK_ENTRIES_MAX) });
  }
}

/** Says that changes of a table's routes may be missing: followers get CURSOR_EXPIRED and begin anew. */
export async function cutFeed(deps: FeedDeps, feed: string): Promise<void> {
  await appendPack(deps, feed, { cut: true, entries: [] });
  deps.log.warn('feed-cut', { feed });
}

/** The number of a pack is the head's + 1, and both are written together or not at all: no number is missing, none is there twice. */
async function appendPack(deps: FeedDeps, feed: string, pack: Pick<FeedPack, 'cut' | 'entries'>): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    if (attempt > 0) await deps.timers.sleep(PAUSE_MS * 2 ** Math.min(attempt, 8) * (0.5 + deps.random.next()));
    const head = await deps.records.get('feedHead', { feed });
    try {
      if (await appendAfter(deps, feed, head, pack)) return;
    } catch (error) {
      if (!(error instanceof StoreError && error.code === 'TRANSACTION_CONFLICT')) throw error;
    }
  }
  throw new StoreError('TRANSACTION_CONFLICT', `feed ${feed} had other writers at each of ${ATTEMPTS_MAX} attempts`);
}

async function appendAfter(
  deps: FeedDeps,
  feed: string,
  head: Stored<'feedHead'> | null,
  pack: Pick<FeedPack, 'cut' | 'entries'>,
): Promise<boolean> {
  const nowMs = deps.clock.wallMs();
  // Ages of packs decide when cursors end: they must not run backwards with a writer's clock.
  const atMs = Math.max(nowMs, head?.value.atMs ?? 0);
  const next: FeedHead = { feed, number: (head?.value.number ?? 0) + 1, atMs };
  const written = await deps.records.observeAll([
    {
      kind: 'put',
      entity: 'feedHead',
      value: next,
      when: [head === null ? { kind: 'absent' } : { kind: 'revision', is: head.revision }],
    },
    { kind: 'put', entity: 'feedPack', value: { ...next, ...pack }, when: [{ kind: 'absent' }] },
  ]);
  return written.ok;
}
