import type { DrainCheckAnswer } from '../contracts/api/node-care.ts';
import { conflict } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { nodeId } from '../domain/ids.ts';
import type { NodeId, OperationId } from '../domain/ids.ts';
import { checkDrain } from '../domain/rebalance/drain-check.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Deps, LocatedShard, Principal, Stored } from '../ports.ts';
import { readCluster } from './cluster-view.ts';
import { movesUnderWay } from './moves-under-way.ts';
import { nodeChange, nodeGone, nodeNotFound } from './node-record.ts';
import { freeSlot } from './operation-slot.ts';
import { shardReader, snapshotOf } from './plan-snapshot.ts';
import { newOperationId, startOperation } from './start-operation.ts';
import type { UseCase } from './types.ts';

/** Drain and decommission: everything leaves a node (DESIGN section 8, call 3). */

/** DRAIN: the node stays, cordoned. DECOMMISSION: it leaves the cluster. LEADERS: only its leaderships go. */
export type DrainMode = 'DRAIN' | 'DECOMMISSION' | 'LEADERS';

/** What a drain leaves that did not get its node empty in time: everything as before, or the node cordoned. */
export type OnDeadline = 'PUT_BACK' | 'KEEP_CORDON';

/** Null: the drain takes as long as it takes. */
export type DrainDeadline = { readonly seconds: number; readonly then: OnDeadline } | null;

export const drainSlot = (node: NodeId): string => `drain-node:${node}`;

const REPLICA_PAGE = 1000;
/** Replicas that the check looks at: some hundred thousand bytes of reading; of a fuller node it checks so many. */
const CHECKED_REPLICAS_MAX = 20_000;
const OBSTACLES_SHOWN_MAX = 20;

export const decommissionNode: UseCase<'decommissionNode'> = (deps, principal, { params, query }) =>
  drain(deps, principal, nodeId(params.node_id), {
    mode: 'DECOMMISSION',
    isDryRun: query.dry_run === 'true',
    deadline: deadlineOf(query),
  });

export const drainNode: UseCase<'drainNode'> = (deps, principal, { params, body }) =>
  drain(deps, principal, nodeId(params.node_id), {
    mode: 'DRAIN',
    isDryRun: body?.dry_run === true,
    deadline: deadlineOf(body ?? {}),
  });

const deadlineOf = (asked: {
  readonly deadline_seconds?: number | undefined;
  readonly on_deadline?: 'put_back' | 'keep_cordon' | undefined;
}): DrainDeadline =>
  asked.deadline_seconds === undefined
    ? null
    : { seconds: asked.deadline_seconds, then: asked.on_deadline === 'keep_cordon' ? 'KEEP_CORDON' : 'PUT_BACK' };

async function drain(
  deps: Deps,
  principal: Principal,
  id: NodeId,
  wanted: {
    readonly mode: 'DRAIN' | 'DECOMMISSION';
    readonly isDryRun: boolean;
    readonly deadline: DrainDeadline;
  },
): ReturnType<typeof drainNode> {
  const { mode, isDryRun, deadline } = wanted;
  const stored = await deps.records.get('node', { nodeId: id });
  if (stored === null) return err(nodeNotFound(id));
  if (stored.value.membership === 'DECOMMISSIONED') return err(nodeGone(id));
  const check = await checkNode(deps, id);
  const answer = { status: 'success' as const, node_id: id, check };
  if (isDryRun) return ok({ ...answer, message: inWords(id, check), operation_id: null });
  if (!check.fits) return err(blocked(id, check));
  const started = await startDrain(deps, principal, stored, mode, check.replicas, deadline);
  if (!started.ok) return started;
  const message = mode === 'DRAIN' ? `Node ${id} is being drained` : `Node ${id} marked for decommission`;
  return ok({ ...answer, message, operation_id: started.value });
}

