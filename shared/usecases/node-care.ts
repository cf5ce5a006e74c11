import { toTimestamp } from '../contracts/primitives.ts';
import { nodeId } from '../domain/ids.ts';
import type { NodeId } from '../domain/ids.ts';
import { hasEnded } from '../domain/operation.ts';
import type { NodeRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Fault } from '../domain/faults.ts';
import type { Deps, Principal } from '../ports.ts';
import { drainRunning, drainSlot, shardsOn, startDrain } from './drain-node.ts';
import { everyRecord } from './every-record.ts';
import { changeNode, nodeGone } from './node-record.ts';
import { freeSlot } from './operation-slot.ts';
import type { UseCase } from './types.ts';

/** Cordon, uncordon, maintenance. */

const answer = (node: NodeRecord, message: string) => ({
  status: 'success' as const,
  message,
  node_id: node.nodeId,
  cordoned: node.cordoned,
});

const present = (node: NodeRecord): Result<null, Fault> =>
  node.membership === 'DECOMMISSIONED' ? err(nodeGone(node.nodeId)) : ok(null);

export const cordonNode: UseCase<'cordonNode'> = async (deps, principal, { params }) => {
  const changed = await changeNode(deps, principal, nodeId(params.node_id), 'NODE_CORDONED', (node) => {
    const there = present(node);
    if (!there.ok) return there;
    if (node.maintenance !== null && !node.maintenance.cordonedBefore)
      return ok({ cordoned: true, maintenance: { ...node.maintenance, cordonedBefore: true } });
    return ok(node.cordoned ? null : { cordoned: true });
  });
  if (!changed.ok) return changed;
  return ok(answer(changed.value, `Node ${params.node_id} is cordoned: it takes no new replicas`));
};

export const uncordonNode: UseCase<'uncordonNode'> = async (deps, principal, { params }) => {
  const id = nodeId(params.node_id);
  // What a drain cordoned, its cancel uncordons. The leaders of a maintenance may be on their way: that does no harm.
  const holder = await drainOf(deps, id);
  if (holder !== null) return err(drainRunning(id, holder));
  const changed = await changeNode(deps, principal, id, 'NODE_UNCORDONED', (node) => {
    const there = present(node);
    if (!there.ok) return there;
    return ok(node.cordoned || node.maintenance !== null ? { cordoned: false, maintenance: null } : null);
  });
  if (!changed.ok) return changed;
  return ok(answer(changed.value, `Node ${params.node_id} takes new replicas`));
};

/** The drain of the node that has not ended; null if there is none, or it only moves leaders. */
async function drainOf(deps: Deps, id: NodeId) {
  const slot = await freeSlot(deps, drainSlot(id));
  if (slot.ok) return null;
  const { holder } = slot.error;
  const stored = await deps.records.get('operation', { operationId: holder });
  if (stored === null || hasEnded(stored.value)) return null;
  return (stored.value.input as { readonly mode?: string }).mode === 'LEADERS' ? null : holder;
}

export const maintainNode: UseCase<'maintainNode'> = async (deps, principal, { params, body }) => {
  const id = nodeId(params.node_id);
  const untilMs = deps.clock.wallMs() + body.seconds * 1000;
  const changed = await changeNode(deps, principal, id, 'NODE_MAINTENANCE_STARTED', (node) => {
    const there = present(node);
    if (!there.ok) return there;
    const cordonedBefore = node.maintenance?.cordonedBefore ?? node.cordoned;
    return ok({ cordoned: true, maintenance: { untilMs, cordonedBefore } });
  });
  if (!changed.ok) return changed;
  const until = toTimestamp(untilMs);
  const message = `Node ${id} is under maintenance until ${until}`;
  const operation = await moveLeadersAway(deps, principal, id);
  if (!operation.ok) return operation;
  return ok({ ...answer(changed.value, message), operation_id: operation.value, until });
};

/** Starts the operation that empties the node of leaders; null if it leads nothing, or a drain is about it already. */
async function moveLeadersAway(deps: Deps, principal: Principal, id: NodeId) {
  let leaders = 0;
  for await (const { shard } of shardsOn(deps, id)) if (shard.leader.nodeId === id) leaders += 1;
  const stored = await deps.records.get('node', { nodeId: id });
  if (leaders === 0 || stored === null) return ok(null);
  const started = await startDrain(deps, principal, stored, 'LEADERS', leaders);
  return started.ok || started.error.code === 'DRAIN_RUNNING' ? ok(started.ok ? started.value : null) : started;
}

/** Ends every maintenance whose time is over: the node goes back to what it was. */
export async function endMaintenance(deps: Deps, by: Principal): Promise<void> {
  const nowMs = deps.clock.wallMs();
  for (const { nodeId: id, maintenance } of await everyRecord(deps, 'node', {})) {
    if (maintenance === null || maintenance.untilMs > nowMs) continue;
    const ended = await changeNode(deps, by, id, 'NODE_MAINTENANCE_ENDED', (node) => {
      // Prolonged meanwhile, or ended by hand.
      if (node.maintenance === null || node.maintenance.untilMs > nowMs) return ok(null);
      const cordoned = node.membership === 'ACTIVE' ? node.maintenance.cordonedBefore : node.cordoned;
      return ok({ cordoned, maintenance: null });
    });
    if (!ended.ok) deps.log.warn('maintenance-not-ended', { nodeId: id, code: ended.error.code });
  }
}
