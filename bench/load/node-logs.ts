import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import * as z from 'zod';

/** What the nodes themselves wrote down about the sections in which a shard could not be served while its structure changed. */
export interface InNodeLock {
  readonly nodeId: string;
  /** FORK: a copy became two (S1). MEMBERS: a leader took up another list of replicas. */
  readonly kind: 'FORK' | 'MEMBERS';
  /** The node's thread was held for so long. */
  readonly lockMs: number;
  /** Of these: the thread was ready and waited for a processor that other processes of the machine had. */
  readonly waitMs: number;
  /** The same with the fsync that it shared with other writes; null if there was none to wait for. */
  readonly commitMs: number | null;
}

const KINDS: Readonly<Record<string, InNodeLock['kind']>> = { forked: 'FORK', 'members changed': 'MEMBERS' };

const lineSchema = z.looseObject({
  at: z.iso.datetime(),
  event: z.string(),
  node_id: z.string(),
  lock_ms: z.number(),
  lock_wait_ms: z.number().default(0),
  commit_ms: z.number().optional(),
});

/** Reads the logs of all nodes: what happened since `fromWallMs`. */
export async function readInNodeLocks(files: readonly string[], fromWallMs: number): Promise<readonly InNodeLock[]> {
  const locks: InNodeLock[] = [];
  for (const file of files) {
    for await (const text of createInterface({ input: createReadStream(file) })) {
      const line = lineSchema.safeParse(parsed(text));
      const kind = line.success ? KINDS[line.data.event] : undefined;
      if (!line.success || kind === undefined || Date.parse(line.data.at) < fromWallMs) continue;
      const { node_id: nodeId, lock_ms: lockMs, lock_wait_ms: waitMs, commit_ms: commitMs } = line.data;
      locks.push({ nodeId, kind, lockMs, waitMs, commitMs: commitMs ?? null });
    }
  }
  return locks;
}

/** Null for what is no JSON: the line that a node prints when it listens is, but a crash's last words are not. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