/** Cordons the node, and starts the operation in the same commit; of two at once one is refused. */
export async function startDrain(
  deps: Deps,
  principal: Principal,
  stored: Stored<'node'>,
  mode: DrainMode,
  replicas: number,
  deadline: DrainDeadline = null,
): Promise<Result<OperationId, Fault>> {
  const node = stored.value;
  const slot = await freeSlot(deps, drainSlot(node.nodeId));
  if (!slot.ok) return err(drainRunning(node.nodeId, slot.error.holder));
  const operationId = newOperationId(deps);
  const action = mode === 'DECOMMISSION' ? 'NODE_DECOMMISSIONING' : 'NODE_DRAINING';
  const change = mode === 'LEADERS' ? null : nodeChange(principal, stored, drainedPatch(mode), action);
  const started = await startOperation(deps, principal, {
    type: 'drain-node',
    operationId,
    // What a cancel puts back. A maintenance that is under way ends by itself.
    input: {
      node_id: node.nodeId,
      mode,
      cordoned_before: node.cordoned,
      membership_before: node.membership,
      ...(deadline === null ? {} : { deadline_seconds: deadline.seconds, on_deadline: deadline.then }),
    },
    progress: { total: replicas, unit: mode === 'LEADERS' ? 'leaders' : 'replicas' },
    also: {
      writes: [slot.value.taking(operationId), ...(change?.writes ?? [])],
      audit: change?.audit ?? [],
      events: change?.events ?? [],
    },
  });
  if (started.ok) return ok(operationId);
  return err(conflict('CONFLICT', `Node ${node.nodeId} just changed. Send the request again.`));
}

export const drainedPatch = (mode: 'DRAIN' | 'DECOMMISSION') => ({
  cordoned: true,
  ...(mode === 'DECOMMISSION' ? { membership: 'DECOMMISSIONING' as const } : {}),
});

/** Would everything on the node fit elsewhere? A dead node's replicas are copied from their leaders, so they count like others. */
async function checkNode(deps: Deps, id: NodeId): Promise<DrainCheckAnswer> {
  const [view, moves] = await Promise.all([readCluster(deps), movesUnderWay(deps)]);
  const builder = snapshotOf(view, new Map([[id, 'DRAINING']]));
  const shardOf = shardReader(view, moves);
  let seen = 0;
  for await (const { shard } of shardsOn(deps, id)) {
    builder.addShard(shardOf(shard));
    seen += 1;
    if (seen >= CHECKED_REPLICAS_MAX) break;
  }
  const { fits, replicas, bytes, waiting, refused, obstacles } = checkDrain(builder.build(), [id]);
  return {
    fits,
    replicas,
    bytes,
    waiting,
    refused,
    obstacles: obstacles.slice(0, OBSTACLES_SHOWN_MAX).map(({ shardId, reasons }) => ({
      shard_id: shardId,
      reasons: reasons.map(({ reason, count }) => ({ reason, count })),
    })),
  };
}

/** Shards with a replica on the node, page by page. */
export async function* shardsOn(deps: Deps, id: NodeId): AsyncGenerator<LocatedShard> {
  let after: string | undefined;
  for (;;) {
    const page = await deps.directory.replicasOn(id, {
      limit: REPLICA_PAGE,
      ...(after === undefined ? {} : { after }),
    });
    for (const located of await deps.directory.resolve(page.replicas)) if (located !== null) yield located;
    if (page.next === null) return;
    after = page.next;
  }
}

function inWords(id: NodeId, { fits, replicas, refused }: DrainCheckAnswer): string {
  if (fits) return `Nothing was changed: the ${replicas} replicas on ${id} would fit elsewhere`;
  return `Nothing was changed: ${refused} of ${replicas} replicas on ${id} would find no other node`;
}

function blocked(id: NodeId, check: DrainCheckAnswer): Fault {
  const nearest = check.obstacles[0]?.reasons[0]?.reason ?? 'NO_BETTER_TARGET';
  return conflict(
    'DRAIN_BLOCKED',
    `${check.refused} of ${check.replicas} replicas on ${id} would find no other node (${nearest}). Add nodes in other zones (with the labels that placement rules ask for), uncordon some, or lower the replication factor.`,
    { detail: { ...check } },
  );
}

export const drainRunning = (id: NodeId, holder: OperationId): Fault =>
  conflict('DRAIN_RUNNING', `Node ${id} is being drained by ${holder}. Wait for its end, or cancel it.`, {
    detail: { operation_id: holder },
  });
