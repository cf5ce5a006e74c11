import { isMarkedExpired } from '../domain/detector.ts';
import { ok } from '../domain/result.ts';
import type { NodeRecord } from '../domain/records.ts';
import type { Deps } from '../ports.ts';
import { everyRecord } from './every-record.ts';
import { readAllLiveness } from './liveness-view.ts';
import type { UseCase } from './types.ts';

/** Open fences named in the answer; their number is in `problems`. */
const FENCES_SHOWN_MAX = 100;

export const clusterHealth: UseCase<'clusterHealth'> = async (deps) => {
  const [liveness, detector, nodes, tables] = await Promise.all([
    readAllLiveness(deps),
    deps.records.get('detector', {}),
    countNodes(deps),
    everyRecord(deps, 'table', {}),
  ]);
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
  return ok({
    status: brake !== null || (total > 0 && healthy === 0) ? 'CRITICAL' : problems.length > 0 ? 'DEGRADED' : 'HEALTHY',
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

async function countNodes(deps: Deps): Promise<{ active: number; decommissioning: number }> {
  const nodes = await everyRecord(deps, 'node', {});
  const count = (membership: NodeRecord['membership']): number =>
    nodes.filter((node) => node.membership === membership).length;
  return { active: count('ACTIVE'), decommissioning: count('DECOMMISSIONING') };
}
