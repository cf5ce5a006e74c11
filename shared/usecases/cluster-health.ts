import { isMarkedExpired } from '../domain/detector.ts';
import { ok } from '../domain/result.ts';
import type { NodePaceRecord, NodeRecord, ShardRecovery } from '../domain/records.ts';
import type { Deps } from '../ports.ts';
import { findAffected } from './affected-shards.ts';
import { everyRecord } from './every-record.ts';
import { readConditions } from './gray-failure.ts';
import { readAllLiveness } from './liveness-view.ts';
import { placementProblems } from './placement-health.ts';
import { explainDiagnosis } from './recovery-words.ts';
import type { UseCase } from './types.ts';

/** Shards named one by one; their number tells more than a longer list. */
const SHARDS_SHOWN_MAX = 20;
/** Replica rows that are looked at for them: a call must stay cheap however large the cluster is. */
const SHARD_POINTERS_MAX = 1_000;
/** Recoveries that are looked at for their number; beyond it the answer says "at least". */
const RECOVERIES_MAX = 1_000;
/** Open fences named in the answer; their number is in `problems`. */
const FENCES_SHOWN_MAX = 100;

export const clusterHealth: UseCase<'clusterHealth'> = async (deps) => {
  const [liveness, detector, nodes, tables, recoveries, conditions] = await Promise.all([
    readAllLiveness(deps),
    deps.records.get('detector', {}),
    countNodes(deps),
    everyRecord(deps, 'table', {}),
    deps.records.query('shardRecovery', { partition: {}, order: 'forward', limit: RECOVERIES_MAX }),
    readConditions(deps),
  ]);
  const { affected, more } = await findAffected(deps, liveness, {
    shards: SHARDS_SHOWN_MAX,
    pointers: SHARD_POINTERS_MAX,
  });
  const up = liveness.filter((item) => item.incarnation !== null && !item.released && !isMarkedExpired(item)).length;
  const total = nodes.active + nodes.decommissioning;
  const fences = liveness.filter((item) => item.openFence !== null);
  const brake = detector?.value.brake ?? null;
  const healthy = Math.min(up, total);
  const problems: string[] = [];
  if (total > healthy) problems.push(`${total - healthy} of ${total} nodes are down. See GET /cluster/nodes.`);
  if (fences.length > 0)
    problems.push(
      `${fences.length} fences are open: shards of those nodes still list void entries. They close by themselves; see GET /shards?node=.`,
    );
  if (brake !== null)
    problems.push(`The brake holds back fencing: ${brake.reason}. It releases when the nodes renew again.`);
  if (detector === null) problems.push("No failure detector has run yet. It starts with the next minute's schedule.");
  const cut = affected.filter(({ diagnosis }) => LASTING.has(diagnosis.kind));
  problems.push(...affected.map(({ located, diagnosis }) => explainDiagnosis(located.shard, diagnosis)));
  if (more)
    problems.push(
      'More shards may not be able to serve than are named here. See POST /recovery/unclean-elections with dry_run.',
    );
  problems.push(...(await placementProblems(deps, tables)));
  problems.push(...recoveryProblems(recoveries.items.map(({ value }) => value)), ...conditionProblems(conditions));
  return ok({
    status:
      cut.length > 0 || brake !== null || (total > 0 && healthy === 0)
        ? 'CRITICAL'
        : problems.length > 0
          ? 'DEGRADED'
          : 'HEALTHY',
    nodes: { total, healthy, unhealthy: total - healthy, decommissioning: nodes.decommissioning },
    tables: tables.length,
    open_fences: fences
      .slice(0, FENCES_SHOWN_MAX)
      .map((item) => ({ node_id: item.nodeId, node_epoch: item.nodeEpoch })),
    detector: {
      holder: detector?.value.holder ?? null,
      beat: detector?.value.beat ?? 0,
      braked: brake !== null,
      brake_reason: brake?.reason ?? null,
    },
    problems,
  });
};

/** What does not pass by itself within seconds. */
const LASTING: ReadonlySet<string> = new Set(['STALLED', 'QUORUM_LOST']);

function recoveryProblems(recoveries: readonly ShardRecovery[]): string[] {
  const unclean = recoveries.filter(({ kind }) => kind === 'UNCLEAN');
  const atLeast = recoveries.length === RECOVERIES_MAX ? 'at least ' : '';
  const named = (some: readonly ShardRecovery[]): string =>
    some
      .slice(0, SHARDS_SHOWN_MAX)
      .map(({ shardId }) => shardId)
      .join(', ');
  return [
    ...(unclean.length === 0
      ? []
      : [
          `${atLeast}${unclean.length} shards carry data_loss since an UNCLEAN election: acknowledged writes may be missing (${named(unclean)}). Deal with the loss, then POST /recovery/shards/{shard_id}/close.`,
        ]),
    ...(unclean.length === recoveries.length
      ? []
      : [
          `${atLeast}${recoveries.length - unclean.length} shards run below their min_in_sync since a forced shrink (${named(recoveries.filter(({ kind }) => kind === 'SHRINK'))}). It comes back with their copies.`,
        ]),
  ];
}

function conditionProblems(conditions: readonly NodePaceRecord[]): string[] {
  return [
    ...conditions
      .filter(({ pace }) => pace === 'SLOW')
      .slice(0, SHARDS_SHOWN_MAX)
      .map(
        ({ nodeId, reason }) =>
          `Node ${nodeId} is slow: ${reason ?? 'see its statistics'}. Its leaders are moved away; look at its disk and network.`,
      ),
    ...conditions
      .filter(({ disk }) => disk === 'FULL')
      .slice(0, SHARDS_SHOWN_MAX)
      .map(
        ({ nodeId }) =>
          `The disk of node ${nodeId} is full. Its leaders are moved away and it gets no new replicas; free space or drain it.`,
      ),
  ];
}

async function countNodes(deps: Deps): Promise<{ active: number; decommissioning: number }> {
  const nodes = await everyRecord(deps, 'node', {});
  const count = (membership: NodeRecord['membership']): number =>
    nodes.filter((node) => node.membership === membership).length;
  return { active: count('ACTIVE'), decommissioning: count('DECOMMISSIONING') };
}
