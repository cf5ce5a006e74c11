import { nodeUseSchema } from '../contracts/node/node-use.ts';
import { rejectionOf } from '../domain/election.ts';
import type { LivenessView } from '../domain/election.ts';
import type { NodeId, ReplicaId, ShardId } from '../domain/ids.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import type { NodePaceRecord, NodeStatsRecord } from '../domain/records.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import { DEFAULT_SLOW_NODE_OPTIONS, slowNodes } from '../domain/slow-nodes.ts';
import type { PaceSample, PaceVerdict, SlowNodeOptions } from '../domain/slow-nodes.ts';
import { LIVENESS_BUCKETS } from '../ports.ts';
import type { Deps, Principal, Stored } from '../ports.ts';
import { everyRecord } from './every-record.ts';
import { readLiveness } from './liveness-view.ts';
import { startTransfer } from './transfer-leader.ts';

/**
 * Gray failure and full disks: nodes that renew their leases and are no good leaders all the same. Each tick judges the statistics
 * that heartbeats left (domain/slow-nodes.ts), keeps the verdict with hysteresis, and moves leaders away under a budget.
 */

/** Statistics older than this are of a node that is gone: it is judged anew when it tells again. Six of its slower beats. */
const STATS_FRESH_MS = 60_000;
/**
 * A tick judges the newest beat of each node. The schedule fires once a minute (every 3 s on one machine, where a beat comes each
 * 10 s), so fewer beats than the defaults: 3 minutes to be SLOW, 15 to be NORMAL again.
 */
const OPTIONS: SlowNodeOptions = { ...DEFAULT_SLOW_NODE_OPTIONS, beatsToSlow: 3, beatsToRecover: 15 };
/** Leader transfers started in one tick: each costs the shard's clients a retry, and the targets take over their load at once. */
export const LEADER_MOVES_PER_TICK = 32;
const TRANSFERS_AT_ONCE = 8;
/** Replica rows looked at in one tick to find leaders to move: each may cost a read of its descriptor. */
const POINTERS_PER_TICK = 1_000;
const POINTER_PAGE = 250;

/** Nodes that are SLOW or whose disk is FULL now. */
export async function readConditions(deps: Deps): Promise<readonly NodePaceRecord[]> {
  return (await everyRecord(deps, 'nodePace', {})).filter(({ pace, disk }) => pace === 'SLOW' || disk === 'FULL');
}

/** Judges the newest statistics of all nodes against each other and keeps what changed. */
export async function judgeNodes(deps: Deps): Promise<void> {
  const [stats, known] = await Promise.all([freshStats(deps), everyPace(deps)]);
  const verdict = slowNodes(
    stats.map((one) => sampleOf(one, known.get(one.nodeId)?.value)),
    new Map([...known].map(([nodeId, { value }]) => [nodeId, value])),
    OPTIONS,
  );
  for (const { nodeId, pace, measure, valueMs, medianMs } of verdict.changed)
    deps.log.warn('node-pace-changed', { nodeId, pace, measure, valueMs, medianMs });
  for (const nodeId of verdict.heldBack) deps.log.warn('node-slow-held-back', { nodeId });
  const byNode = new Map(stats.map((one) => [one.nodeId, one]));
  for (const nodeId of new Set([...byNode.keys(), ...known.keys()])) {
    const next = nextRecord(nodeId, byNode.get(nodeId), verdict, known.get(nodeId)?.value);
    await keep(deps, next, known.get(nodeId));
  }
}

async function freshStats(deps: Deps): Promise<readonly NodeStatsRecord[]> {
  const buckets = Array.from({ length: LIVENESS_BUCKETS }, (_, bucket) => bucket);
  const all = await mapBounded(buckets, LIVENESS_BUCKETS, (bucket) => everyRecord(deps, 'nodeStats', { bucket }));
  const fromMs = deps.clock.wallMs() - STATS_FRESH_MS;
  return all.flat().filter(({ atMs }) => atMs >= fromMs);
}

