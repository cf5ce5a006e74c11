import { createReadStream, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ServeIntervals } from './serve-intervals.ts';

/** Reads all serve logs of a folder: `<node id>.<pid>.log`, lines `<microseconds> <shard id> <epoch> <READ|WRITE>`. */
export async function readServeLogs(folder: string): Promise<ServeIntervals> {
  const intervals = new ServeIntervals();
  for (const name of readdirSync(folder)) {
    const nodeId = /^(.+)\.\d+\.log$/.exec(name)?.[1];
    if (nodeId === undefined) continue;
    for await (const line of createInterface({ input: createReadStream(join(folder, name)) })) {
      const [atUs, shardId, epoch] = line.split(' ');
      // The last line of a node that was killed may be cut off.
      if (atUs === undefined || shardId === undefined || epoch === undefined || !/^\d+$/.test(epoch)) continue;
      intervals.add({ atUs: Number(atUs), nodeId, shardId, epoch: Number(epoch) });
    }
  }
  return intervals;
}
