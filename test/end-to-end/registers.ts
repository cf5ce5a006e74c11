import assert from 'node:assert/strict';
import { ClientError } from '../../client/index.ts';
import type { ShardkeeperClient } from '../../client/index.ts';
import { HistoryRecorder } from '../history/recorder.ts';
import { TABLE } from './world.ts';

/** Clients that put, delete and read a few keys at once, through a failover, and whether one order explains what they saw. */

const KEYS = ['failover-register', 'h-register', 'q-register'];
const CLIENTS_A_KEY = 3;
const PAUSE_MS = 25;
/** Short against a failover: some outcomes stay unknown, as they do for programs that do not wait. */
const DEADLINE_MS = 2_000;
/** What each client does, again and again; every one begins at another place. */
const ACTIONS = ['put', 'get', 'get', 'put', 'get', 'delete'] as const;

export class Registers {
  private readonly client: ShardkeeperClient;
  private readonly recorder = new HistoryRecorder();
  private readonly stopping = new AbortController();
  private readonly loops: readonly Promise<void>[];
  private values = 0;
  private unanswered = 0;

  constructor(client: ShardkeeperClient) {
    this.client = client;
    this.loops = KEYS.flatMap((key) =>
      Array.from({ length: CLIENTS_A_KEY }, (_, number) => this.loop(`client-${number + 1}`, key, number)),
    );
    // A failure is thrown by check(), not in the middle of something else.
    for (const loop of this.loops) loop.catch(() => undefined);
  }

  /** Ends the clients and checks each key's history (I-6); tells what it was. */
  async check(): Promise<string> {
    this.stopping.abort();
    await Promise.all(this.loops);
    for (const key of KEYS) await this.recorder.read('last reader', key, () => this.get(key, {}));
    assert.deepEqual(this.recorder.problems(), []);
    const operations = [...this.recorder.histories.values()].reduce((sum, history) => sum + history.length, 0);
    return `${operations} operations on ${KEYS.length} keys are linearizable, ${this.unanswered} of them unanswered`;
  }

  private async loop(name: string, key: string, first: number): Promise<void> {
    for (let number = first; !this.stopping.signal.aborted; number++) {
      try {
        await this.act(name, key, ACTIONS[number % ACTIONS.length] ?? 'get');
      } catch (error) {
        if (!(error instanceof ClientError && error.code === 'DEADLINE')) throw error;
        this.unanswered++;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  private async act(name: string, key: string, action: (typeof ACTIONS)[number]): Promise<void> {
    const options = { deadlineMs: DEADLINE_MS };
    switch (action) {
      case 'get':
        await this.recorder.read(name, key, () => this.get(key, options));
        return;
      case 'put': {
        const value = `value-${++this.values}`;
        return this.recorder.write(name, key, value, () => this.client.put(TABLE, key, value, options));
      }
      case 'delete':
        return this.recorder.write(name, key, null, () => this.client.delete(TABLE, key, options));
    }
  }

  private async get(key: string, options: { readonly deadlineMs?: number }): Promise<string | null> {
    const row = await this.client.get(TABLE, key, options);
    return row !== null && typeof row.value === 'string' ? row.value : null;
  }
}
