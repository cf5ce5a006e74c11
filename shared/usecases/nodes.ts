import { toTimestamp } from '../contracts/primitives.ts';
import { isMarkedExpired } from '../domain/detector.ts';
import { conflict, notFound } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { nodeId } from '../domain/ids.ts';
import type { NodeId } from '../domain/ids.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import type { NodePaceRecord, NodeRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import type { Deps } from '../ports.ts';
import { STORE_CONCURRENCY } from './concurrency.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { readConditions } from './gray-failure.ts';
import { readLiveness } from './liveness-view.ts';
import { shownPlacement } from './node-placement.ts';
import { principalName } from './principal.ts';
import type { UseCase } from './types.ts';
import { LIST_LIMIT_DEFAULT } from '../contracts/primitives.ts';

export { registerNode } from './register-node.ts';

/** Replica pointers of one query page. */
const REPLICA_PAGE = 1000;
/** A node holds at most this many pages of replicas (1,000,000); passing it is an error, not a silent stop. */
const REPLICA_PAGES_MAX = 1000;
const JOIN_TOKEN_LIFETIME_S = 3600;

/** Status as the API shows it: UNHEALTHY when fenced, released, or observed expired. */
export function nodeStatus(node: NodeRecord, liveness: LivenessRecord): 'HEALTHY' | 'UNHEALTHY' | 'DECOMMISSIONING' {
  if (node.membership === 'DECOMMISSIONING') return 'DECOMMISSIONING';
  const up = liveness.incarnation !== null && !liveness.released && !isMarkedExpired(liveness);
  return up ? 'HEALTHY' : 'UNHEALTHY';
}

/** Number of replicas on a node, counted from its rows (strongly consistent). */
export async function countReplicas(deps: Deps, node: NodeId): Promise<number> {
  let count = 0;
  let after: string | undefined;
  for (let page = 0; page < REPLICA_PAGES_MAX; page++) {
    const answer = await deps.directory.replicasOn(node, {
      limit: REPLICA_PAGE,
      ...(after === undefined ? {} : { after }),
    });
    count += answer.replicas.length;
    if (answer.next === null) return count;
    after = answer.next;
  }
  throw new Error(`node ${node} has more than ${REPLICA_PAGES_MAX * REPLICA_PAGE} replicas`);
}

function shown(node: NodeRecord, liveness: LivenessRecord, shards: number, condition: NodePaceRecord | undefined) {
  return {
    node_id: node.nodeId,
    host: node.host,
    port: node.port,
    zone: node.zone,
    status: nodeStatus(node, liveness),
    shards,
    cordoned: node.cordoned,
    slow: condition?.pace === 'SLOW',
    disk_full: condition?.disk === 'FULL',
    node_epoch: liveness.nodeEpoch,
    last_heartbeat: toTimestamp(liveness.lastHeartbeatMs),
    lease_profile: liveness.profile,
    version: node.version,
    ...shownPlacement(node),
  };
}

export const listNodes: UseCase<'listNodes'> = async (deps, _principal, { query }) => {
  const after = decodeCursor(query.cursor);
  if (!after.ok) return after;
  const page = await deps.records.query('node', {
    partition: {},
    order: 'forward',
    limit: query.limit ?? LIST_LIMIT_DEFAULT,
    ...(after.value === null ? {} : { after: after.value }),
  });
  // A tombstone leaves the list (DESIGN section 8, call 2).
  const nodes = page.items.map((stored) => stored.value).filter((node) => node.membership !== 'DECOMMISSIONED');
  const view = await readLiveness(
    deps,
    nodes.map((node) => node.nodeId),
  );
  const conditions = new Map((await readConditions(deps)).map((condition) => [condition.nodeId, condition]));
  const listed = await mapBounded(nodes, STORE_CONCURRENCY, async (node) => {
    const liveness = view.get(node.nodeId);
    if (liveness === undefined) return null;
    return shown(node, liveness, await countReplicas(deps, node.nodeId), conditions.get(node.nodeId));
  });
  return ok({ nodes: listed.filter((node) => node !== null), next_cursor: encodeCursor(page.next) });
};

export const getNode: UseCase<'getNode'> = async (deps, _principal, { params }) => {
  const found = await loadNode(deps, nodeId(params.node_id));
  if (!found.ok) return found;
  const { node, liveness } = found.value;
  const condition = await deps.records.get('nodePace', { nodeId: node.nodeId });
  let shards = 0;
  let leaders = 0;
  let after: string | undefined;
  for (let page = 0; page < REPLICA_PAGES_MAX; page++) {
    const answer = await deps.directory.replicasOn(node.nodeId, {
      limit: REPLICA_PAGE,
      ...(after === undefined ? {} : { after }),
    });
    shards += answer.replicas.length;
    const located = await deps.directory.resolve(answer.replicas);
    leaders += located.filter((entry) => entry?.shard.leader.nodeId === node.nodeId).length;
    if (answer.next === null) break;
    after = answer.next;
  }
  return ok({
    ...shown(node, liveness, shards, condition?.value),
    leaders,
    incarnation: liveness.incarnation,
    store_uuid: liveness.storeUuid,
    fence_open: liveness.openFence !== null,
    registered_at: toTimestamp(node.registeredAtMs),
  });
};

/** A node's record and liveness, or NODE_NOT_FOUND. */
export async function loadNode(
  deps: Deps,
  id: NodeId,
): Promise<Result<{ node: NodeRecord; liveness: LivenessRecord }, Fault>> {
  const [node, liveness] = await Promise.all([
    deps.records.get('node', { nodeId: id }),
    deps.liveness.of([id]).then((found) => found.get(id)),
  ]);
  if (node === null || liveness === undefined) {
    return err(notFound('NODE_NOT_FOUND', `No node is registered as ${id}. List nodes with GET /cluster/nodes.`));
  }
  return ok({ node: node.value, liveness });
}

export const createJoinToken: UseCase<'createJoinToken'> = async (deps, principal, { body }) => {
  const tokenId = `join-${deps.random.hex(8)}`;
  const nowMs = deps.clock.wallMs();
  const lifetimeMs = (body.lifetime_seconds ?? JOIN_TOKEN_LIFETIME_S) * 1000;
  const createdBy = principalName(principal);
  const committed = await deps.records.commit({
    writes: [
      {
        kind: 'put',
        entity: 'joinToken',
        value: { tokenId, createdBy, createdAtMs: nowMs, expiresAtMs: nowMs + lifetimeMs, usedBy: null },
        when: [{ kind: 'absent' }],
      },
    ],
    audit: [
      { entity: `join-token:${tokenId}`, number: 1, action: 'JOIN_TOKEN_CREATED', principal: createdBy, detail: {} },
    ],
    events: [],
  });
  if (!committed.ok) return err(conflict('CONFLICT', 'The token id was taken. Send the request again.'));
  const joinToken = await deps.tokens.issue({ kind: 'joiner', tokenId }, lifetimeMs);
  return ok({
    status: 'success',
    token_id: tokenId,
    join_token: joinToken,
    expires_at: toTimestamp(nowMs + lifetimeMs),
  });
};
