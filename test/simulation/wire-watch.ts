import * as z from 'zod';
import { stepDownReceiptSchema } from '../../shared/contracts/node/commands.ts';
import type { DataWatch } from './data-watch.ts';
import type { MetadataWatch } from './metadata-watch.ts';
import type { NetworkAnswer, NetworkRequest, SimulatedNetwork } from './network.ts';
import { CONTROL_PLANE } from './wire.ts';

const shardFieldSchema = z.looseObject({ shard_id: z.string() });
const epochFieldSchema = z.looseObject({ epoch: z.number() });

/** Reads off the wire what data nodes promised and served, in the moment in which it left them. */
export function watchWire(
  network: SimulatedNetwork,
  data: DataWatch,
  metadata: MetadataWatch,
  clock: { nowMs(): number; holdsLease(nodeId: string): boolean },
): void {
  const sentMs = new WeakMap<NetworkRequest, number>();
  network.onRequest = (_from, to, request) => {
    if (request.path.startsWith('/data/')) sentMs.set(request, clock.nowMs());
    if (to !== CONTROL_PLANE.host || request.body === null) return;
    if (request.path.endsWith('/reports') || request.path.endsWith('/heartbeat')) noteReceipts(request.body, metadata);
  };
  network.onAnswer = (host, request, answer) => {
    if (answer.status === 200 && request.body !== null && host !== CONTROL_PLANE.host)
      noteAnswer(host, request.path, request.body, answer, {
        data,
        metadata,
        asked: { sentMs: sentMs.get(request) ?? Infinity, underLease: clock.holdsLease(host) },
      });
  };
}

function noteAnswer(
  host: string,
  path: NetworkRequest['path'],
  body: string,
  answer: NetworkAnswer,
  watches: { data: DataWatch; metadata: MetadataWatch; asked: { sentMs: number; underLease: boolean } },
): void {
  if (path === '/node/commands') {
    noteReceipts(answer.body, watches.metadata);
    return;
  }
  if (path.startsWith('/data/')) {
    const { shard_id } = shardFieldSchema.parse(JSON.parse(body));
    watches.data.servedClient(host, shard_id, epochFieldSchema.parse(JSON.parse(answer.body)).epoch, watches.asked);
  } else if (path.startsWith('/replication/')) {
    const request: unknown = JSON.parse(body);
    watches.data.agreed(host, shardFieldSchema.parse(request).shard_id, epochFieldSchema.parse(request).epoch);
  }
}

/** Step-down receipts in a message of a node, wherever in it they stand (E2). */
function noteReceipts(body: string, metadata: MetadataWatch): void {
  if (!body.includes('receipt')) return;
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const receipt = stepDownReceiptSchema.safeParse(value);
    const isOne = !('type' in value) || value.type === 'step_down_receipt';
    if (receipt.success && isOne) metadata.receiptGiven(receipt.data.shard_id, receipt.data.replica_id, receipt.data);
    Object.values(value).forEach(walk);
  };
  walk(JSON.parse(body));
}
