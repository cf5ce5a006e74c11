import { createReadStream, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { ServeIntervals } from '../../bench/load/serve-intervals.ts';
import type { Api } from './api.ts';
import { TABLE } from './workload.ts';

/** What must hold when the faults are over. */

const POLL_MS = 500;
const REPLICATION_FACTOR = 3;
const TERMINAL = ['SUCCEEDED', 'FAILED', 'CANCELLED'];

/** True when every node is a member, no fence is open, and every replica is IN_SYNC under its node's present epoch. */
export async function fullyReplicated(api: Api): Promise<boolean> {
  return (await openEnds(api)).length === 0;
}

/** What keeps the cluster from being whole, in words. */
async function openEnds(api: Api): Promise<readonly string[]> {
  const [nodes, shards, health] = await Promise.all([api.nodes(), api.shards(TABLE), api.health()]);
  const epochs = new Map(nodes.map((node) => [node.node_id, node.node_epoch]));
  return [
    ...nodes.flatMap(({ node_id, status }) => (status === 'HEALTHY' ? [] : [`${node_id} is ${status}`])),
    ...health.open_fences.map(({ node_id }) => `the fence of ${node_id} is open`),
    ...shards.flatMap(({ shard_id, replica_details: replicas }) => [
      ...replicas.flatMap(({ node_id, sync_status, node_epoch }) =>
        sync_status === 'IN_SYNC' && epochs.get(node_id) === node_epoch
          ? []
          : [`${shard_id} on ${node_id} is ${sync_status} under node epoch ${node_epoch}`],
      ),
      ...(replicas.length === REPLICATION_FACTOR ? [] : [`${shard_id} has ${replicas.length} replicas`]),
    ]),
  ];
}

/** Operations that have not ended, and what they left behind (I-10). */
async function unfinished(api: Api): Promise<readonly string[]> {
  const [operations, shards] = await Promise.all([api.operations(), api.shards(TABLE)]);
  return [
    ...operations.flatMap(({ operation_id, type, status, waiting_on }) =>
      TERMINAL.includes(status) ? [] : [`${type} ${operation_id} is ${status}, waiting on ${waiting_on ?? 'nothing'}`],
    ),
    ...shards.flatMap(({ shard_id, state, operation_id, transfer_to }) => [
      ...(state === 'ACTIVE' ? [] : [`${shard_id} is ${state} by ${operation_id ?? 'nobody'}`]),
      ...(transfer_to === null ? [] : [`${shard_id} is still on its way to ${transfer_to}`]),
    ]),
  ];
}

/** Waits until the cluster is whole and every operation has ended; else answers what is open after `limitMs`. */
export async function settled(api: Api, limitMs: number, signal: AbortSignal): Promise<readonly string[]> {
  const untilMs = performance.now() + limitMs;
  let open: readonly string[] = ['nothing was seen'];
  while (open.length > 0 && performance.now() < untilMs && !signal.aborted) {
    try {
      open = [...(await openEnds(api)), ...(await unfinished(api))];
    } catch (error) {
      open = [`the control plane does not answer: ${String(error)}`];
    }
    if (open.length > 0) await sleep(POLL_MS);
  }
  return open;
}

const servedSchema = z.looseObject({
  shard_id: z.string(),
  epoch: z.number(),
  from_ms: z.number(),
  to_ms: z.number(),
});

/** I-4: the serve logs of all processes, each for itself, so that two processes of one node id are two. */
export async function readServed(folder: string): Promise<ServeIntervals> {
  const served = new ServeIntervals();
  for (const name of readdirSync(folder)) {
    const nodeId = basename(name, '.jsonl');
    for await (const text of createInterface({ input: createReadStream(join(folder, name)) })) {
      const line = servedSchema.safeParse(parsed(text));
      if (!line.success) continue; // cut off when its process was killed
      const { shard_id: shardId, epoch, from_ms: fromMs, to_ms: toMs } = line.data;
      served.add({ nodeId, shardId, epoch, fromMs, toMs });
    }
  }
  return served;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
