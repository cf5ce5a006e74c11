import type { DynamoDBStreamEvent } from 'aws-lambda';
import { tableId } from '../domain/ids.ts';
import type { DecisionRecord, Json, RouteVersion } from '../domain/records.ts';
import type { ItemKey } from '../ports.ts';
import { entities } from '../store/entities.ts';
import { cutFeed, routeFeed, sequence } from '../usecases/feed.ts';
import type { FeedDeps } from '../usecases/feed.ts';
import { insertedItem } from './outbox.ts';
import type { RuntimeSource } from './runtime.ts';

/** What is numbered in feeds, taken from the stream of the events table, or from a store that tells of its commits. */

export interface Sequenced {
  readonly versions: RouteVersion[];
  readonly decisions: DecisionRecord[];
  /** Tables of whose routes a version could not be read. */
  readonly unreadable: Set<string>;
}

export const nothingSequenced = (): Sequenced => ({ versions: [], decisions: [], unreadable: new Set() });

const prefixOf = (partition: string): string => `${partition.split('#')[0]}#`;
const VERSION_PARTITION = prefixOf(entities.routeVersion.partitionKey({ shardId: '' as RouteVersion['shardId'] }));
const DECISION_PARTITION = prefixOf(entities.decision.partitionKey({ entity: '' }));

/** Adds what a new item of the events table holds, if it is numbered in a feed. */
export function collect(
  into: Sequenced,
  key: { readonly pk: unknown },
  body: { readonly [field: string]: Json },
): void {
  if (typeof key.pk !== 'string') return;
  try {
    if (key.pk.startsWith(VERSION_PARTITION)) into.versions.push(entities.routeVersion.codec.decode(body));
    else if (key.pk.startsWith(DECISION_PARTITION)) into.decisions.push(entities.decision.codec.decode(body));
  } catch {
    // Written by a release that this one can't read. A decision that is missing in a list misleads nobody; of routes the feed is cut.
    const table = body['tableId'];
    if (typeof table === 'string') into.unreadable.add(table);
  }
}

/** Numbers what was collected. Throws StoreError when it could not. */
export async function sequenceAll(deps: FeedDeps, collected: Sequenced): Promise<void> {
  await sequence(deps, collected);
  for (const table of collected.unreadable) await cutFeed(deps, routeFeed(tableId(table)));
}

/** True for keys of the table whose stream is read. */
export const isFeedTable = ({ table }: Pick<ItemKey, 'table'>): boolean => table === entities.routeVersion.table;

/** Throws if the batch could not be numbered: Lambda then sends it again, until it succeeds. */
export const sequenceChangesHandler =
  (source: RuntimeSource) =>
  async (batch: DynamoDBStreamEvent): Promise<void> => {
    const collected = nothingSequenced();
    for (const record of batch.Records) {
      const item = insertedItem(record);
      if (item !== null) collect(collected, item, item.body);
    }
    if (collected.versions.length + collected.decisions.length + collected.unreadable.size === 0) return;
    await sequenceAll((await source()).deps, collected);
  };
