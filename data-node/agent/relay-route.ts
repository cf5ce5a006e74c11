import * as z from 'zod';
import { COMMANDS_PER_MESSAGE_MAX } from '../../shared/contracts/node/commands.ts';
import { heartbeatResponseSchema } from '../../shared/contracts/node/heartbeat.ts';
import type { HeartbeatRequest } from '../../shared/contracts/node/heartbeat.ts';
import { relayAnswerSchema, renewalsSchema } from '../../shared/contracts/node/relay.ts';
import type { RelayedBeat } from '../../shared/contracts/node/relay.ts';
import type { Json } from '../../shared/domain/records.ts';
import type { Environment, PeerNetwork } from '../ports.ts';
import { Certificates } from './certificates.ts';
import { verifyDocument } from './keys.ts';
import type { KeyRing } from './keys.ts';

/**
 * A node's way through its relay (L3). One beat that the relay does not bring back in time, signed by the control plane, and the
 * node beats directly; after a while it tries the relay again. A relay's word counts for nothing by itself: it may be late, mistaken or lying.
 */

/** Share of the renew period after which a beat counts as missed: the same beat then still goes directly within the period. */
const ANSWER_SHARE = 0.5;
/** Milliseconds of direct beats after a miss: a relay that was restarted is found again soon, one that is gone costs a beat in thirty. */
export const RETURN_AFTER_MS = 30_000;
/** How far before its window a beat may come (share of the period): its own window then still covers that of the others. */
const EARLY_SHARE = 0.1;

/** Commands are taken one by one, so that one this version can't read does not cost the renewal. */
const answerSchema = heartbeatResponseSchema.extend({ commands: z.array(z.unknown()).max(COMMANDS_PER_MESSAGE_MAX) });
const renewedSchema = relayAnswerSchema.extend({
  result: z.object({ outcome: z.literal('RENEWED'), answer: answerSchema }),
  // What is signed is verified as it came, fields that this version does not know included.
  receipt: z.object({ renewals: z.unknown(), signature: z.string(), certificate: z.string() }),
});
export type BeatAnswer = z.infer<typeof answerSchema>;

export interface RelayRouteOptions {
  readonly environment: Environment;
  readonly nodeId: string;
  /** Node id of the relay. */
  readonly relay: string;
  readonly peers: PeerNetwork;
  /** Where the relay listens now; null if that can't be told. */
  readonly find: () => Promise<{ readonly host: string; readonly port: number } | null>;
}

/** One beat under way, as the session sends it. */
export interface RoutedBeat {
  readonly credential: string;
  readonly leasePack: string;
  readonly renewMs: number;
  readonly request: HeartbeatRequest;
}

export class RelayRoute {
  private readonly options: RelayRouteOptions;
  private readonly certificates = new Certificates();
  private address: { readonly host: string; readonly port: number } | null = null;
  private directUntilMs = Number.NEGATIVE_INFINITY;
  /** A moment at which a window of the relay opens, on this node's clock; null until the relay told one. */
  private windowAtMs: number | null = null;

  constructor(options: RelayRouteOptions) {
    this.options = options;
  }

  get relay(): string {
    return this.options.relay;
  }

  useKeys(ring: KeyRing): void {
    this.certificates.useKeys(ring);
  }

  /** Sends a beat through the relay. Null: beat directly, now. */
  async beat(beat: RoutedBeat): Promise<BeatAnswer | null> {
    const { clock, log } = this.options.environment;
    if (clock.monotonicMs() < this.directUntilMs) return null;
    const outcome = await this.attempt(beat);
    if (typeof outcome !== 'string') return outcome;
    // One miss is enough: the lease has two more periods, and the direct way is known to be good.
    log.warn('relay_missed', { relay: this.options.relay, sequence: beat.request.sequence, reason: outcome });
    this.directUntilMs = clock.monotonicMs() + RETURN_AFTER_MS;
    this.address = null;
    this.windowAtMs = null;
    return null;
  }

  /** When a beat that would be due at `dueMs` goes best: with those of the relay's other nodes. Never later. */
  aligned(dueMs: number, renewMs: number): number {
    if (this.windowAtMs === null) return dueMs;
    const lateMs = (((dueMs - this.windowAtMs) % renewMs) + renewMs) % renewMs;
    return lateMs > renewMs * (1 - EARLY_SHARE) ? dueMs : dueMs - lateMs;
  }

  /** The answer, or in words why there is none that counts. */
  private async attempt({ credential, leasePack, renewMs, request }: RoutedBeat): Promise<BeatAnswer | string> {
    const { clock, timers } = this.options.environment;
    const startedMs = clock.monotonicMs();
    const waitMs = renewMs * ANSWER_SHARE;
    // The look-up's own timeout may be longer than a period of the `fast` profile: the beat does not wait for it.
    this.address ??= await Promise.race([this.options.find(), timers.sleep(waitMs).then(() => null)]);
    if (this.address === null) return 'the relay is not found';
    const timeoutMs = waitMs - (clock.monotonicMs() - startedMs);
    if (timeoutMs <= 0) return 'the relay was found too late';
    const body: RelayedBeat = { node_id: this.options.nodeId, credential, lease_pack: leasePack, beat: request };
    const answer = await this.options.peers.call(this.address, '/relay/heartbeat', asJson(body), { timeoutMs });
    if (!answer.ok) return answer.error.message;
    if (answer.value.status !== 200) return `status ${answer.value.status}`;
    const renewed = renewedSchema.safeParse(answer.value.body);
    if (!renewed.success) return 'not renewed';
    const { result, receipt, next_in_ms: nextInMs } = renewed.data;
    const certified = this.certificates.verify(receipt.certificate, clock.wallMs());
    if (certified?.purpose !== 'command' || !verifyDocument(certified.key, receipt.renewals, receipt.signature))
      return 'not signed by the control plane';
    const renewals = renewalsSchema.safeParse(receipt.renewals);
    const own = renewals.data?.renewed.some(
      (entry) =>
        entry.node_id === this.options.nodeId &&
        entry.node_epoch === request.node_epoch &&
        entry.incarnation === request.incarnation &&
        entry.sequence === request.sequence,
    );
    if (own !== true) return 'this beat is not among the renewed';
    this.windowAtMs = clock.monotonicMs() + Math.min(nextInMs, renewMs);
    // What the signature does not cover is set to what it does.
    return { ...result.answer, sequence: request.sequence, node_epoch: request.node_epoch };
  }
}

/** A beat has optional fields, which are left out when missing: it is JSON, though not to the compiler. */
const asJson = (beat: RelayedBeat): Json => beat as unknown as Json;
