import { unhealthyReason } from '../domain/membership.ts';
import { allows } from '../domain/rebalance/rules.ts';
import type { PlacementRule } from '../domain/rebalance/rules.ts';
import type { NodeRecord } from '../domain/records.ts';
import type { Deps } from '../ports.ts';
import { everyRecord } from './every-record.ts';
import { readLiveness } from './liveness-view.ts';
import { placementOf } from './node-placement.ts';

/** Nodes that can hold a replica now, and how many more could if they were not cordoned, or alive. */
export interface AbleNodes {
  readonly able: number;
  readonly cordoned: number;
  /** Fenced, released, or seen expired. */
  readonly down: number;
}

/**
 * Members as they are now, counted rule by rule. A node that is leaving or has left is no member: it takes nothing any more. Strong reads, one
 * for each 100 nodes; the whole is no snapshot, and needs to be none: operations look again at every step.
 */
export async function readAbleNodes(deps: Deps): Promise<(rule: PlacementRule) => AbleNodes> {
  const members = (await everyRecord(deps, 'node', {})).filter(({ membership }) => membership === 'ACTIVE');
  const leases = await readLiveness(
    deps,
    members.map(({ nodeId }) => nodeId),
  );
  const stateOf = ({ nodeId, cordoned }: NodeRecord): keyof AbleNodes => {
    if (cordoned) return 'cordoned';
    return unhealthyReason(leases.get(nodeId)) === null ? 'able' : 'down';
  };
  const states = members.map((node) => ({ labels: placementOf(node).labels, state: stateOf(node) }));
  return (rule) => {
    const counts = { able: 0, cordoned: 0, down: 0 };
    for (const { labels, state } of states) if (allows(rule, labels)) counts[state] += 1;
    return counts;
  };
}

export const membersIn = ({ able, cordoned, down }: AbleNodes): number => able + cordoned + down;

/** `2 nodes that can take replicas (beside 1 cordoned, 1 down)`. */
export function ableInWords({ able, cordoned, down }: AbleNodes): string {
  const others = [...(cordoned > 0 ? [`${cordoned} cordoned`] : []), ...(down > 0 ? [`${down} down`] : [])];
  const beside = others.length === 0 ? '' : ` (beside ${others.join(', ')})`;
  return `${able} ${able === 1 ? 'node' : 'nodes'} that can take replicas${beside}`;
}
