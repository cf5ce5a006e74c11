import { setTimeout as sleep } from 'node:timers/promises';
import type { SeededRandom } from '../simulation/random.ts';
import type { Api, NodeView, ShardView } from './api.ts';
import { SPLIT_KEYS, TABLE } from './workload.ts';

/** An operator who changes the structure of the table now and then, whatever else goes on. */

const BETWEEN_MS = [3_000, 8_000] as const;
/** Shards beyond which none is split. */
const SHARDS_MAX = 8;

interface Request {
  readonly kind: 'split' | 'merge' | 'move' | 'transfer';
  readonly path: string;
  readonly body: unknown;
}

export class Operator {
  /** Requests by kind and what came of them: STARTED, the code of the refusal, or NO_ANSWER. */
  readonly counts = new Map<string, number>();
  private readonly api: Api;
  private readonly random: SeededRandom;
  private readonly say: (line: string) => void;
  private readonly stopping = new AbortController();
  private loop: Promise<void> = Promise.resolve();

  constructor(api: Api, random: SeededRandom, say: (line: string) => void) {
    this.api = api;
    this.random = random;
    this.say = say;
  }

  start(): void {
    this.loop = this.run();
    // A failure is thrown by stop(), not in the middle of something else.
    this.loop.catch(() => undefined);
  }

  /** Asks for nothing new. What was started goes on. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.loop;
  }

  private async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      await sleep(this.random.between(...BETWEEN_MS), undefined, { signal: this.stopping.signal }).catch(
        () => undefined,
      );
      if (this.stopping.signal.aborted) return;
      await this.ask();
    }
  }

  private async ask(): Promise<void> {
    let what = 'look';
    try {
      const [shards, nodes] = await Promise.all([this.api.shards(TABLE), this.api.nodes()]);
      const request = this.choose(shards, nodes);
      if (request === null) return;
      what = request.kind;
      const answer = await this.api.send('POST', request.path, request.body);
      const outcome = answer.status === 200 ? 'STARTED' : codeOf(answer.body);
      this.count(`${what}: ${outcome}`);
      this.say(`operator: ${what}: ${outcome}`);
    } catch {
      // The control plane is dead or frozen.
      this.count(`${what}: NO_ANSWER`);
    }
  }

  private choose(shards: readonly ShardView[], nodes: readonly NodeView[]): Request | null {
    const shard = shards.length === 0 ? null : this.random.pick(shards);
    if (shard === null) return null;
    const path = `/shards/${shard.shard_id}`;
    const kind = this.random.pick(['split', 'merge', 'move', 'move', 'transfer'] as const);
    switch (kind) {
      case 'split': {
        const { data_range_start: from, data_range_end: to } = shard;
        const keys = SPLIT_KEYS.filter((key) => key > from && (to === null || key < to));
        if (keys.length === 0 || shards.length >= SHARDS_MAX) return null;
        return { kind, path: `${path}/split`, body: { split_key: this.random.pick(keys) } };
      }
      case 'merge':
        return shards.length === 1 ? null : { kind, path: `${path}/merge`, body: {} };
      case 'move': {
        const free = nodes.filter(({ node_id }) => !shard.replicas.includes(node_id));
        if (free.length === 0) return null;
        return { kind, path: `${path}/move`, body: { target_node_id: this.random.pick(free).node_id } };
      }
      case 'transfer':
        return { kind, path: `${path}/leader`, body: { new_leader_node_id: this.random.pick(shard.replicas) } };
    }
  }

  private count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}

const codeOf = (body: unknown): string =>
  typeof body === 'object' && body !== null && 'code' in body ? String(body.code) : 'UNKNOWN_REFUSAL';
