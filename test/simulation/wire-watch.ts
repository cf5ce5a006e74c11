import { stepDownReceiptSchema } from '../../shared/contracts/node/commands.ts';
import type { DataWatch } from './data-watch.ts';
import type { MetadataWatch } from './metadata-watch.ts';
import { contentOf } from './network.ts';
import type { NetworkAnswer, NetworkRequest, SimulatedNetwork } from './network.ts';
import { CONTROL_PLANE } from './wire.ts';

const fieldsOf = (message: { readonly body: string | null }): Readonly<Record<string, unknown>> =>
  contentOf(message) as Record<string, unknown>;
function textOf(value: unknown): string {
  if (typeof value !== 'string') throw new Error('a message without a shard');
  return value;
}
function numberOf(value: unknown): number {
  if (typeof value !== 'number') throw new Error('a message without an epoch');
  return value;
}

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
      noteAnswer(host, request, answer, {
        data,
        metadata,
        asked: { sentMs: sentMs.get(request) ?? Infinity, underLease: clock.holdsLease(host) },
      });
  };
}

function noteAnswer(
  host: string,
  request: NetworkRequest,
  answer: NetworkAnswer,
  watches: { data: DataWatch; metadata: MetadataWatch; asked: { sentMs: number; underLease: boolean } },
): void {
  const { path } = request;
  if (path === '/node/commands') {
    noteReceipts(answer.body, watches.metadata);
    return;
  }
  if (path.startsWith('/data/')) {
    const { shard_id: shardId } = fieldsOf(request);
    watches.data.servedClient(host, textOf(shardId), numberOf(fieldsOf(answer)['epoch']), watches.asked);
  } else if (path.startsWith('/replication/')) {
    const { shard_id: shardId, epoch } = fieldsOf(request);
    watches.data.agreed(host, textOf(shardId), numberOf(epoch));
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
