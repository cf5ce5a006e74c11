import { createReadStream, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as z from 'zod';
import { ServeIntervals } from './serve-intervals.ts';

/** A line of a node's serve log (`data-node/main.ts --serve-log`). */
const lineSchema = z.looseObject({
  node_id: z.string(),
  shard_id: z.string(),
  epoch: z.number(),
  from_ms: z.number(),
  to_ms: z.number(),
});

/** Reads all serve logs (`*.jsonl`) of a folder. */
export async function readServeLogs(folder: string): Promise<ServeIntervals> {
  const intervals = new ServeIntervals();
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.jsonl'))) {
    for await (const text of createInterface({ input: createReadStream(join(folder, name)) })) {
      const line = lineSchema.safeParse(parsed(text));
      if (!line.success) continue;
      const { node_id: nodeId, shard_id: shardId, epoch, from_ms: fromMs, to_ms: toMs } = line.data;
      intervals.add({ nodeId, shardId, epoch, fromMs, toMs });
    }
  }
  return intervals;
}

/** Null for a line that was cut off when its node was killed. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
