/**
 * The ports: what use cases and operation steps ask of the world outside them, and what the store, the adapters and the
 * composition roots give. Everybody imports them from this file; those of one kind are together in one file of `ports/`.
 */

/** Time, randomness, the log. */
export type { Clock, Logger, Random, Timers } from './domain/environment.ts';

/** Metadata: key-value items, as far as DynamoDB goes; the typed records over them and their kinds; leases; the shard directory. */
export * from './ports/metadata-store.ts';
export * from './ports/entities.ts';
export type * from './ports/records.ts';
export type * from './ports/liveness-reader.ts';
export type * from './ports/shard-directory.ts';

/** The outside: nodes and commands to them, executions of state machines, who calls and what is signed. */
export type * from './ports/commands.ts';
export type * from './ports/operation-starter.ts';
export * from './ports/tokens.ts';

/** All of it, as a use case gets it. */
export type * from './ports/deps.ts';
