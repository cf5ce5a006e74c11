import * as z from 'zod';
import { RELAYED_BEATS_MAX } from '../../shared/contracts/node/relay.ts';
import type { HeartbeatsRequest, RelayedBeat } from '../../shared/contracts/node/relay.ts';
import { jsonSchema } from '../../shared/contracts/primitives.ts';
import type { Json } from '../../shared/domain/records.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { Environment } from '../ports.ts';
import { refusalOf } from './ports.ts';
import type { ControlPlaneAnswer } from './ports.ts';

/**
 * A node as a relay for others (L3): collects their beats for a short window, sends them as one request, and answers each only after
 * the control plane did. It keeps nothing: whoever gets no answer beats directly.
 */

/** Share of the renew period for which beats are collected: 100 ms of 1 s, so that waiting costs little of a lease of three periods. */
const WINDOW_SHARE = 0.1;
/** Share of the renew period that the request may take: with the window it ends before the nodes give their relay up (relay-route.ts). */
const CALL_SHARE = 0.3;
/** Beats that wait or are under way; beyond it nodes are told to beat directly. Two full packs, one waiting and one under way. */
const BEATS_MAX = 2 * RELAYED_BEATS_MAX;

const responseSchema = z.object({ results: z.array(jsonSchema).max(RELAYED_BEATS_MAX), receipt: jsonSchema });

export interface RelayAnswer {
  /** As the control plane wrote them: a relay changes nothing, and need not understand what is newer than itself. */
  readonly result: Json;
  readonly receipt: Json;
  /** Milliseconds until the next window opens. */
  readonly next_in_ms: number;
}

export interface RelayRefusal {
  readonly code: 'NOT_A_RELAY' | 'RELAY_FULL' | 'RELAY_UNANSWERED';
  readonly message: string;
}

type Taken = Result<RelayAnswer, RelayRefusal>;

export interface RelayOptions {
  readonly environment: Environment;
  /** Sends beats as the relay's own node; null while it is not registered. */
  readonly send: (
    request: HeartbeatsRequest,
    timeoutMs: number,
  ) => Promise<Result<ControlPlaneAnswer, { readonly code: string; readonly message: string }>>;
  /** Milliseconds between two beats of a node; null while the relay is not registered. */
  readonly renewMs: () => number | null;
}

interface Waiting {
  readonly beat: RelayedBeat;
  readonly answer: (taken: Taken) => void;
}

export class Relay {
  private readonly options: RelayOptions;
  private waiting: Waiting[] = [];
  private underWay = 0;

  constructor(options: RelayOptions) {
    this.options = options;
  }

  /** One node's beat; the promise settles when the control plane answered, or not. Never rejects. */
  take(beat: RelayedBeat): Promise<Taken> {
    const renewMs = this.options.renewMs();
    if (renewMs === null) return Promise.resolve(refuse('NOT_A_RELAY', 'the relay is not registered itself'));
    if (this.waiting.length + this.underWay >= BEATS_MAX)
      return Promise.resolve(refuse('RELAY_FULL', `the relay carries ${BEATS_MAX} beats already`));
    return new Promise((resolve) => {
      this.waiting.push({ beat, answer: resolve });
      if (this.waiting.length === RELAYED_BEATS_MAX) void this.flush(renewMs);
      else if (this.waiting.length === 1) this.openWindow(renewMs);
    });
  }

  private openWindow(renewMs: number): void {
    const first = this.waiting[0];
    void this.options.environment.timers.sleep(renewMs * WINDOW_SHARE).then(() => {
      // A window that filled up before its end was sent already; what waits now has a window of its own.
      if (this.waiting[0] === first) void this.flush(renewMs);
    });
  }

  private async flush(renewMs: number): Promise<void> {
    const batch = this.waiting;
    this.waiting = [];
    this.underWay += batch.length;
    const answered = await this.forward(batch, renewMs);
    this.underWay -= batch.length;
    for (const [index, { answer }] of batch.entries()) {
      const result = answered.ok ? answered.value.results[index] : undefined;
      if (answered.ok && result !== undefined)
        answer(ok({ result, receipt: answered.value.receipt, next_in_ms: this.nextInMs(renewMs) }));
      else answer(refuse('RELAY_UNANSWERED', answered.ok ? 'the answer lacks this beat' : answered.error));
    }
  }

  private async forward(batch: readonly Waiting[], renewMs: number) {
    try {
      const request = { beats: batch.map(({ beat }) => beat) };
      const answer = await this.options.send(request, renewMs * CALL_SHARE);
      if (!answer.ok) return err(answer.error.message);
      if (answer.value.status !== 200) return err(refusalOf(answer.value).message);
      const parsed = responseSchema.safeParse(answer.value.body);
      return parsed.success ? ok(parsed.data) : err('the answer is unreadable');
    } catch (error) {
      return err(String(error));
    }
  }

  /** Windows open at fixed times of the relay's clock, so that the beats of all its nodes come to fall into one. */
  private nextInMs(renewMs: number): number {
    return renewMs - (this.options.environment.clock.monotonicMs() % renewMs);
  }
}

const refuse = (code: RelayRefusal['code'], message: string): Taken => err({ code, message });
