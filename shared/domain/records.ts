/**
 * Stored records that are not decided upon in a file of their own, by what they tell of. Liveness: lease.ts. Shards: shard.ts.
 * Everybody imports them from this file.
 */
export type * from './records/json.ts';

/** Nodes, and who may become one. */
export * from './records/nodes.ts';
/** Tables and where their shards are written down. */
export type * from './records/directory.ts';
export type * from './records/configuration.ts';

/** What is under way: operations, commands to nodes, requests that may be repeated, recoveries. */
export * from './records/operations.ts';
export type * from './records/commands.ts';
export type * from './records/idempotency.ts';
export type * from './records/recovery.ts';

/** What was: audit, events, decisions, routes; and the feeds made of them. */
export type * from './records/history.ts';
export type * from './records/feed.ts';
