import { conflict, notFound } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import type { NodeId } from '../domain/ids.ts';
import type { NodeRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Change, Deps, Principal, Stored } from '../ports.ts';
import { principalName } from './principal.ts';

/** Changes of a node's record: cordoned, under maintenance, leaving, labelled. */

export type NodePatch = Partial<Pick<NodeRecord, 'cordoned' | 'membership' | 'maintenance' | 'placement'>>;
export type NodeAction =
  | 'NODE_CORDONED'
  | 'NODE_UNCORDONED'
  | 'NODE_DRAINING'
  | 'NODE_DECOMMISSIONING'
  | 'NODE_DECOMMISSIONED'
  | 'NODE_DRAIN_CANCELLED'
  | 'NODE_MAINTENANCE_STARTED'
  | 'NODE_MAINTENANCE_ENDED'
  | 'NODE_PLACEMENT_SET';

/** Registrations write the record too; each loss means that one got through. */
const ATTEMPTS_MAX = 4;

/** The change as part of a commit, conditional on the revision that was read. */
export function nodeChange(
  principal: Principal,
  stored: Stored<'node'>,
  patch: NodePatch,
  action: NodeAction,
): Change & { readonly value: NodeRecord } {
  const value: NodeRecord = { ...stored.value, ...patch };
  const { placement, ...state } = patch;
  return {
    value,
    writes: [{ kind: 'put', entity: 'node', value, when: [{ kind: 'revision', is: stored.revision }] }],
    audit: [
      {
        entity: `node:${value.nodeId}`,
        number: stored.revision + 1,
        action,
        principal: principalName(principal),
        detail: { ...state, ...(placement === undefined ? {} : { placement: { ...placement } }) },
      },
    ],
    events: [{ eventType: action, payload: { node_id: value.nodeId } }],
  };
}

export const nodeNotFound = (id: string): Fault =>
  notFound('NODE_NOT_FOUND', `No node is registered as ${id}. List nodes with GET /cluster/nodes.`);

export const nodeGone = (id: string): Fault =>
  conflict('NODE_DECOMMISSIONED', `Node ${id} was decommissioned; its id is not used again.`);

/** Reads the record, decides, commits; again when it changed meanwhile. `decide` gives null when nothing is to be changed. */
export async function changeNode(
  deps: Deps,
  principal: Principal,
  id: NodeId,
  action: NodeAction,
  decide: (node: NodeRecord) => Result<NodePatch | null, Fault>,
): Promise<Result<NodeRecord, Fault>> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const stored = await deps.records.get('node', { nodeId: id });
    if (stored === null) return err(nodeNotFound(id));
    const decided = decide(stored.value);
    if (!decided.ok) return decided;
    if (decided.value === null) return ok(stored.value);
    const { value, ...change } = nodeChange(principal, stored, decided.value, action);
    if ((await deps.records.commit(change)).ok) return ok(value);
  }
  return err(conflict('CONFLICT', `Node ${id} keeps changing. Send the request again.`, { retryAfterSeconds: 1 }));
}
