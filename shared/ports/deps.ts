import type { Clock, Logger, Random, Timers } from '../domain/environment.ts';
import type { OperationId } from '../domain/ids.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import type { AddressBook, CommandDispatcher } from './commands.ts';
import type { LivenessReader } from './liveness-reader.ts';
import type { OperationStarter } from './operation-starter.ts';
import type { Records } from './records.ts';
import type { ShardDirectory } from './shard-directory.ts';
import type { TokenAuthority } from './tokens.ts';

/** What every use case gets. */
export interface Deps {
  readonly records: Records;
  readonly liveness: LivenessReader;
  readonly directory: ShardDirectory;
  readonly commands: CommandDispatcher;
  readonly addresses: AddressBook;
  readonly operations: OperationStarter;
  readonly tokens: TokenAuthority;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  readonly settings: Settings;
  /**
   * Of a request under an idempotency key: the id of the operation that it starts, the same whenever the request is repeated (I-11). Null from
   * the second operation of one request on.
   */
  readonly takeOperationId?: () => OperationId | null;
}

/** Deployment-wide settings, from the environment. */
export interface Settings {
  readonly leaseProfile: LivenessRecord['profile'];
  /** True if functions can reach nodes; false: heartbeat replies and client-carried epochs only. */
  readonly pushToNodes: boolean;
  readonly defaultReplicationFactor: number;
  /** Addresses of the hot calls apart from the API's own; null or missing: the API's own serves them. */
  readonly endpoints?: { readonly heartbeats: string | null; readonly routes: string | null };
}
