import { ownerOf, inSyncReplicas, replicaById } from '../../shared/domain/shard.ts';
import { hasEnded } from '../../shared/domain/operation.ts';
import type { OperationRecord } from '../../shared/domain/records.ts';
import type { Replica, ShardDescriptor } from '../../shared/domain/shard.ts';
import type { Engine } from '../../data-node/engine/engine.ts';
import type { ReplicaMeta, RowVersion } from '../../data-node/engine/types.ts';

/** What must hold when the faults of a run are over, every operation has come to its end, and no client asks for anything. */

/** A node as these checks look into it. */
export interface InspectedNode {
  readonly nodeId: string;
  /** Null while no process runs over its directory. */
  engine(): Engine | null;
}

/** Rows of one copy; a run writes a few keys. */
const ROWS_MAX = 10_000;

/** I-10: every operation has ended, and none has left a shard locked or a leadership on its way. */
export function checkOperations(
  operations: Iterable<OperationRecord>,
  shards: Iterable<ShardDescriptor>,
): readonly string[] {
  const open = [...operations].filter((operation) => !hasEnded(operation));
  return [
    ...open.map(
      ({ operationId, type, status, waitingOn, steps }) =>
        `I-10: ${type} ${operationId} is ${status} for good, after ${steps.at(-1)?.name ?? 'nothing'} (${steps.at(-1)?.detail ?? ''}), waiting on ${waitingOn ?? 'nothing'}`,
    ),
    ...[...shards].flatMap((shard) => [
      ...(shard.state.kind === 'ACTIVE'
        ? []
        : [`I-10: ${shard.shardId} is left ${shard.state.kind} by ${ownerOf(shard)}`]),
      ...(shard.intent === null ? [] : [`I-10: ${shard.shardId} is left with an intent`]),
    ]),
  ];
}

/** I-6: copies that count as IN_SYNC hold the same rows; what they say of their size is true; no copy outlives its place in the list. */
export function checkCopies(
  shards: ReadonlyMap<string, ShardDescriptor>,
  nodes: readonly InspectedNode[],
): readonly string[] {
  const problems: string[] = [];
  for (const shard of shards.values()) {
    problems.push(...checkLogs(shard, nodes));
    const [first, ...others] = inSyncReplicas(shard).map((replica) => ({
      replica,
      rows: rowsOf(replica, shard, nodes),
    }));
    for (const other of others)
      if (first !== undefined && other.rows !== first.rows)
        problems.push(
          `I-6: copies of ${shard.shardId} differ: ${first.replica.nodeId} holds ${first.rows}, ${other.replica.nodeId} holds ${other.rows}`,
        );
  }
  for (const node of nodes) {
    const { nodeId } = node;
    const engine = node.engine();
    for (const meta of engine?.replicas() ?? []) {
      const shard = shards.get(meta.shardId);
      if (shard === undefined || replicaById(shard, meta.replicaId as Replica['replicaId']) === undefined)
        problems.push(`R4: ${nodeId} still holds ${meta.replicaId} of ${meta.shardId}, which no descriptor lists`);
      else problems.push(...checkSize(nodeId, meta, engine));
    }
  }
  return problems;
}

/**
 * R5: logs of copies in sync that hold an entry at the same sequence hold the same one there. Rows alone would not show it: whatever differed was
 * written anew at the end of the run.
 */
function checkLogs(shard: ShardDescriptor, nodes: readonly InspectedNode[]): readonly string[] {
  const [first, ...others] = inSyncReplicas(shard).flatMap((replica) => {
    const engine = nodes.find(({ nodeId }) => nodeId === replica.nodeId)?.engine() ?? null;
    const meta = engine?.replica(shard.shardId);
    return engine === null || meta?.replicaId !== replica.replicaId ? [] : [{ engine, meta, nodeId: replica.nodeId }];
  });
  if (first === undefined) return [];
  return others.flatMap((other) => {
    const from = Math.max(first.meta.base.seq, other.meta.base.seq);
    const to = Math.min(first.meta.last.seq, other.meta.last.seq);
    for (let seq = from; seq <= to; seq++) {
      const epochs = [first, other].map(({ engine, meta }) => engine.epochAt(meta, seq));
      if (epochs[0] !== epochs[1])
        return [
          `I-6: logs of ${shard.shardId} differ at ${seq}: ${first.nodeId} holds an entry of epoch ${epochs[0]}, ${other.nodeId} one of epoch ${epochs[1]}`,
        ];
    }
    return [];
  });
}

/** The copy's committed rows as text, to be compared. */
function rowsOf(replica: Replica, shard: ShardDescriptor, nodes: readonly InspectedNode[]): string {
  const engine = nodes.find(({ nodeId }) => nodeId === replica.nodeId)?.engine() ?? null;
  const meta = engine?.replica(shard.shardId);
  if (engine === null || meta?.replicaId !== replica.replicaId) return 'no copy';
  // All of the log: a leader persists its commit with the next entry only, and with no writes under way all of it is committed.
  const { start_key: from, end_key: to } = meta.descriptor;
  const rows = engine.scan(meta, { from, to }, meta.last.seq, ROWS_MAX);
  const content = rows.flatMap(({ key, value }: RowVersion) => (value === null ? [] : [`${key}=${value}`])).join(' ');
  return `up to ${meta.last.epoch}/${meta.last.seq}: ${content}`;
}

function checkSize(nodeId: string, meta: ReplicaMeta, engine: Engine | null): readonly string[] {
  const { start_key: from, end_key: to } = meta.descriptor;
  const held = engine?.measure(meta, { from, to }, ROWS_MAX);
  if (held === undefined || (held.rows === meta.rows && held.bytes === meta.bytes)) return [];
  return [
    `I-6: ${nodeId} counts ${meta.rows} rows (${meta.bytes} bytes) of ${meta.shardId}, and holds ${held.rows} (${held.bytes}) in its range`,
  ];
}
