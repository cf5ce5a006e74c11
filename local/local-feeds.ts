import { collect, isFeedTable, nothingSequenced, sequenceAll } from '../shared/runtime/feed-stream.ts';
import type { CommittedWrite } from '../shared/store/faults.ts';
import { everyRecord } from '../shared/usecases/every-record.ts';
import { cutFeed, routeFeed } from '../shared/usecases/feed.ts';
import type { FeedDeps } from '../shared/usecases/feed.ts';

/**
 * What the stream of the events table and its function are in the cloud: committed changes get their numbers in the feeds a moment
 * after. What a process that died had not numbered yet is not looked for: `start` cuts the feeds, so that their readers begin anew.
 */
export interface LocalFeeds {
  /** For the store: told of every commit. */
  readonly onCommit: (writes: readonly CommittedWrite[]) => void;
  /** From here on changes are numbered. */
  start(deps: FeedDeps): Promise<void>;
  /** Resolves once all that was committed is numbered. */
  settled(): Promise<void>;
}

/** Pause after a failure of the store, and how often it is tried before the feeds are left until the next commit. */
const RETRY_MS = 200;
const ATTEMPTS_MAX = 10;

export function createLocalFeeds(): LocalFeeds {
  let waiting = nothingSequenced();
  let deps: FeedDeps | null = null;
  let running: Promise<void> | null = null;

  const isEmpty = (): boolean => waiting.versions.length + waiting.decisions.length + waiting.unreadable.size === 0;
  /** True once everything is numbered. */
  const work = async (by: FeedDeps): Promise<boolean> => {
    let failures = 0;
    while (!isEmpty() && failures < ATTEMPTS_MAX) {
      const taken = waiting;
      waiting = nothingSequenced();
      try {
        await sequenceAll(by, taken);
      } catch (error) {
        failures += 1;
        by.log.warn('feed-behind', { message: String(error) });
        waiting = {
          versions: [...taken.versions, ...waiting.versions],
          decisions: [...taken.decisions, ...waiting.decisions],
          unreadable: new Set([...taken.unreadable, ...waiting.unreadable]),
        };
        await by.timers.sleep(RETRY_MS);
      }
    }
    return failures < ATTEMPTS_MAX;
  };
  const kick = (): void => {
    if (deps === null || running !== null || isEmpty()) return;
    running = work(deps).then((done) => {
      running = null;
      if (done) kick(); // what came in the last moment
    });
  };
  return {
    onCommit: (writes) => {
      for (const { key, before, after } of writes)
        if (isFeedTable(key) && before === null && after !== null) collect(waiting, key, after.body);
      kick();
    },
    start: async (by) => {
      for (const { tableId } of await everyRecord(by, 'table', {})) {
        const feed = routeFeed(tableId);
        if ((await by.records.get('feedHead', { feed })) !== null) await cutFeed(by, feed);
      }
      deps = by;
      kick();
    },
    settled: async () => {
      while (running !== null) await running;
    },
  };
}
