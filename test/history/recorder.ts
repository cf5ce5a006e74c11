import { ClientError } from '../../client/index.ts';
import { checkRegister } from './linearizability.ts';
import type { RegisterOperation, RegisterRead, RegisterWrite } from './operations.ts';

/** A write that was sent. */
export interface SentWrite {
  /** It was acknowledged. */
  acknowledged(): void;
  /** It failed: left out if no attempt can have had an effect, of unknown outcome otherwise. */
  failed(error: unknown): void;
}

/** Takes down what clients of the client library do and see, key by key, on the clock of the process that they all run in. */
export class HistoryRecorder {
  readonly histories = new Map<string, RegisterOperation[]>();
  private readonly nowMs: () => number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.nowMs = nowMs;
  }

  /** Reads by `get`, which answers null for nothing. Throws what it throws: a read without an answer is no part of a history. */
  async read(client: string, key: string, get: () => Promise<string | null>): Promise<string | null> {
    const startMs = this.nowMs();
    const value = await get();
    this.noteRead(key, { client, value, startMs, endMs: this.nowMs() });
    return value;
  }

  /** Puts `value`, or deletes if it is null, by `send`; throws what it throws. */
  async write(client: string, key: string, value: string | null, send: () => Promise<unknown>): Promise<void> {
    const sent = this.begin(client, key, value);
    try {
      await send();
    } catch (error) {
      sent.failed(error);
      throw error;
    }
    sent.acknowledged();
  }

  /** A write is noted before it is sent: it may take effect although no answer ever comes. */
  begin(client: string, key: string, value: string | null): SentWrite {
    type Open = Omit<RegisterWrite, 'endMs'> & { endMs: number | null };
    const operation: Open = { kind: 'write', value, startMs: this.nowMs(), endMs: null, client };
    const history = this.historyOf(key);
    history.push(operation);
    return {
      acknowledged: () => {
        operation.endMs = this.nowMs();
      },
      failed: (error) => {
        // What was surely not applied must never be read: then it is a value that nobody wrote.
        if (error instanceof ClientError && error.outcome === 'NOT_APPLIED')
          history.splice(history.lastIndexOf(operation), 1);
      },
    };
  }

  /** A read that was made elsewhere, on the same clock. */
  noteRead(key: string, read: Omit<RegisterRead, 'kind'>): void {
    this.historyOf(key).push({ kind: 'read', ...read });
  }

  /** Why some history is not linearizable; empty if all are. */
  problems(): readonly string[] {
    return [...this.histories].flatMap(([key, history]) => checkRegister(key, history));
  }

  private historyOf(key: string): RegisterOperation[] {
    let history = this.histories.get(key);
    if (history === undefined) this.histories.set(key, (history = []));
    return history;
  }
}
