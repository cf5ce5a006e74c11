import type { NodeId } from '../domain/ids.ts';
import { DEFAULT_PLAN_OPTIONS } from '../domain/rebalance/options.ts';
import { allows, leaderRank } from '../domain/rebalance/rules.ts';
import type { PlacementRules } from '../domain/rebalance/rules.ts';
import { takesReplicas } from '../domain/rebalance/snapshot.ts';
import type { RebalanceSettings } from '../domain/waves/settings.ts';
import type { Deps, Principal } from '../ports.ts';
import { readCluster } from './cluster-view.ts';
import type { ClusterNode } from './cluster-view.ts';
import { freeSlot, takeTurn } from './operation-slot.ts';
import { misplacement } from './placement-tick.ts';
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
  if (!(await freeSlot(deps, REBALANCE_SLOT)).ok) return;
  const detector = await deps.records.get('detector', {});
  if (detector !== null && detector.value.brake !== null) return;
  const view = await readCluster(deps);
  const mode = (await misplacement(deps, view)) ?? imbalance(view.nodes, view.rules);
  if (mode === null) return;
  const started = await startRebalance(deps, by, { mode: mode.mode, table: null }, null);
  // REBALANCE_RUNNING: one is under way, which is as good.
  if (started.ok) deps.log.info('rebalance-started', { mode: mode.mode, node_id: mode.nodeId, reason: mode.reason });
}

export interface Imbalance {
  readonly mode: 'all' | 'leaders';
  /** Null: it is not about one node. */
  readonly nodeId: NodeId | null;
  readonly reason: 'REPLICAS' | 'BYTES' | 'LEADERS' | 'PLACEMENT';
}

/**
 * The first of replicas, bytes, leaders that is outside the tolerance band; null while all is even. Only nodes that the placement rules treat alike
 * are held against each other: that others hold more or less is what the rules want. Slow nodes: gray-failure.ts.
 */
export function imbalance(nodes: readonly ClusterNode[], rules: PlacementRules = []): Imbalance | null {
  const takers = nodes.filter(takesReplicas);
  const holds = (node: ClusterNode): string => rules.map((rule) => Number(allows(rule, node.labels ?? {}))).join('');
  const leads = (node: ClusterNode): string => `${holds(node)}:${rules.map((rule) => leaderRank(rule, node)).join('')}`;
  const alike = [...Map.groupBy(takers, holds).values()];
  const leadersAlike = [...Map.groupBy(takers, leads).values()];
  for (const group of alike) {
    const found = unevenData(group);
    if (found !== null) return found;
  }
  for (const group of leadersAlike) {
    const nodeId = outside(group, (node) => node.leaders ?? 0, DEFAULT_PLAN_OPTIONS.leaders.start, 1);
    if (nodeId !== null) return { mode: 'leaders', nodeId, reason: 'LEADERS' };
  }
  return null;
}

function unevenData(takers: readonly ClusterNode[]): Imbalance | null {
  const { replicas, bytes, bytesPerNodeMin } = DEFAULT_PLAN_OPTIONS;
  const byReplicas = outside(takers, (node) => node.replicas, replicas.start, 1);
  if (byReplicas !== null) return { mode: 'all', nodeId: byReplicas, reason: 'REPLICAS' };
  const byBytes = outside(takers, (node) => node.bytes ?? 0, bytes.start, bytesPerNodeMin);
  return byBytes === null ? null : { mode: 'all', nodeId: byBytes, reason: 'BYTES' };
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
