import { unhealthyReason } from '../membership.ts';
import type { LivenessRecord } from '../lease.ts';
import type { NodeRecord } from '../records.ts';
import type { NodeState } from './snapshot.ts';

/** What a node is good for, from its record and its lease. */
export function nodeState(
  node: Pick<NodeRecord, 'membership' | 'cordoned' | 'maintenance'>,
  lease: LivenessRecord | null,
  nowMs: number,
): NodeState {
  if (unhealthyReason(lease) !== null) return 'UNHEALTHY';
  if (node.membership !== 'ACTIVE') return 'DECOMMISSIONING';
  if (isMaintained(node, nowMs)) return 'MAINTENANCE';
  return node.cordoned ? 'CORDONED' : 'AVAILABLE';
}

export const isMaintained = (node: Pick<NodeRecord, 'maintenance'>, nowMs: number): boolean =>
  node.maintenance !== null && node.maintenance.untilMs > nowMs;
