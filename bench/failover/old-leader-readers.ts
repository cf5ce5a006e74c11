import { Agent, request } from 'node:http';
import type { ShardView } from '../load/cluster-process.ts';

/**
 * Readers that do not follow the routes: each shard's present and former leaders are asked directly, under the epochs at
 * which they led. A leader that was stopped finds their requests in its sockets when it goes on; what it answers then shows
 * in the serve logs.
 */
const ASK_EVERY_MS = 200;
/** Longer than any stop: the request must wait in the stopped process. */
const TIMEOUT_MS = 60_000;
/** Former terms that are still asked. */
const TERMS_MAX = 2;
/** Requests that wait at one node for one shard; a stopped node needs no more than this to be caught. */
const WAITING_MAX = 20;

interface Term {
  readonly nodeId: string;
  readonly epoch: number;
  readonly host: string;
  readonly port: number;
  /** A key of the shard. */
  readonly key: string;
  waiting: number;
}

export class OldLeaderReaders {
  private readonly terms = new Map<string, Term[]>();
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 64 });
  private readonly timer: NodeJS.Timeout;
  private readonly table: string;
  private readonly token: string;
  private round = 0;
  /** Reads that were answered, and refused. */
  readonly counts = { answered: 0, refused: 0 };

  constructor(options: { table: string; token: string }) {
    this.table = options.table;
    this.token = options.token;
    this.timer = setInterval(() => this.askAll(), ASK_EVERY_MS);
  }

  /** Takes note of who leads. */
  learn(shards: readonly ShardView[], addressOf: (nodeId: string) => { host: string; port: number } | undefined): void {
    for (const shard of shards) {
      const terms = this.terms.get(shard.shard_id) ?? [];
      if (terms.some((term) => term.epoch === shard.epoch)) continue;
      const address = addressOf(shard.leader);
      if (address === undefined) continue;
      // The first shard starts at '', which is no key.
      const key = shard.data_range_start === '' ? '0' : shard.data_range_start;
      const term = { nodeId: shard.leader, epoch: shard.epoch, ...address, key, waiting: 0 };
      this.terms.set(shard.shard_id, [...terms, term].slice(-TERMS_MAX - 1));
    }
  }

  stop(): void {
    clearInterval(this.timer);
    this.agent.destroy();
  }

  private askAll(): void {
    this.round++;
    for (const [shardId, terms] of this.terms) {
      // In turn: the leader, and those that led before.
      const term = terms.at(-1 - (this.round % terms.length));
      if (term !== undefined && term.waiting < WAITING_MAX) this.ask(shardId, term);
    }
  }

  private ask(shardId: string, term: Term): void {
    term.waiting++;
    const body = JSON.stringify({
      table: this.table,
      shard_id: shardId,
      epoch: term.epoch,
      key: term.key,
    });
    const outgoing = request(
      {
        agent: this.agent,
        host: term.host,
        port: term.port,
        path: '/data/get',
        method: 'POST',
        timeout: TIMEOUT_MS,
        headers: {
          authorization: `Bearer ${this.token}`,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
        },
      },
      (answer) => {
        if (answer.statusCode === 200) this.counts.answered++;
        else this.counts.refused++;
        answer.resume();
      },
    );
    outgoing.on('error', () => undefined); // a dead node: that is what the kills are for
    outgoing.on('timeout', () => outgoing.destroy());
    outgoing.on('close', () => term.waiting--);
    outgoing.end(body);
  }
}
