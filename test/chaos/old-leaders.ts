import { setTimeout as sleep } from 'node:timers/promises';
import { systemNetwork } from '../../client/index.ts';
import { getRowResponseSchema } from '../../shared/contracts/data/rows.ts';
import type { SeededRandom } from '../simulation/random.ts';
import type { Api } from './api.ts';
import { REGISTERS, TABLE } from './workload.ts';
import type { Workload } from './workload.ts';

/**
 * Readers that do not follow the routes: present and former leaders are asked directly, each under the epoch at which it led. What a
 * leader answers that does not know yet that it is none is part of the histories, and of the serve logs.
 */
const READERS = 2;
const LEARN_EVERY_MS = 400;
const ASK_EVERY_MS = [20, 120] as const;
/** Of a shard's last terms, how many are asked. */
const TERMS_ASKED = 3;
/** Longer than any freeze: a request that waits in a frozen process is answered when it wakes. */
const TIMEOUT_MS = 12_000;

interface Term {
  readonly shardId: string;
  readonly epoch: number;
  readonly nodeId: string;
  readonly from: string;
  readonly to: string | null;
}

export class OldLeaders {
  private readonly api: Api;
  private readonly workload: Workload;
  private readonly token: string;
  private readonly random: SeededRandom;
  private readonly network = systemNetwork();
  private readonly terms = new Map<string, Term[]>();
  private addresses = new Map<string, string>();
  private readonly stopping = new AbortController();

  constructor(parts: { api: Api; workload: Workload; token: string; random: SeededRandom }) {
    this.api = parts.api;
    this.workload = parts.workload;
    this.token = parts.token;
    this.random = parts.random;
  }

  start(): void {
    void this.repeat(
      () => this.learn(),
      () => LEARN_EVERY_MS,
    );
    for (let reader = 1; reader <= READERS; reader++) {
      const name = `old-leader-reader-${reader}`;
      const random = this.random.fork(name);
      // Not one after the other: a request may hang in a frozen process.
      void this.repeat(
        async () => void this.ask(name, random),
        () => random.between(...ASK_EVERY_MS),
      );
    }
  }

  stop(): void {
    this.stopping.abort();
    this.network.close();
  }

  private async repeat(work: () => Promise<void>, pauseMs: () => number): Promise<void> {
    while (!this.stopping.signal.aborted) {
      await work();
      await sleep(pauseMs());
    }
  }

  private async learn(): Promise<void> {
    try {
      const [shards, nodes] = await Promise.all([this.api.shards(TABLE), this.api.nodes()]);
      this.addresses = new Map(nodes.map(({ node_id, host, port }) => [node_id, `http://${host}:${port}`]));
      for (const shard of shards) {
        const terms = this.terms.get(shard.shard_id) ?? [];
        const { epoch, leader: nodeId, data_range_start: from, data_range_end: to } = shard;
        const last = terms.at(-1);
        if (last?.epoch === epoch && last.from === from && last.to === to) continue;
        const term = { shardId: shard.shard_id, epoch, nodeId, from, to };
        this.terms.set(shard.shard_id, [...terms, term].slice(-TERMS_ASKED));
      }
    } catch {
      // The control plane is dead, frozen or busy: what was known is what old leaders are asked for anyway.
    }
  }

  private async ask(name: string, random: SeededRandom): Promise<void> {
    const shards = [...this.terms.values()];
    if (shards.length === 0) return;
    const { shardId, epoch, nodeId, from, to } = random.pick(random.pick(shards));
    const keys = REGISTERS.filter((register) => register >= from && (to === null || register < to));
    const address = this.addresses.get(nodeId);
    if (keys.length === 0 || address === undefined) return;
    const key = random.pick(keys);
    const startMs = performance.now();
    const outcome = await this.network.call({
      method: 'POST',
      url: `${address}/data/get`,
      bearer: this.token,
      body: { table: TABLE, shard_id: shardId, epoch, key },
      timeoutMs: TIMEOUT_MS,
    });
    if (outcome.kind !== 'ANSWERED' || outcome.status !== 200) return;
    const row = getRowResponseSchema.parse(outcome.body);
    this.workload.counts.oldLeaderReads++;
    const value = row.found && typeof row.value === 'string' ? row.value : null;
    this.workload.recorder.noteRead(key, { client: name, value, startMs, endMs: performance.now() });
  }
}