async function everyPace(deps: Deps): Promise<ReadonlyMap<NodeId, Stored<'nodePace'>>> {
  const found = new Map<NodeId, Stored<'nodePace'>>();
  let after: string | undefined;
  do {
    const page = await deps.records.query('nodePace', {
      partition: {},
      order: 'forward',
      limit: 1000,
      ...(after === undefined ? {} : { after }),
    });
    for (const stored of page.items) found.set(stored.value.nodeId, stored);
    after = page.next ?? undefined;
  } while (after !== undefined);
  return found;
}

/** A beat speaks once: one that was judged already is no new evidence. 0 stands for "nothing measured". */
function sampleOf({ nodeId, stats, atMs }: NodeStatsRecord, known: NodePaceRecord | undefined): PaceSample {
  const told = nodeUseSchema.safeParse(stats);
  const isNew = known === undefined || atMs > known.judgedAtMs;
  if (!told.success || !isNew) return { nodeId, fsyncMsP99: null, latencyMsP99: null };
  const { fsync_ms_p99: fsyncMs, client_ms_p99: latencyMs } = told.data;
  const measured = (ms: number | undefined): number | null => (ms === undefined || ms === 0 ? null : ms);
  return { nodeId, fsyncMsP99: measured(fsyncMs), latencyMsP99: measured(latencyMs) };
}

function nextRecord(
  nodeId: NodeId,
  stats: NodeStatsRecord | undefined,
  verdict: PaceVerdict,
  known: NodePaceRecord | undefined,
): NodePaceRecord {
  const fresh = { nodeId, pace: 'NORMAL', against: 0, judgedAtMs: 0, disk: 'OK', reason: null } as const;
  // It stopped telling: whatever it was, it is judged anew when it is back.
  if (stats === undefined) return fresh;
  const { pace, against } = verdict.records.get(nodeId) ?? fresh;
  const told = nodeUseSchema.safeParse(stats.stats);
  const disk = told.success && told.data.disk_full === true ? 'FULL' : 'OK';
  const change = verdict.changed.find((one) => one.nodeId === nodeId);
  return {
    nodeId,
    pace,
    against,
    judgedAtMs: stats.atMs,
    disk,
    reason: pace === 'NORMAL' ? null : change === undefined ? (known?.reason ?? null) : words(change),
  };
}

const words = ({ measure, valueMs, medianMs }: PaceVerdict['changed'][number]): string | null =>
  measure === null
    ? null
    : `${measure === 'FSYNC' ? 'durable writes' : "clients' requests"} take ${Math.round(valueMs ?? 0)} ms (99th percentile), ${Math.round(medianMs ?? 0)} ms on its peers`;

/** Written only when it says something new; of two ticks at once one wins, and the other's verdict was made of the same beats. */
async function keep(deps: Deps, next: NodePaceRecord, known: Stored<'nodePace'> | undefined): Promise<void> {
  const isPlain = next.pace === 'NORMAL' && next.against === 0 && next.disk === 'OK';
  if (known === undefined) {
    if (!isPlain)
      await deps.records.observe({ kind: 'put', entity: 'nodePace', value: next, when: [{ kind: 'absent' }] });
    return;
  }
  const { pace, against, disk } = known.value;
  if (pace === next.pace && against === next.against && disk === next.disk) return;
  await deps.records.observe({
    kind: 'put',
    entity: 'nodePace',
    value: next,
    when: [{ kind: 'revision', is: known.revision }],
  });
}

/** A leader on a node that is no good place for it, and where it could go. */
export interface LeaderToMove {
  readonly shardId: ShardId;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly targetReplicaId: ReplicaId;
  readonly reason: 'DISK_FULL' | 'SLOW';
}

/**
 * Leaders on slow nodes and on nodes with a full disk, full ones first, each with an IN_SYNC replica that could take over: on a node
 * that is neither, nor cordoned, spread over the candidates. At most `limit`; shards under transfer or owned by an operation are left alone.
 */
