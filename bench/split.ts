import { splitMergeCalls } from '../shared/contracts/api/split-merge.ts';
import { runLive, TABLE } from './load/live.ts';
import type { LiveCluster, LiveFigures } from './load/live.ts';
import { megabytes, Rows, rowsOf } from './load/rows.ts';

/**
 * A shard of 512 MB is split again and again in the middle of its rows, each time the largest one, while clients read and write.
 * Pass: no failed request, no lost row, the p99 in busy windows at most twice that of quiet ones, no shard locked inside a node
 * for more than 1 ms (p99).
 */
export interface SplitFigures extends LiveFigures {
  readonly pass: boolean;
  readonly splits: number;
  readonly shard_mb: number;
  /** From the request to the end of the operation, s: the first split, of the whole shard, and the slowest. */
  readonly first_split_seconds: number;
  readonly split_seconds_max: number;
}

export interface SplitOptions {
  readonly megabytes: number;
  readonly keep: boolean;
}

/** As few as the replication factor asks for: load generator, control plane and nodes share the processors of one machine. */
const NODES = 3;
const PAIRS = 5;
const WINDOW_MS = 12_000;
const SPLIT_MS_MAX = 120_000;

export async function runSplit(options: SplitOptions, say: (line: string) => void): Promise<SplitFigures> {
  const rows = new Rows([{ prefix: 'r', rows: rowsOf(options.megabytes * 1e6) }]);
  const seconds: number[] = [];
  const live = { nodes: NODES, zones: NODES, rows, pairs: PAIRS, windowMs: WINDOW_MS, keep: options.keep };
  const { met, figures } = await runLive(live, say, {
    work: async (running, untilMs) => {
      do seconds.push(await splitLargest(running));
      while (performance.now() < untilMs);
    },
    after: () => Promise.resolve({}),
  });
  return {
    pass: met,
    ...figures,
    splits: seconds.length,
    shard_mb: megabytes(rowsOf(options.megabytes * 1e6)),
    first_split_seconds: seconds[0] ?? 0,
    split_seconds_max: Math.max(...seconds),
  };
}

/** Answers how long it took, s. */
async function splitLargest({ cluster, rows }: LiveCluster): Promise<number> {
  const sized = (await cluster.shards(TABLE)).map((shard) => ({
    shardId: shard.shard_id,
    rows: rows.countBetween(shard.data_range_start, shard.data_range_end),
  }));
  const [largest] = sized.toSorted((left, right) => right.rows - left.rows);
  if (largest === undefined) throw new Error('the table has no shards');
  const startMs = performance.now();
  const answer = await cluster.call('POST', `/shards/${largest.shardId}/split`, {});
  const { operation_id: operationId } = splitMergeCalls.splitShard.response.parse(answer);
  if (operationId === null) throw new Error('the split was not started');
  await cluster.applied(operationId, SPLIT_MS_MAX);
  return Math.round(performance.now() - startMs) / 1000;
}
