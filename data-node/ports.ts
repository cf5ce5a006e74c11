import type { Clock, Logger, Random, Timers } from '../shared/domain/environment.ts';
import type { Result } from '../shared/domain/result.ts';
import type { Json } from '../shared/domain/records.ts';
import type { CommandAck, NodeCommand } from '../shared/contracts/node/commands.ts';
import type { WireDescriptor } from '../shared/contracts/node/descriptor.ts';
import type { HeartbeatRequest, NodeReport, ReportsResponse } from '../shared/contracts/node/heartbeat.ts';

/**
 * The seams of a data node. The agent kit (agent/) holds identity and lease and talks to the control plane; the shard host
 * (replication/) holds replicas and talks to peers and clients; the transport (server/) carries both. Another database
 * joins by using the agent kit with a shard host of its own.
 */
export type { Clock, Logger, Random, Timers };

export interface Environment {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  /** Milliseconds for which the node's thread was ready to go on and waited for a processor, since it started; null where that can't be told. */
  readonly processorWaitMs?: () => number | null;
}

/** What the agent knows of the node's right to lead (L3). Read at the moment of use; never cached across an await. */
export interface LeaseView {
  /** Identity under the present registration; null before the first one, and after the node learned that it was fenced. */
  registration(): {
    readonly nodeId: string;
    readonly nodeEpoch: number;
    readonly incarnation: string;
    readonly storeUuid: string;
  } | null;
  /** True while the lease holds on the node's own clock, drift bound subtracted. False means: acknowledge and answer nothing as leader. */
  held(): boolean;
}

/** Calls of the shard host to the control plane, as the registered node. */
export interface ControlPlane {
  /** At most REPORTS_PER_MESSAGE_MAX reports. An error says nothing about whether the reports were applied (R2). */
  report(
    reports: readonly NodeReport[],
  ): Promise<Result<ReportsResponse['results'], { code: string; message: string }>>;
  /** Strongly consistent read of a shard's descriptor; null if the shard does not exist. */
  getShard(shardId: string): Promise<Result<WireDescriptor | null, { code: string; message: string }>>;
}

/** Where a node's data lies, as placement counts on it. */
export interface Disk {
  /** Bytes in all, and bytes in use by whomever; null when it can't be told. */
  use(): { readonly capacityBytes: number; readonly usedBytes: number } | null;
}

/** Requests to another node: JSON over HTTP in production, the simulated network in tests. */
export interface PeerNetwork {
  /** Never throws. UNREACHABLE: no answer within `timeoutMs`; the request may or may not have been processed. */
  call(
    address: { readonly host: string; readonly port: number },
    path: string,
    body: Json,
    options: { readonly timeoutMs: number },
  ): Promise<
    Result<{ readonly status: number; readonly body: Json }, { readonly code: 'UNREACHABLE'; readonly message: string }>
  >;
}

/** Who sent a request, by its verified token. */
export type Caller =
  | { readonly kind: 'node'; readonly nodeId: string; readonly nodeEpoch: number }
  | {
      readonly kind: 'client';
      readonly name: string;
      readonly tables: readonly string[];
      readonly access: 'read' | 'read-write';
    };

/** What the agent and the transport ask of the part that holds replicas. */
export interface ShardHost {
  /** Applies a verified command. The agent has checked signature and addressee; the host checks epoch, generation, replica id (E2, R4). */
  apply(command: NodeCommand): Promise<CommandAck>;
  /** The agent registered anew: every leadership and every replication session of an older node epoch is void. */
  registered(registration: { readonly nodeId: string; readonly nodeEpoch: number; readonly storeUuid: string }): void;
  /** Statistics for the slower beat. */
  stats(): NonNullable<HeartbeatRequest['stats']>;
  /** `POST /replication/<verb>` of a peer node. */
  handlePeer(
    verb: string,
    body: unknown,
    caller: Extract<Caller, { kind: 'node' }>,
  ): Promise<{ status: number; body: Json }>;
  /** `POST /data/<verb>` of a client. */
  handleData(
    verb: string,
    body: unknown,
    caller: Extract<Caller, { kind: 'client' }>,
  ): Promise<{ status: number; body: Json }>;
  /** Stops leading and replicating, for a clean stop. In-flight writes get their answer or UNKNOWN_OUTCOME first. */
  close(): Promise<void>;
}

/**
 * The node's durable memory besides replicas, in the same engine: identity, node epoch, attestation. `put` returns after
 * the fsync ("persisted" in PROTOCOL means fsynced).
 */
export interface DurableMeta {
  get(key: string): string | null;
  put(entries: Readonly<Record<string, string>>): void;
}
