import { diagnose } from '../domain/unclean-election.ts';
import type { Diagnosis, LogView } from '../domain/unclean-election.ts';
import type { LivenessView } from '../domain/election.ts';
import type { NodeId, ReplicaId, ShardId, TableName } from '../domain/ids.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import type { ReplicaLogRecord } from '../domain/records.ts';
import type { Deps, LocatedShard } from '../ports.ts';
import { STORE_CONCURRENCY } from './concurrency.ts';
import { readLiveness } from './liveness-view.ts';

/**
 * Shards that can't serve now. They are found by open fences: a fence stays open as long as a leadership or an IN_SYNC entry of its
 * node stands under an older node epoch (E3), and without one of these a shard has what it needs.
 */

export interface Affected {
  readonly located: LocatedShard;
  readonly diagnosis: Exclude<Diagnosis, { kind: 'LED' }>;
  readonly view: LivenessView;
  readonly logs: LogView;
}

/** How much one search looks at. */
export interface SearchBounds {
  /** Shards answered at most. */
  readonly shards: number;
  /** Replica rows looked at, over all nodes with an open fence: each may cost a strong read of its descriptor. */
  readonly pointers: number;
}

/** Pointers of one query. */
const POINTER_PAGE = 250;

/** Affected shards by shard id within a node. `more`: there may be others beyond the bounds. */
export async function findAffected(
  deps: Deps,
  liveness: readonly LivenessRecord[],
  bounds: SearchBounds,
  table: TableName | null = null,
): Promise<{ readonly affected: readonly Affected[]; readonly more: boolean }> {
  const found = new Map<ShardId, Affected>();
  let pointersLeft = bounds.pointers;
  const nodes = liveness.filter((item) => item.openFence !== null).map((item) => item.nodeId);
  for (const node of nodes) {
    let after: string | undefined;
    do {
      if (pointersLeft <= 0 || found.size >= bounds.shards) return { affected: [...found.values()], more: true };
      const page: Awaited<ReturnType<Deps['directory']['replicasOn']>> = await deps.directory.replicasOn(node, {
        limit: Math.min(POINTER_PAGE, pointersLeft),
        ...(after === undefined ? {} : { after }),
      });
      pointersLeft -= page.replicas.length;
      const fresh = page.replicas.filter(({ shardId }) => !found.has(shardId));
      const located = (await deps.directory.resolve(fresh)).filter((entry) => entry !== null);
      const wanted = located.filter(({ shard }) => table === null || shard.table === table);
      for (const one of await examine(deps, wanted)) found.set(one.located.shard.shardId, one);
      after = page.next ?? undefined;
    } while (after !== undefined);
  }
  const affected = [...found.values()];
  return { affected: affected.slice(0, bounds.shards), more: affected.length > bounds.shards };
}

/** Diagnoses shards that were just read; those that are led are left out. Liveness is read after the descriptors (E1). */
export async function examine(deps: Deps, located: readonly LocatedShard[]): Promise<readonly Affected[]> {
  const view = await readLiveness(deps, new Set(located.flatMap(({ shard }) => nodesOf(shard))));
  const affected = await mapBounded(located, STORE_CONCURRENCY, async (entry): Promise<Affected | null> => {
    // Most shards of a node that died are led again: only the others cost the read of their logs.
    if (diagnose(entry.shard, view, new Map()).kind === 'LED') return null;
    const logs = await readLogs(deps, entry.shard.shardId);
    const diagnosis = diagnose(entry.shard, view, logs);
    return diagnosis.kind === 'LED' ? null : { located: entry, diagnosis, view, logs };
  });
  return affected.filter((one) => one !== null);
}

const nodesOf = (shard: LocatedShard['shard']): NodeId[] => shard.replicas.map((replica) => replica.nodeId);

/** Reports of one shard: at most one for each replica that it ever had without a leader; beyond this they are of replicas long gone. */
const LOGS_MAX = 100;

/** What replicas of a shard said of their logs while it had no leader. */
export async function readLogs(deps: Deps, shardId: ShardId): Promise<LogView> {
  const page = await deps.records.query('replicaLog', { partition: { shardId }, order: 'forward', limit: LOGS_MAX });
  return new Map<ReplicaId, ReplicaLogRecord>(page.items.map(({ value }) => [value.replicaId, value]));
}

/** Keeps what a replica said of its log. The last word counts; nothing decides on an older one. */
export async function keepLog(deps: Deps, log: ReplicaLogRecord): Promise<void> {
  const { shardId, replicaId } = log;
  const updated = await deps.records.observe({
    kind: 'update',
    entity: 'replicaLog',
    id: { shardId, replicaId },
    set: log,
    when: [],
  });
  if (!updated.ok)
    await deps.records.observe({ kind: 'put', entity: 'replicaLog', value: log, when: [{ kind: 'absent' }] });
}
