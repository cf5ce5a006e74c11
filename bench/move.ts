import { shardCalls } from '../shared/contracts/api/shards.ts';
import type { ShardView } from './load/cluster-process.ts';
import { runLive, TABLE } from './load/live.ts';
import type { LiveCluster, LiveFigures } from './load/live.ts';
import { megabytes, Rows, rowsOf } from './load/rows.ts';

/**
 * Leaders' replicas are moved between two nodes of a zone, one after another, each after the leadership was transferred to it, while
 * clients read and write. After that a shard of 512 MB is moved under the same load. Pass: no failed request, no lost row, the
 * p99 in busy windows at most twice that of quiet ones, the large shard there within 60 s.
 */
export interface MoveFigures extends LiveFigures {
  readonly pass: boolean;
  readonly moves: number;
  readonly leader_transfers: number;
  readonly move_seconds_max: number;
  /** Of the large shard, from the request to the end of the operation. */
  readonly seconds: number;
  readonly shard_mb: number;
  /** While the large shard was on its way. */
  readonly large_move_p99_ms: number | null;
}

export interface MoveOptions {
  /** Size of the large shard. */
  readonly megabytes: number;
  readonly keep: boolean;
}

/** The zone of the first node has two: one holds a replica, the other is where it goes. */
const NODES = 4;
const ZONES = 3;
const PAIR_OF_NODES = ['node-101', 'node-104'] as const;
const PAIRS = 5;
const WINDOW_MS = 12_000;
const LARGE = 'a';
/** Shards that move in the windows: 8 MB are half a second at 14 MB/s. */
const SMALL = ['b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'];
const SMALL_BYTES = 8e6;
const MOVE_MS_MAX = 180_000;
const SECONDS_MAX = 60;

export async function runMove(options: MoveOptions, say: (line: string) => void): Promise<MoveFigures> {
  const large = { prefix: LARGE, rows: rowsOf(options.megabytes * 1e6) };
  const rows = new Rows([large, ...SMALL.map((prefix) => ({ prefix, rows: rowsOf(SMALL_BYTES) }))]);
  const seconds: number[] = [];
  let transfers = 0;
  const live = { nodes: NODES, zones: ZONES, rows, pairs: PAIRS, windowMs: WINDOW_MS, keep: options.keep };
  const { met, figures, own } = await runLive(live, say, {
    work: async (running, untilMs) => {
      do {
        const prefix = SMALL[seconds.length % SMALL.length] ?? '';
        const shard = await shardOf(running, prefix);
        const { source } = ends(shard);
        if (shard.leader !== source) {
          await running.cluster.call('POST', `/shards/${shard.shard_id}/leader`, { new_leader_node_id: source });
          transfers++;
        }
        seconds.push(await move(running, shard));
      } while (performance.now() < untilMs);
    },
    after: async (running) => {
      const fromMs = performance.now();
      const largeSeconds = await move(running, await shardOf(running, ''));
      const during = running.since(fromMs);
      say(`${options.megabytes} MB moved in ${largeSeconds} s, p99 meanwhile ${during.p99Ms} ms`);
      return { seconds: largeSeconds, large_move_p99_ms: during.p99Ms };
    },
  });
  return {
    pass: met && own.seconds <= SECONDS_MAX,
    ...figures,
    ...own,
    moves: seconds.length,
    leader_transfers: transfers,
    move_seconds_max: Math.max(...seconds),
    shard_mb: megabytes(large.rows),
  };
}

async function shardOf({ cluster }: LiveCluster, startKey: string): Promise<ShardView> {
  const found = (await cluster.shards(TABLE)).find((shard) => shard.data_range_start === startKey);
  if (found === undefined) throw new Error(`no shard starts at '${startKey}'`);
  return found;
}

/** Which node of the pair holds a replica, and which does not. */
function ends(shard: ShardView): { readonly source: string; readonly target: string } {
  const source = PAIR_OF_NODES.find((nodeId) => shard.replicas.includes(nodeId));
  const target = PAIR_OF_NODES.find((nodeId) => nodeId !== source);
  if (source === undefined || target === undefined)
    throw new Error(`shard ${shard.shard_id} has no replica in the zone`);
  return { source, target };
}

/** Answers how long it took, s. */
async function move({ cluster }: LiveCluster, shard: ShardView): Promise<number> {
  const { source, target } = ends(shard);
  const startMs = performance.now();
  const answer = await cluster.call('POST', `/shards/${shard.shard_id}/move`, {
    target_node_id: target,
    source_node_id: source,
  });
  const { operation_id: operationId } = shardCalls.moveShard.response.parse(answer);
  if (operationId === null) throw new Error('the move was not started');
  await cluster.applied(operationId, MOVE_MS_MAX);
  return Math.round(performance.now() - startMs) / 1000;
}
