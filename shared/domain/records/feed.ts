import type { Generation, ShardId, TableName } from '../ids.ts';
import type { KeyType } from '../keys.ts';
import type { RouteState } from './history.ts';

/** A log that is numbered without a gap, whatever the order in which its entries were committed: routes of one table, or decisions. */
export interface FeedHead {
  readonly feed: string;
  /** Number of the last pack; 0: none yet. */
  readonly number: number;
  readonly atMs: number;
}

/** Some entries of a feed, under one number. */
export interface FeedPack {
  readonly feed: string;
  readonly number: number;
  readonly atMs: number;
  /** True: entries may have been lost just before this pack. Whoever follows the feed begins anew. */
  readonly cut: boolean;
  readonly entries: readonly FeedEntry[];
}

export type FeedEntry =
  | {
      readonly kind: 'ROUTE';
      readonly shardId: ShardId;
      readonly table: TableName;
      readonly keyType: KeyType;
      readonly route: RouteState;
    }
  /** The shard went into a merge; `generation` is the merged one's. */
  | { readonly kind: 'GONE'; readonly shardId: ShardId; readonly generation: Generation }
  /** Where a decision is kept. */
  | { readonly kind: 'DECISION'; readonly entity: string; readonly decisionId: string; readonly code: string };
