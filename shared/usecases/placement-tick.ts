import { stableBucket } from '../domain/liveness-bucket.ts';
import { takesReplicas } from '../domain/rebalance/snapshot.ts';
import type { Deps } from '../ports.ts';
import type { Imbalance } from './balance-tick.ts';
import type { ClusterNode, ClusterView } from './cluster-view.ts';
import { everyRecord } from './every-record.ts';
import { makePlan } from './rebalance-plan.ts';
import { PLANNED_AT_ONCE_SHARDS_MAX } from './rebalance.ts';

/**
 * Does the cluster follow its placement rules? Counts of nodes don't tell: that takes a plan over all shards. It is made when rules, labels, weights
 * or the set of nodes have changed since nothing was to be moved, and otherwise seldom, for leaders that a failover left where they are not preferred.
 */

const SLOT = 'placement-check';
const EVERY_MS = 900_000;
/** Marks of different fleets differ but for one chance in so many; a miss waits for the next seldom look. */
const MARKS = 0xffff_ffff;

const MISPLACED: Imbalance = { mode: 'all', nodeId: null, reason: 'PLACEMENT' };

/** Null: there are no rules, nothing is known to have changed, or nothing would move. */
export async function misplacement(deps: Deps, view: ClusterView): Promise<Imbalance | null> {
  if (view.rules.length === 0) return null;
  const nowMs = deps.clock.wallMs();
  const stored = await deps.records.get('operationSlot', { slot: SLOT });
  const mark = markOf(view);
  if (stored !== null && stored.value.carried === mark && stored.value.notBeforeMs > nowMs) return null;
  const shards = (await everyRecord(deps, 'table', {})).reduce((sum, table) => sum + table.shardCount, 0);
  // A plan for so many takes too long for a tick: the operation makes it, and ends at once if nothing is to move.
  const isLarge = shards > PLANNED_AT_ONCE_SHARDS_MAX;
  // A plan moves one copy of a shard at a time: it is looked at again after each rebalance until nothing is left.
  if (!isLarge && (await wouldMove(deps))) return MISPLACED;
  await deps.records.observe({
    kind: 'put',
    entity: 'operationSlot',
    value: { slot: SLOT, operationId: null, notBeforeMs: nowMs + EVERY_MS, carried: mark },
    when: [stored === null ? { kind: 'absent' } : { kind: 'revision', is: stored.revision }],
  });
  return isLarge ? MISPLACED : null;
}

async function wouldMove(deps: Deps): Promise<boolean> {
  const plan = await makePlan(deps, { mode: 'all', table: null });
  return plan.moves.length + plan.leaderMoves.length > 0;
}

/** What the rules decide upon, in few characters. */
function markOf({ rulesRevision, nodes }: ClusterView): string {
  const text = (node: ClusterNode): string =>
    [
      node.nodeId,
      node.zone,
      node.weight ?? 1,
      takesReplicas(node) ? 'takes' : 'keeps',
      ...Object.entries(node.labels ?? {})
        .map(([key, value]) => `${key}=${value}`)
        .sort(),
    ].join(' ');
  return `${rulesRevision}-${stableBucket(nodes.map(text).join('\n'), MARKS)}`;
}
