import { closeSync, openSync, writeSync } from 'node:fs';

/**
 * One JSON line for every answer that the node gave as leader: shard, epoch, and the interval in which it held itself
 * entitled, on the machine's boot clock, which all processes of a machine share. Two nodes with overlapping intervals of
 * one shard are a double leader (I-4). Written at once, so that a killed node's last answers are there.
 */
export interface ServeLog {
  note(event: {
    readonly kind: 'READ' | 'WRITE';
    readonly shardId: string;
    readonly epoch: number;
    readonly fromMs: number;
    readonly toMs: number;
  }): void;
  close(): void;
}

export function openServeLog(path: string, nodeId: string): ServeLog {
  const file = openSync(path, 'a', 0o644);
  return {
    note: ({ kind, shardId, epoch, fromMs, toMs }) => {
      const line = { kind, node_id: nodeId, shard_id: shardId, epoch, from_ms: fromMs, to_ms: toMs };
      writeSync(file, `${JSON.stringify(line)}\n`);
    },
    close: () => {
      closeSync(file);
    },
  };
}
