import { setTimeout as sleep } from 'node:timers/promises';
import { ClientError, connect } from '../../client/index.ts';
import type { ShardkeeperClient } from '../../client/index.ts';
import { HistoryRecorder } from '../history/recorder.ts';
import type { SentWrite } from '../history/recorder.ts';
import { seededRandom } from '../simulation/random.ts';
import type { SeededRandom } from '../simulation/random.ts';

/**
 * Clients of the client library that read and write all the time: a few keys again and again, whose histories are checked for
 * linearizability, and rows of their own that are written once and must be there at the end. All clocks are this process's.
 */

export const TABLE = 'chaos';
const CLIENTS = 6;
/** Prefixes of the keys; shards begin and end between them. */
const LETTERS = ['a', 'b', 'c', 'd', 'e', 'f'];
const REGISTERS_A_LETTER = 2;
export const PRE_SPLIT = ['c', 'e'];

/** Shares of what a client does. */
const SHARES = { get: 0.45, put: 0.32, delete: 0.06, scan: 0.05, batch: 0.05, row: 0.07 };
/** Milliseconds between two requests of one client. */
const THINK_MS = [5, 35] as const;
/** A request is given up after this long: its outcome is unknown then, and the client goes on. */
const DEADLINE_MS = 6_000;
/** Time that the final reads and the final scan may take each. */
const FINAL_DEADLINE_MS = 60_000;

export const REGISTERS: readonly string[] = LETTERS.flatMap((letter) =>
  Array.from({ length: REGISTERS_A_LETTER }, (_, index) => `${letter}/${index}`),
);
/** Keys between which a shard may be split. */
export const SPLIT_KEYS: readonly string[] = LETTERS.flatMap((letter) => [letter, `${letter}/1`, `${letter}/row-c3`]);

const registersOf = (letter: string): readonly string[] =>
  REGISTERS.filter((register) => register.startsWith(`${letter}/`));

type Action = keyof typeof SHARES;

export class Workload {
  readonly recorder = new HistoryRecorder();
  /** Rows that were written once and acknowledged, with their values. */
  readonly rows = new Map<string, string>();
  readonly counts = {
    requests: 0,
    acknowledged: 0,
    unknown: 0,
    refused: 0,
    reads: 0,
    readsFailed: 0,
    oldLeaderReads: 0,
  };
  /** Failures of requests by their last problem, shortened. */
  readonly failures = new Map<string, number>();
  private readonly url: string;
  private readonly token: string;
  private readonly random: SeededRandom;
  private readonly stopping = new AbortController();
  private readonly loops: Promise<void>[] = [];
  private values = 0;

  constructor(options: { readonly url: string; readonly token: string; readonly seed: number }) {
    this.url = options.url;
    this.token = options.token;
    this.random = seededRandom(`${options.seed}/clients`);
  }

  start(): void {
    for (let number = 1; number <= CLIENTS; number++) this.loops.push(this.run(`c${number}`, number));
    // A failure is thrown by stop(), not in the middle of something else.
    for (const loop of this.loops) loop.catch(() => undefined);
  }

  /** Ends the clients, each after its present request. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.loops);
  }

  /** Reads every register and every row back, by a client of its own. Answers the rows that are not there as they were acknowledged. */
  async readBack(): Promise<readonly string[]> {
    const { client, close } = connect({ url: this.url, token: this.token, deadlineMs: FINAL_DEADLINE_MS });
    try {
      for (const register of REGISTERS) await this.get('final reader', client, register);
      const found = new Map<string, unknown>();
      for await (const { key, value } of client.scan(TABLE)) found.set(key, value);
      return [...this.rows].filter(([key, value]) => found.get(key) !== value).map(([key]) => key);
    } finally {
      close();
    }
  }

  private async run(name: string, number: number): Promise<void> {
    // Half of the clients follow the changes of routes, half look them up when they are refused.
    const followRoutes = number % 2 === 0 ? 'in-background' : 'no';
    const options = { url: this.url, token: this.token, deadlineMs: DEADLINE_MS, followRoutes } as const;
    const { client, close } = connect(options);
    const random = this.random.fork(name);
    try {
      for (let round = 0; !this.stopping.signal.aborted; round++) {
        await this.act(name, client, random, round);
        await sleep(random.between(...THINK_MS));
      }
    } finally {
      close();
    }
  }