export async function leadersToMoveOff(deps: Deps, limit = LEADER_MOVES_PER_TICK): Promise<readonly LeaderToMove[]> {
  const conditions = await readConditions(deps);
  const bad = new Set(conditions.map(({ nodeId }) => nodeId));
  const given = new Map<NodeId, number>();
  const moves: LeaderToMove[] = [];
  let pointersLeft = POINTERS_PER_TICK;
  const fullFirst = conditions.toSorted((a, b) => Number(b.disk === 'FULL') - Number(a.disk === 'FULL'));
  for (const { nodeId: from, disk } of fullFirst) {
    let after: string | undefined;
    do {
      if (pointersLeft <= 0 || moves.length >= limit) return moves;
      const page: Awaited<ReturnType<Deps['directory']['replicasOn']>> = await deps.directory.replicasOn(from, {
        limit: Math.min(POINTER_PAGE, pointersLeft),
        ...(after === undefined ? {} : { after }),
      });
      pointersLeft -= page.replicas.length;
      const located = (await deps.directory.resolve(page.replicas)).filter((entry) => entry !== null);
      const led = located
        .map(({ shard }) => shard)
        .filter((shard) => shard.leader.nodeId === from && shard.intent === null && shard.state.kind === 'ACTIVE');
      const able = await ableNodes(deps, led, bad);
      for (const shard of led) {
        const target = targetOf(shard, able, given);
        if (target === null) continue;
        given.set(target.nodeId, (given.get(target.nodeId) ?? 0) + 1);
        const reason = disk === 'FULL' ? 'DISK_FULL' : 'SLOW';
        moves.push({ shardId: shard.shardId, from, to: target.nodeId, targetReplicaId: target.replicaId, reason });
        if (moves.length >= limit) return moves;
      }
      after = page.next ?? undefined;
    } while (after !== undefined);
  }
  return moves;
}

interface Able {
  readonly view: LivenessView;
  readonly nodes: ReadonlySet<NodeId>;
}

async function ableNodes(deps: Deps, shards: readonly ShardDescriptor[], bad: ReadonlySet<NodeId>): Promise<Able> {
  const ids = [...new Set(shards.flatMap(({ replicas }) => replicas.map(({ nodeId }) => nodeId)))].filter(
    (nodeId) => !bad.has(nodeId),
  );
  const [view, nodes] = await Promise.all([
    readLiveness(deps, ids),
    mapBounded(ids, TRANSFERS_AT_ONCE, (nodeId) => deps.records.get('node', { nodeId })),
  ]);
  const open = nodes.flatMap((node) =>
    node !== null && node.value.membership === 'ACTIVE' && !node.value.cordoned ? [node.value.nodeId] : [],
  );
  return { view, nodes: new Set(open) };
}

/** The able replica whose node was given the fewest leaders so far; ties by replica id. */
function targetOf(shard: ShardDescriptor, { view, nodes }: Able, given: ReadonlyMap<NodeId, number>) {
  const candidates = shard.replicas.filter(
    (replica) => nodes.has(replica.nodeId) && rejectionOf(replica, view) === null,
  );
  const load = (nodeId: NodeId): number => given.get(nodeId) ?? 0;
  return (
    candidates.toSorted((a, b) => load(a.nodeId) - load(b.nodeId) || (a.replicaId < b.replicaId ? -1 : 1))[0] ?? null
  );
}

/** Starts the transfers of one tick. A shard whose leader does not answer goes on by its intent (E2). */
export async function moveLeadersOff(deps: Deps, by: Principal): Promise<void> {
  const moves = await leadersToMoveOff(deps);
  await mapBounded(moves, TRANSFERS_AT_ONCE, async ({ shardId, targetReplicaId, from, to, reason }) => {
    const started = await startTransfer(deps, by, shardId, targetReplicaId);
    deps.log.info('leader-moved-off', {
      shardId,
      from,
      to,
      reason,
      outcome: started.ok ? started.value.kind : started.error.code,
    });
  });
}
