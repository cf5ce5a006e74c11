import type { RegisterRequest } from '../contracts/node/heartbeat.ts';
import { nodeId } from '../domain/ids.ts';
import { DEFAULT_NODE_PLACEMENT } from '../domain/records.ts';
import type { NodePlacement, NodeRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import { changeNode, nodeGone } from './node-record.ts';
import type { UseCase } from './types.ts';

/**
 * Labels and capacity weight of a node. It says them when it registers; once an operator has set them, registrations change them no more:
 * an operator knows of the whole fleet, and a restart must not undo what was decided since the node's command line was written.
 */

export const placementOf = (node: NodeRecord): NodePlacement => node.placement ?? DEFAULT_NODE_PLACEMENT;

/** After a registration. What it leaves out stays as it is, so that a node of an earlier release does not wipe it out. */
export function registeredPlacement(
  before: NodeRecord | null,
  { labels, capacity_weight: weight }: Pick<RegisterRequest, 'labels' | 'capacity_weight'>,
): NodePlacement | undefined {
  const known = before?.placement;
  if (known?.setBy === 'OPERATOR' || (labels === undefined && weight === undefined)) return known;
  const base = known ?? DEFAULT_NODE_PLACEMENT;
  return { ...base, labels: labels ?? base.labels, capacityWeight: weight ?? base.capacityWeight };
}

/** As the API shows it, beside a node's other fields. */
export function shownPlacement(node: NodeRecord) {
  const { labels, capacityWeight, setBy } = placementOf(node);
  return {
    labels: { ...labels },
    capacity_weight: capacityWeight,
    placement_set_by: setBy === 'OPERATOR' ? ('operator' as const) : ('registration' as const),
  };
}

export const setNodePlacement: UseCase<'setNodePlacement'> = async (deps, principal, { params, body }) => {
  const id = nodeId(params.node_id);
  const changed = await changeNode(deps, principal, id, 'NODE_PLACEMENT_SET', (node) => {
    if (node.membership === 'DECOMMISSIONED') return err(nodeGone(id));
    // Nothing is asked for: not even that the node's own word no longer counts.
    if (body.labels === undefined && body.capacity_weight === undefined) return ok(null);
    const before = placementOf(node);
    const placement: NodePlacement = {
      ...before,
      labels: body.labels ?? before.labels,
      capacityWeight: body.capacity_weight ?? before.capacityWeight,
      setBy: 'OPERATOR',
    };
    return ok(isSame(before, placement) ? null : { placement });
  });
  if (!changed.ok) return changed;
  const { labels, capacity_weight } = shownPlacement(changed.value);
  return ok({
    status: 'success',
    message: `Node ${id} has ${Object.keys(labels).length} labels and capacity weight ${capacity_weight}`,
    node_id: id,
    labels,
    capacity_weight,
  });
};

function isSame(a: NodePlacement, b: NodePlacement): boolean {
  const keys = Object.keys(a.labels);
  return (
    a.setBy === b.setBy &&
    a.capacityWeight === b.capacityWeight &&
    keys.length === Object.keys(b.labels).length &&
    keys.every((key) => a.labels[key] === b.labels[key])
  );
}
