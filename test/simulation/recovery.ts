import { CLIENT_DEADLINE_MS } from './clients.ts';
import { checkOperations } from './end-checks.ts';
import { describeShard } from './metadata-watch.ts';
import type { MetadataWatch } from './metadata-watch.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Liveness: what must come back when all faults are healed, and within which time (ms). */

/** Every shard answers a write and a read. */
const SERVED_MS_MAX = 60_000;
/** Every replica is IN_SYNC again: silent leaders and lost copies are noticed by timeouts of up to 15 s. */
const REPLICATED_MS_MAX = 120_000;
/** By then most operations have ended: a step whose function died is waited for 60 s, an undoing gives up after 120 s. */
const OPERATIONS_MS = 300_000;
/**
 * And by then all have (I-10). A removal waits 15 min for the floor of I-7 before its move is undone: where a factor is raised from an even
 * number, min_in_sync is a majority of both, so that a replacement can't tell which one it may keep, and what raises it waits for the shard.
 */
const OPERATIONS_MS_MAX = 900_000 + 2 * OPERATIONS_MS;

export interface Recovery {
  readonly problems: readonly string[];
  /** Until every key was written and read. */
  readonly servedMs: number;
  /** Until every operation had ended. */
  readonly operationsMs: number;
  /** True if that took longer than it mostly does. */
  readonly operationsLate: boolean;
}

export interface RecoveringCluster {
  readonly time: VirtualTime;
  readonly metadata: MetadataWatch;
  /** Keys that no client has written and read since the faults. */
  readonly left: () => number;
  readonly fullyReplicated: () => boolean;
}

/** Runs until every key was written and read, every operation has ended, every replica is IN_SYNC, and nothing changes any more. */
export async function recovered({ time, metadata, left, fullyReplicated }: RecoveringCluster): Promise<Recovery> {
  const problems: string[] = [];
  const shards = (): string => [...metadata.shards.values()].map(describeShard).join('; ');
  const openOperations = (): readonly string[] =>
    checkOperations(metadata.operations.values(), metadata.shards.values());
  const startMs = time.nowMs();
  if (!(await time.run(() => left() === 0, startMs + SERVED_MS_MAX)))
    problems.push(
      `Liveness: ${left()} keys could not be written and read within ${SERVED_MS_MAX} ms after the faults: ${shards()}`,
    );
  const servedMs = time.nowMs() - startMs;
  const noneOpen = afterCommits(metadata, () => openOperations().length === 0);
  if (!(await time.run(noneOpen, startMs + OPERATIONS_MS_MAX))) problems.push(...openOperations());
  const endedMs = time.nowMs();
  if (!(await time.run(afterCommits(metadata, fullyReplicated), endedMs + REPLICATED_MS_MAX)))
    problems.push(
      `Liveness: not every replica was IN_SYNC within ${REPLICATED_MS_MAX} ms after the last operation: ${shards()}`,
    );
  // What is still under way for a client comes to its end; so does what the cluster began by itself meanwhile, with its last commands.
  let changes: number;
  do {
    changes = metadata.counts.descriptorChanges;
    await time.run(time.nowMs() + CLIENT_DEADLINE_MS);
  } while (
    (changes !== metadata.counts.descriptorChanges || openOperations().length > 0) &&
    time.nowMs() < endedMs + OPERATIONS_MS_MAX
  );
  const operationsMs = endedMs - startMs;
  return { problems, servedMs, operationsMs, operationsLate: operationsMs > OPERATIONS_MS };
}

/** A condition on the metadata, looked at again when something was committed. */
function afterCommits({ counts }: MetadataWatch, holds: () => boolean): () => boolean {
  let commitsSeen = -1;
  let held = false;
  return () => {
    if (counts.commits !== commitsSeen) held = holds();
    commitsSeen = counts.commits;
    return held;
  };
}
