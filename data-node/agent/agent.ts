import * as z from 'zod';
import { COMMANDS_PER_MESSAGE_MAX } from '../../shared/contracts/node/commands.ts';
import type { CommandAck } from '../../shared/contracts/node/commands.ts';
import { wireDescriptorSchema } from '../../shared/contracts/node/descriptor.ts';
import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import { heartbeatResponseSchema } from '../../shared/contracts/node/heartbeat.ts';
import type { HeartbeatRequest, HeartbeatResponse, NodeReport } from '../../shared/contracts/node/heartbeat.ts';
import { err, invariant, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { Caller, ControlPlane, Environment, LeaseView, ShardHost } from '../ports.ts';
import { CommandGate } from './commands.ts';
import type { DataDirectory } from './data-directory.ts';
import { keyRing } from './keys.ts';
import { refusalOf } from './ports.ts';
import type { ControlPlaneAnswer, ControlPlaneTransport } from './ports.ts';
import { register } from './registration.ts';
import type { NodeAddress, RegistrationDeps } from './registration.ts';
import type { Relay } from './relay.ts';
import type { BeatAnswer, RelayRoute } from './relay-route.ts';
import { createRelay, createRoute } from './relaying.ts';
import type { Relaying } from './relaying.ts';
import { Reporter } from './reporter.ts';
import { Session } from './session.ts';
import { TokenVerifier } from './token-verifier.ts';
import type { TokenRefusal } from './token-verifier.ts';

export interface AgentOptions {
  readonly environment: Environment;
  readonly controlPlane: ControlPlaneTransport;
  readonly directory: DataDirectory;
  readonly address: NodeAddress;
  /** For a directory that never registered; null when it did. */
  readonly joinToken: string | null;
  /** The node's part in relaying heartbeats (L3); none when missing. */
  readonly relaying?: Relaying;
}

/** How `run` ends. */
export type AgentEnd =
  | { readonly kind: 'STOPPED' }
  /** The directory was rolled back (L4): put its replicas aside, take a new `store_uuid`, start over. */
  | { readonly kind: 'ROLLED_BACK' }
  | { readonly kind: 'REFUSED'; readonly code: string; readonly message: string };

const STATS_EVERY_MS = 10_000;
const CALL_TIMEOUT_MS = 2_000;
const RELEASE_TIMEOUT_MS = 2_000;

/** Commands are taken one by one, so that one this version can't read does not cost the renewal. */
const answerSchema = heartbeatResponseSchema.extend({ commands: z.array(z.unknown()).max(COMMANDS_PER_MESSAGE_MAX) });
const shardAnswerSchema = z.object({ descriptor: wireDescriptorSchema });

/**
 * The agent of a node: registers it, keeps its lease, carries commands to the shard host and reports back. It is the part
 * that another database would reuse, with a shard host of its own.
 */
export class Agent {
  private readonly options: AgentOptions;
  private readonly verifier: TokenVerifier;
  private readonly reporter: Reporter;
  private readonly stopper = new AbortController();
  private host: ShardHost | null = null;
  private gate: CommandGate | null = null;
  private session: Session | null = null;
  private running: Promise<AgentEnd> | null = null;
  private statsDueMs = 0;
  /** Acknowledgements that no message carried yet. */
  private acks: CommandAck[] = [];
  /** Beats of other nodes, if this one relays them. */
  readonly relay: Relay | null;
  private readonly route: RelayRoute | null;

  constructor(options: AgentOptions) {
    this.options = options;
    const parts = {
      relaying: options.relaying ?? { forOthers: false, through: null },
      environment: options.environment,
      controlPlane: options.controlPlane,
      nodeId: options.address.nodeId,
      session: () => (this.session?.ended === null ? this.session : null),
      call: (session: Session, path: string, request: unknown, timeoutMs: number) =>
        this.call(session, 'POST', path, request, timeoutMs),
    };
    this.relay = createRelay(parts);
    this.route = createRoute(parts);
    this.verifier = new TokenVerifier(options.environment.clock);
    this.reporter = new Reporter((reports) => this.sendReports(reports));
    const keys = options.directory.publicKeys();
    if (keys !== null) this.verifier.useKeys(keyRing(keys));
  }

  /** The right to lead, as the shard host asks for it. */
  readonly lease: LeaseView = {
    registration: () =>
      this.session === null || this.session.ended !== null
        ? null
        : {
            nodeId: this.options.address.nodeId,
            nodeEpoch: this.session.nodeEpoch,
            incarnation: this.session.incarnation,
            storeUuid: this.options.directory.storeUuid,
          },
    held: () => {
      const session = this.session;
      if (session === null || session.ended !== null) return false;
      return session.leaseHeldAt(this.options.environment.clock.monotonicMs());
    },
  };

  readonly controlPlane: ControlPlane = {
    report: (reports) => this.reporter.report(reports),
    getShard: (shardId) => this.getShard(shardId),
  };

  /** Bearer token for calls to peers; null while the node is not registered. */
  credential(): string | null {
    return this.session === null || this.session.ended !== null ? null : this.session.credential;
  }

  verifyBearer(authorization: string | undefined): Result<Caller, TokenRefusal> {
    return this.verifier.verify(authorization);
  }

  /** Commands pushed by the control plane; their signatures are the authentication. */
  async push(commands: readonly unknown[]): Promise<CommandAck[]> {
    invariant(this.gate !== null, 'a shard host is attached before commands arrive');
    return this.gate.take(commands);
  }

  /** Joins the shard host; once, before `run`. */
  attach(host: ShardHost): void {
    invariant(this.host === null, 'one shard host an agent');
    this.host = host;
    const { environment, address, directory } = this.options;
    this.gate = new CommandGate({ nodeId: address.nodeId, host, log: environment.log, clock: environment.clock });
    const keys = directory.publicKeys();
    if (keys !== null) this.gate.useKeys(keyRing(keys));
  }

  /** Registers and renews until `stop`, or until the node may not go on. */
  run(): Promise<AgentEnd> {
    this.running ??= this.loop();
    return this.running;
  }

  /** A clean stop: the shard host closes under the lease, then the lease is given up (L4). */
  async stop(): Promise<void> {
    await this.host?.close();
    this.stopper.abort();
    this.session?.end('STOPPED');
    await this.running;
    const session = this.session;
    if (session !== null) await this.release(session);
    this.session = null;
  }

  private async loop(): Promise<AgentEnd> {
    invariant(this.host !== null, 'a shard host is attached before the agent runs');
    const { environment, directory } = this.options;
    const deps: RegistrationDeps = { ...this.options, relay: this.route?.relay ?? null };
    while (!this.stopper.signal.aborted) {
      const outcome = await register(deps, this.stopper.signal);
      if (outcome.kind !== 'REGISTERED') return outcome;
      const { response, incarnation } = outcome;
      // Persisted before anything is done under it (L4).
      directory.registered({ nodeEpoch: response.node_epoch, publicKeys: response.settings.public_keys });
      const ring = keyRing(response.settings.public_keys);
      this.verifier.useKeys(ring);
      this.gate?.useKeys(ring);
      this.route?.useKeys(ring);
      const session = new Session(response, incarnation);
      this.session = session;
      this.acks = [];
      this.statsDueMs = environment.clock.monotonicMs();
      environment.log.info('registered', { node_epoch: session.nodeEpoch, incarnation });
      this.host.registered({
        nodeId: this.options.address.nodeId,
        nodeEpoch: session.nodeEpoch,
        storeUuid: directory.storeUuid,
      });
      if (this.stopper.signal.aborted) session.end('STOPPED');
      await this.renewUntilEnd(session);
      environment.log.info('session_ended', { node_epoch: session.nodeEpoch, reason: session.ended });
    }
    return { kind: 'STOPPED' };
  }

  /**
   * Renews at a fixed rate, whether or not earlier answers came: one lost answer costs one renewal. A request is given up
   * when its answer could no longer extend the lease, so at most leaseMs / renewMs + 1 are under way.
   */
  private async renewUntilEnd(session: Session): Promise<void> {
    const { clock, timers } = this.options.environment;
    const inFlightMax = Math.ceil(session.leaseMs / session.renewMs) + 1;
    let dueMs = clock.monotonicMs();
    let inFlight = 0;
    while (session.ended === null) {
      if (inFlight < inFlightMax) {
        inFlight++;
        void this.renew(session).then(() => inFlight--);
      }
      // After a pause the beats that were missed are skipped, not made up for.
      const nextMs = dueMs + session.renewMs;
      dueMs = Math.max(this.route?.aligned(nextMs, session.renewMs) ?? nextMs, clock.monotonicMs());
      await timers.sleep(dueMs - clock.monotonicMs(), session.signal);
    }
  }

  private async renew(session: Session): Promise<void> {
    const { log } = this.options.environment;
    try {
      await this.beat(session);
    } catch (error) {
      // A disk that refuses the attestation: the node must not renew, and its lease runs out.
      log.error('heartbeat_failed', { error: String(error) });
    }
  }

  private async beat(session: Session): Promise<void> {
    const { clock, log } = this.options.environment;
    const attestation = this.options.directory.attest();
    const acks = this.acks.splice(0, COMMANDS_PER_MESSAGE_MAX);
    const stats = this.dueStats(clock.monotonicMs());
    // Counted from here: the fsync above is no part of the lease, the way to the wire is (L3).
    const sequence = session.nextSequence(clock.monotonicMs());
    const request: HeartbeatRequest = {
      node_epoch: session.nodeEpoch,
      incarnation: session.incarnation,
      sequence,
      attestation,
      ...(session.mailSeen > 0 ? { mail_seen: session.mailSeen } : {}),
      ...(stats === null ? {} : { stats }),
      ...(acks.length > 0 ? { acks } : {}),
    };
    const relayed = await this.throughRelay(session, request);
    if (session.ended !== null) return;
    if (relayed !== null) {
      const { credential } = relayed;
      if (credential !== null && this.isOwn(credential)) session.renewCredential(credential);
      await this.renewed(session, relayed);
      return;
    }
    // The same sequence, if a relay missed it: its lease counts from its first send (L3).
    const answer = await this.call(session, 'POST', this.nodePath('heartbeat'), request, session.leaseMs);
    if (session.ended !== null) return;
    if (!answer.ok || answer.value.status !== 200) {
      this.acks = [...acks, ...this.acks].slice(0, ACKS_WAITING_MAX);
      const problem = answer.ok ? refusalOf(answer.value) : answer.error;
      log.warn('heartbeat_lost', { sequence, code: problem.code, message: problem.message });
      return;
    }
    const parsed = answerSchema.safeParse(answer.value.body);
    if (!parsed.success || parsed.data.node_epoch !== session.nodeEpoch) {
      log.warn('heartbeat_answer_unreadable', { sequence });
      return;
    }
    if (parsed.data.credential !== null) session.renewCredential(parsed.data.credential);
    await this.renewed(session, parsed.data);
  }

  private async renewed(session: Session, answer: BeatAnswer): Promise<void> {
    session.acknowledged(answer.sequence);
    await this.takeMail(session, answer);
  }

  /** A credential that came through a relay is taken only if it is one of this node's. */
  private isOwn(credential: string): boolean {
    const caller = this.verifier.verify(`Bearer ${credential}`);
    return caller.ok && caller.value.kind === 'node' && caller.value.nodeId === this.options.address.nodeId;
  }

  /** Null: there is no relay, or it is not to be relied on now. */
  private async throughRelay(session: Session, request: HeartbeatRequest): Promise<BeatAnswer | null> {
    const { credential, leasePack, renewMs } = session;
    if (this.route === null || leasePack === null) return null;
    return this.route.beat({ credential, leasePack, renewMs, request });
  }

  private dueStats(nowMs: number): HeartbeatRequest['stats'] | null {
    if (this.host === null || nowMs < this.statsDueMs) return null;
    this.statsDueMs = nowMs + STATS_EVERY_MS;
    return this.host.stats();
  }

  private async takeMail(
    session: Session,
    answer: Omit<HeartbeatResponse, 'commands'> & { readonly commands: readonly unknown[] },
  ): Promise<void> {
    if (answer.commands.length > 0) {
      const acks = (await this.gate?.take(answer.commands)) ?? [];
      if (session.ended !== null) return;
      void this.sendAcks(session, acks);
    }
    // A full answer may have left commands behind: the next beat asks again.
    if (answer.commands.length < COMMANDS_PER_MESSAGE_MAX) session.mailTaken(answer.mail);
  }

  /** By a report at once, since an operation may wait for them; by the next heartbeat if that fails. */
  private async sendAcks(session: Session, acks: readonly CommandAck[]): Promise<void> {
    if (acks.length === 0) return;
    const reported = await this.reporter.report(acks.map((ack) => ({ type: 'command_ack', ...ack })));
    if (!reported.ok && session.ended === null) this.acks = [...this.acks, ...acks].slice(0, ACKS_WAITING_MAX);
  }

  private async sendReports(
    reports: readonly NodeReport[],
  ): Promise<Result<ControlPlaneAnswer, { code: string; message: string }>> {
    const session = this.session;
    if (session === null || session.ended !== null) return err(NOT_REGISTERED);
    const body = { node_epoch: session.nodeEpoch, incarnation: session.incarnation, reports };
    return this.call(session, 'POST', this.nodePath('reports'), body, CALL_TIMEOUT_MS);
  }

  private async getShard(shardId: string): Promise<Result<WireDescriptor | null, { code: string; message: string }>> {
    const session = this.session;
    if (session === null || session.ended !== null) return err(NOT_REGISTERED);
    const path = `/shards/${encodeURIComponent(shardId)}`;
    const answer = await this.call(session, 'GET', path, null, CALL_TIMEOUT_MS);
    if (!answer.ok) return answer;
    if (answer.value.status === 404) {
      const refusal = refusalOf(answer.value);
      return refusal.code === 'SHARD_NOT_FOUND' ? ok(null) : err(refusal);
    }
    if (answer.value.status !== 200) return err(refusalOf(answer.value));
    const parsed = shardAnswerSchema.safeParse(answer.value.body);
    return parsed.success ? ok(parsed.data.descriptor) : err({ code: 'BAD_ANSWER', message: 'no shard descriptor' });
  }

  /** Calls as the session's node; a refusal that voids the session ends it at once, and with it the lease. */
  private async call(
    session: Session,
    method: 'GET' | 'POST',
    path: string,
    body: unknown,
    timeoutMs: number,
  ): Promise<Result<ControlPlaneAnswer, { code: string; message: string }>> {
    const { credential } = session;
    const answer = await this.options.controlPlane.call({ method, path, bearer: credential, body, timeoutMs });
    if (!answer.ok) return answer;
    const { code } = refusalOf(answer.value);
    if (answer.value.status !== 200) {
      if (code === 'NODE_FENCED') session.end('FENCED');
      // A credential that was replaced meanwhile says nothing about the new one.
      else if (answer.value.status === 401 && credential === session.credential) session.end('CREDENTIAL_REFUSED');
      else if (code === 'NODE_NOT_FOUND') session.end('CREDENTIAL_REFUSED');
    }
    return answer;
  }

  private async release(session: Session): Promise<void> {
    const answer = await this.options.controlPlane.call({
      method: 'POST',
      path: this.nodePath('release'),
      bearer: session.credential,
      body: { node_epoch: session.nodeEpoch, incarnation: session.incarnation },
      timeoutMs: RELEASE_TIMEOUT_MS,
    });
    const released = answer.ok && answer.value.status === 200;
    this.options.environment.log.info('lease_released', { outcome: released ? 'released' : 'left to expire' });
  }

  private nodePath(call: 'heartbeat' | 'reports' | 'release'): string {
    return `/cluster/nodes/${encodeURIComponent(this.options.address.nodeId)}/${call}`;
  }
}

const NOT_REGISTERED = { code: 'NOT_REGISTERED', message: 'the node is not registered' } as const;
/** Acknowledgements kept for the next heartbeats: beyond it the mailbox sends the commands again. */
const ACKS_WAITING_MAX = 1_000;
