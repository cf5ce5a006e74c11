import type { NodeId } from '../domain/ids.ts';
import { DEFAULT_PLAN_OPTIONS } from '../domain/rebalance/options.ts';
import { takesReplicas } from '../domain/rebalance/snapshot.ts';
import type { RebalanceSettings } from '../domain/waves/settings.ts';
import type { Deps, Principal } from '../ports.ts';
import { readCluster } from './cluster-view.ts';
import type { ClusterNode } from './cluster-view.ts';
import { takeTurn } from './operation-slot.ts';
import { REBALANCE_SLOT, startRebalance } from './rebalance.ts';

/**
 * The balance tick: starts a rebalance when nodes hold more or less than their share. It looks at what nodes told and at counts alone; the
 * operation itself reads the shards and plans.
 */

export async function rebalanceIfDue(deps: Deps, by: Principal, settings: RebalanceSettings): Promise<void> {
  if (settings.tick === 'off') return;
  if (!(await takeTurn(deps, 'balance-check', settings.checkEverySeconds * 1000))) return;
  const slot = await deps.records.get('operationSlot', { slot: REBALANCE_SLOT });
  if ((slot?.value.notBeforeMs ?? 0) > deps.clock.wallMs()) return;
  const detector = await deps.records.get('detector', {});
  if (detector !== null && detector.value.brake !== null) return;
  const { nodes } = await readCluster(deps);
  const mode = imbalance(nodes);
  if (mode === null) return;
  const started = await startRebalance(deps, by, { mode: mode.mode, table: null }, null);
  // REBALANCE_RUNNING: one is under way, which is as good.
  if (started.ok) deps.log.info('rebalance-started', { mode: mode.mode, node_id: mode.nodeId, reason: mode.reason });
}

export interface Imbalance {
  readonly mode: 'all' | 'leaders';
  readonly nodeId: NodeId;
  readonly reason: 'REPLICAS' | 'BYTES' | 'LEADERS';
}

/** The first of replicas, bytes, leaders that is outside the tolerance band; null while all is even. Slow nodes: gray-failure.ts. */
export function imbalance(nodes: readonly ClusterNode[]): Imbalance | null {
  const takers = nodes.filter(takesReplicas);
  const { replicas, bytes, leaders, bytesPerNodeMin } = DEFAULT_PLAN_OPTIONS;
  const byReplicas = outside(takers, (node) => node.replicas, replicas.start, 1);
  if (byReplicas !== null) return { mode: 'all', nodeId: byReplicas, reason: 'REPLICAS' };
  const byBytes = outside(takers, (node) => node.bytes ?? 0, bytes.start, bytesPerNodeMin);
  if (byBytes !== null) return { mode: 'all', nodeId: byBytes, reason: 'BYTES' };
  const byLeaders = outside(takers, (node) => node.leaders ?? 0, leaders.start, 1);
  return byLeaders === null ? null : { mode: 'leaders', nodeId: byLeaders, reason: 'LEADERS' };
}

/** A node whose value is further from its share than the band allows, and by more than `least`: whole replicas do not divide evenly. */
function outside(
  nodes: readonly ClusterNode[],
  valueOf: (node: ClusterNode) => number,
  band: number,
  least: number,
): NodeId | null {
  const weights = nodes.reduce((sum, { weight = 1 }) => sum + weight, 0);
  const total = nodes.reduce((sum, node) => sum + valueOf(node), 0);
  const off = nodes.find((node) => {
    const share = (total * (node.weight ?? 1)) / weights;
    return Math.abs(valueOf(node) - share) > Math.max(share * band, least);
  });
  return off?.nodeId ?? null;
}
