import type { RegisterResponse } from '../../shared/contracts/node/heartbeat.ts';
import { leaseHeld, newLease, sequenceAcknowledged, sequenceSent } from './lease.ts';
import type { LeaseState } from './lease.ts';

/** Why a session ended. */
export type SessionEnd =
  /** The control plane raised the node epoch: everything held under the old one is void. */
  | 'FENCED'
  /** The credential is no longer accepted, or the node is unknown: register again. */
  | 'CREDENTIAL_REFUSED'
  | 'STOPPED';

/**
 * What one registration gives: identity, credential, lease. After a fence the whole object is dropped, so that an answer to
 * an earlier incarnation's request can change nothing of a later one.
 */
export class Session {
  readonly nodeEpoch: number;
  readonly incarnation: string;
  readonly renewMs: number;
  readonly leaseMs: number;
  /** The pack that holds the lease, for beats through a relay; null: beats go directly. */
  readonly leasePack: string | null;
  private currentCredential: string;
  private lease: LeaseState;
  private sequence = 0;
  private mail = 0;
  private readonly aborter = new AbortController();
  private endedBy: SessionEnd | null = null;

  constructor(response: RegisterResponse, incarnation: string) {
    this.nodeEpoch = response.node_epoch;
    this.incarnation = incarnation;
    this.renewMs = response.settings.renew_ms;
    this.leaseMs = response.settings.lease_ms;
    this.leasePack = response.lease_pack;
    this.currentCredential = response.credential;
    this.lease = newLease({ leaseMs: response.settings.lease_ms, driftBoundMs: response.settings.drift_bound_ms });
  }

  /** Aborts when the session ends. */
  get signal(): AbortSignal {
    return this.aborter.signal;
  }

  get ended(): SessionEnd | null {
    return this.endedBy;
  }

  get credential(): string {
    return this.currentCredential;
  }

  /** `mail` of the last answer whose commands were all taken; 0 before the first one. */
  get mailSeen(): number {
    return this.mail;
  }

  end(reason: SessionEnd): void {
    if (this.endedBy !== null) return;
    this.endedBy = reason;
    this.aborter.abort();
  }

  leaseHeldAt(nowMs: number): boolean {
    return this.endedBy === null && leaseHeld(this.lease, nowMs);
  }

  /** The next sequence, whose send is now (L3). */
  nextSequence(nowMs: number): number {
    this.sequence++;
    this.lease = sequenceSent(this.lease, this.sequence, nowMs);
    return this.sequence;
  }

  acknowledged(sequence: number): void {
    this.lease = sequenceAcknowledged(this.lease, sequence);
  }

  renewCredential(credential: string): void {
    this.currentCredential = credential;
  }

  mailTaken(mail: number): void {
    this.mail = Math.max(this.mail, mail);
  }
}
