import { setTimeout as sleep } from 'node:timers/promises';
import { rebalanceCalls } from '../shared/contracts/api/rebalance.ts';
import { until } from './load/cluster-process.ts';
import type { OperationView } from './load/cluster-process.ts';
import { runLive, TABLE } from './load/live.ts';
import type { LiveCluster, LiveFigures } from './load/live.ts';
import { Rows, rowsOf } from './load/rows.ts';

/**
 * A node joins a cluster of three, and one rebalance gives it its share of replicas and leaders while clients read and write: it goes
 * on in the busy windows and is paused in the quiet ones. Pass: no failed request, no lost row, the p99 in busy windows at most
 * twice that of quiet ones, and the replicas even at the end.
 */
export interface RebalanceFigures extends LiveFigures {
  readonly pass: boolean;
  /** What the plan asked for. */
  readonly rebalanced_shards: number;
  readonly moved_in_windows: number;
  /** Replicas of the zone's two nodes at the end: of the fuller one over the mean. */
  readonly replicas_max_over_mean: number;
}

export interface RebalanceOptions {
  readonly keep: boolean;
}

const NODES = 3;
const ZONES = 3;
/** Same zone as the first node, so that rows move and every shard keeps a replica in each zone. */
const NEW_NODE = { nodeId: 'node-104', zone: 'a', besides: 'node-101' };
const PAIRS = 5;
const WINDOW_MS = 12_000;
/** So many that the plan has work for all busy windows at the pace below. */
const SHARDS = 160;
const SHARD_BYTES = 1e6;
/**
 * One every 2 s: some of the 80 replicas and the leaders of the plan in the minute that the busy windows make up, the rest after them. The
 * default of 100 an hour would show nothing in that time; the other limits are the defaults.
 */
const LIMITS = { moves_per_hour: 1_800 } as const;
const POLL_MS = 250;
const FINISH_MS_MAX = 180_000;
const ENDED = ['SUCCEEDED', 'FAILED', 'CANCELLED'];

export async function runRebalanceLive(
  options: RebalanceOptions,
  say: (line: string) => void,
): Promise<RebalanceFigures> {
  const prefixOf = (index: number): string => `s${String(index).padStart(3, '0')}/`;
  const ranges = Array.from({ length: SHARDS }, (_, index) => ({ prefix: prefixOf(index), rows: rowsOf(SHARD_BYTES) }));
  const live = {
    nodes: NODES,
    zones: ZONES,
    rows: new Rows(ranges),
    pairs: PAIRS,
    windowMs: WINDOW_MS,
    ...options,
  };
  let operationId: string | null = null;
  let planned = 0;
  let inWindows = 0;
  const { met, figures, own } = await runLive(live, say, {
    before: async (cluster) => {
      await cluster.call('PUT', '/config/rebalance', LIMITS);
      await cluster.addNode(NEW_NODE.nodeId, NEW_NODE.zone);
      say(`${NEW_NODE.nodeId} joined in zone ${NEW_NODE.zone}`);
    },
    work: async (running, untilMs) => {
      if (operationId === null) ({ operationId, planned } = await start(running));
      else await running.cluster.call('POST', `/operations/${operationId}/resume`);
      await sleep(untilMs - performance.now());
      const seen = await pause(running, operationId);
      if (seen.progress.done === inWindows)
        throw new Error(`the rebalance did nothing in a busy window; it waits on: ${seen.waiting_on ?? 'nothing'}`);
      inWindows = seen.progress.done;
      say(`${inWindows} of ${planned} done`);
    },
    after: async ({ cluster }) => {
      if (operationId === null) throw new Error('no rebalance was started');
      if (!ENDED.includes((await cluster.operation(operationId)).status))
        await cluster.call('POST', `/operations/${operationId}/resume`);
      await cluster.applied(operationId, FINISH_MS_MAX);
      const shards = await cluster.shards(TABLE);
      const held = [NEW_NODE.nodeId, NEW_NODE.besides].map(
        (nodeId) => shards.filter((shard) => shard.replicas.includes(nodeId)).length,
      );
      say(`replicas on ${NEW_NODE.nodeId} and ${NEW_NODE.besides}: ${held.join(', ')}`);
      const mean = held.reduce((sum, count) => sum + count, 0) / held.length;
      return { replicas_max_over_mean: Math.round((Math.max(...held) / mean) * 100) / 100 };
    },
  });
  return {
    pass: met && own.replicas_max_over_mean <= REPLICAS_MAX_OVER_MEAN,
    ...figures,
    ...own,
    rebalanced_shards: planned,
    moved_in_windows: inWindows,
  };
}

/** The tolerance band of the planner. */
const REPLICAS_MAX_OVER_MEAN = 1.05;

async function start({ cluster }: LiveCluster): Promise<{ operationId: string; planned: number }> {
  const answer = rebalanceCalls.rebalanceShards.response.parse(await cluster.call('POST', '/shards/rebalance', {}));
  if (answer.operation_id === null) throw new Error('the rebalance was not started');
  return { operationId: answer.operation_id, planned: answer.rebalanced_shards };
}

/** Pauses the operation, and waits until it has obeyed: what it had begun is then done. */
async function pause({ cluster }: LiveCluster, operationId: string): Promise<OperationView> {
  let seen = await cluster.operation(operationId);
  if (!ENDED.includes(seen.status)) await cluster.call('POST', `/operations/${operationId}/pause`);
  await until(FINISH_MS_MAX, `pause of ${operationId}`, async () => {
    seen = await cluster.operation(operationId);
    return seen.status === 'PAUSED' || ENDED.includes(seen.status);
  });
  while (await movesUnderWay(cluster)) await sleep(POLL_MS);
  return seen;
}

/** Moves that the rebalance had begun are operations of their own. */
async function movesUnderWay(cluster: LiveCluster['cluster']): Promise<boolean> {
  return (await cluster.shards(TABLE)).some((shard) => shard.state !== 'ACTIVE' || shard.transfer_to !== null);
}