  private async act(name: string, client: ShardkeeperClient, random: SeededRandom, round: number): Promise<void> {
    const register = random.pick(REGISTERS);
    const letter = random.pick(LETTERS);
    const row = `${letter}/row-${name}-${String(round).padStart(6, '0')}`;
    switch (drawn(random)) {
      case 'get':
        return this.get(name, client, register).catch(this.noteFailure);
      case 'scan':
        return this.scan(name, client, letter).catch(this.noteFailure);
      case 'put':
        return this.put(name, client, register);
      case 'delete':
        return this.delete(name, client, register);
      case 'row':
        return this.writeRow(client, row, this.newValue(name));
      case 'batch':
        return this.batch(name, client, registersOf(letter), row);
    }
  }

  private async get(name: string, client: ShardkeeperClient, register: string): Promise<void> {
    this.counts.requests++;
    await this.recorder.read(name, register, async () => textOf((await client.get(TABLE, register))?.value));
    this.counts.reads++;
  }

  /** What a scan finds, and what it does not find, are reads between its beginning and its end. */
  private async scan(name: string, client: ShardkeeperClient, letter: string): Promise<void> {
    this.counts.requests++;
    const startMs = performance.now();
    const found = new Map<string, string | null>();
    const range = { startKey: `${letter}/0`, endKey: `${letter}/${REGISTERS_A_LETTER}` };
    for await (const { key, value } of client.scan(TABLE, range)) found.set(key, textOf(value));
    this.counts.reads++;
    const endMs = performance.now();
    for (const register of registersOf(letter))
      this.recorder.noteRead(register, { client: name, value: found.get(register) ?? null, startMs, endMs });
  }

  /** Two registers and a row of one's own: if they lie in one shard, one write. */
  private async batch(
    name: string,
    client: ShardkeeperClient,
    registers: readonly string[],
    row: string,
  ): Promise<void> {
    this.counts.requests++;
    const own = this.newValue(name);
    const rows = [row, ...registers].map((key) => {
      const value = key === row ? own : this.newValue(name);
      return { op: 'put' as const, key, value };
    });
    const sent = new Map<string, SentWrite>(
      rows.flatMap(({ key, value }) => (key === row ? [] : [[key, this.recorder.begin(name, key, value)]])),
    );
    const { acknowledged, failures } = await client.batch(TABLE, rows);
    for (const one of acknowledged) {
      if (one.key === row) this.rows.set(row, own);
      sent.get(one.key)?.acknowledged();
    }
    if (failures.length === 0) this.counts.acknowledged++;
    for (const { rows: failed, error } of failures) {
      this.countFailedWrite(error);
      for (const { key } of failed) sent.get(key)?.failed(error);
    }
  }

  private async writeRow(client: ShardkeeperClient, row: string, value: string): Promise<void> {
    await this.counted(client.put(TABLE, row, value), () => this.rows.set(row, value));
  }

  private async put(name: string, client: ShardkeeperClient, register: string): Promise<void> {
    const value = this.newValue(name);
    await this.counted(this.recorder.write(name, register, value, () => client.put(TABLE, register, value)));
  }

  private async delete(name: string, client: ShardkeeperClient, register: string): Promise<void> {
    await this.counted(this.recorder.write(name, register, null, () => client.delete(TABLE, register)));
  }

  private async counted(write: Promise<unknown>, acknowledged: () => void = () => undefined): Promise<void> {
    this.counts.requests++;
    try {
      await write;
      this.counts.acknowledged++;
      acknowledged();
    } catch (error) {
      this.countFailedWrite(error);
    }
  }

  private countFailedWrite(error: unknown): void {
    if (error instanceof ClientError && error.outcome === 'NOT_APPLIED') this.counts.refused++;
    else this.counts.unknown++;
    this.note(error);
  }

  private readonly noteFailure = (error: unknown): void => {
    this.counts.readsFailed++;
    this.note(error);
  };

  /** Anything but a ClientError is a bug. */
  private note(error: unknown): void {
    if (!(error instanceof ClientError)) throw error;
    const problem = error.cause instanceof Error ? error.cause.message : error.message;
    const text = problem.replaceAll(/\d+(\.\d+)*/g, 'N').slice(0, 100);
    this.failures.set(text, (this.failures.get(text) ?? 0) + 1);
  }

  private newValue(name: string): string {
    return `${name}-${++this.values}`;
  }
}

function drawn(random: SeededRandom): Action {
  let left = random.next();
  for (const [action, share] of Object.entries(SHARES) as [Action, number][]) {
    left -= share;
    if (left < 0) return action;
  }
  return 'get';
}

const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);
