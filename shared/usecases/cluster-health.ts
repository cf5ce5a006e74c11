import { isMarkedExpired } from '../domain/detector.ts';
import { ok } from '../domain/result.ts';
import type { Deps } from '../ports.ts';
import { readAllLiveness } from './liveness-view.ts';
import type { UseCase } from './types.ts';

/** Records of one query page. */
const PAGE = 1000;
const PAGES_MAX = 1000;
/** Open fences named in the answer; their number is in `problems`. */
const FENCES_SHOWN_MAX = 100;

export const clusterHealth: UseCase<'clusterHealth'> = async (deps) => {
  const [liveness, detector, nodes, tables] = await Promise.all([
    readAllLiveness(deps),
    deps.records.get('detector', {}),
    countNodes(deps),
    countTables(deps),
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
    tables,
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
  const counts = { active: 0, decommissioning: 0 };
  let after: string | undefined;
  for (let page = 0; page < PAGES_MAX; page++) {
    const answer = await deps.records.query('node', {
      partition: {},
      order: 'forward',
      limit: PAGE,
      ...(after === undefined ? {} : { after }),
    });
    for (const { value } of answer.items) {
      if (value.membership === 'ACTIVE') counts.active += 1;
      if (value.membership === 'DECOMMISSIONING') counts.decommissioning += 1;
    }
    if (answer.next === null) return counts;
    after = answer.next;
  }
  throw new Error(`more than ${PAGES_MAX * PAGE} nodes`);
}

async function countTables(deps: Deps): Promise<number> {
  let count = 0;
  let after: string | undefined;
  for (let page = 0; page < PAGES_MAX; page++) {
    const answer = await deps.records.query('table', {
      partition: {},
      order: 'forward',
      limit: PAGE,
      ...(after === undefined ? {} : { after }),
    });
    count += answer.items.length;
    if (answer.next === null) return count;
    after = answer.next;
  }
  throw new Error(`more than ${PAGES_MAX * PAGE} tables`);
}
