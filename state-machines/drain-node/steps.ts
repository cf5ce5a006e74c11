import { nodeId } from '../../shared/domain/ids.ts';
import type { NodeId } from '../../shared/domain/ids.ts';
import { planLeaderBalance } from '../../shared/domain/rebalance/plan.ts';
import { isMaintained } from '../../shared/domain/rebalance/node-state.ts';
import type { NodeRecord, OperationRecord } from '../../shared/domain/records.ts';
import { ok } from '../../shared/domain/result.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { WavePart } from '../../shared/domain/waves/parts.ts';
import { budgetOf } from '../../shared/domain/waves/settings.ts';
import type { Deps, Stored } from '../../shared/ports.ts';
import { readCluster } from '../../shared/usecases/cluster-view.ts';
import { drainedPatch, shardsOn } from '../../shared/usecases/drain-node.ts';
import type { DrainMode, OnDeadline } from '../../shared/usecases/drain-node.ts';
import { fenceNode } from '../../shared/usecases/fence-node.ts';
import { changeNode, nodeChange } from '../../shared/usecases/node-record.ts';
import { shardReader, snapshotOf } from '../../shared/usecases/plan-snapshot.ts';
import { BY } from '../move-replica/work.ts';
import { fieldsOf, saveOperation, textOf } from '../step.ts';
import { PARTS_PER_PASS, waveMachine } from '../waves.ts';
import type { FinishResult, WaveGoal } from '../waves.ts';

/**
 * drain-node: leaders leave first (that costs a moment, and whoever the node is drained for waits for it), then replicas, planned again until the
 * node is empty. A decommissioned node is then fenced and becomes a tombstone in one commit: its lease ends, its credential is void, its id is
 * never used again.
 */

/** A leader that can't leave a node under maintenance within this time stays: its copy elsewhere is not in sync. */
const LEADERS_IDLE_MS = 300_000;

const DEADLINE_PASSED = 'DEADLINE_PASSED';

interface Input {
  readonly id: NodeId;
  readonly mode: DrainMode;
  readonly before: Pick<NodeRecord, 'cordoned' | 'membership'>;
  /** Null: it waits as long as it takes. */
  readonly deadlineSeconds: number | null;
  /** What a passed deadline leaves: the node as it was before, or cordoned. */
  readonly onDeadline: OnDeadline;
}

function inputOf(operation: OperationRecord): Input {
  const fields = fieldsOf(operation.input);
  return {
    id: nodeId(textOf(fields, 'node_id')),
    mode: textOf(fields, 'mode') as DrainMode,
    before: {
      cordoned: fields['cordoned_before'] === true,
      membership: textOf(fields, 'membership_before') as NodeRecord['membership'],
    },
    deadlineSeconds: typeof fields['deadline_seconds'] === 'number' ? fields['deadline_seconds'] : null,
    onDeadline: fields['on_deadline'] === 'KEEP_CORDON' ? 'KEEP_CORDON' : 'PUT_BACK',
  };
}

/** A redriven operation finds the node as its roll-back left it. */
async function ensureDraining(deps: Deps, { id, mode }: Input): Promise<void> {
  if (mode === 'LEADERS') return;
  const action = mode === 'DECOMMISSION' ? 'NODE_DECOMMISSIONING' : 'NODE_DRAINING';
  const set = await changeNode(deps, BY, id, action, (node) => {
    const wanted = drainedPatch(mode);
    const isSet = node.cordoned && (wanted.membership === undefined || node.membership === wanted.membership);
    return ok(isSet || node.membership === 'DECOMMISSIONED' ? null : wanted);
  });
  if (!set.ok) throw new Error(set.error.message);
}

const goal: WaveGoal = {
  mode: 'UNTIL_REACHED',
  unit: 'replicas',
  idleMs: (operation) => (inputOf(operation).mode === 'LEADERS' ? LEADERS_IDLE_MS : null),
  deadline: (operation) => {
    const { id, deadlineSeconds, onDeadline } = inputOf(operation);
    if (deadlineSeconds === null) return null;
    const left = onDeadline === 'KEEP_CORDON' ? 'it stays cordoned' : 'it is what it was before';
    const why = operation.waitingOn === null ? '' : ` It waited on: ${operation.waitingOn}.`;
    const message = `Node ${id} was not empty after ${deadlineSeconds} s: ${left}, and what has left it stays away.${why}`;
    return { afterMs: deadlineSeconds * 1000, error: { code: DEADLINE_PASSED, message } };
  },
  paced: false,
  budget: budgetOf,
  plan: async (deps, operation, _state, busy) => {
    const input = inputOf(operation);
    const { id, mode } = input;
    await ensureDraining(deps, input);
    if (mode === 'LEADERS' && !(await isUnderMaintenance(deps, id)))
      return { parts: [], goal: null, complete: true, left: 0, waitingOn: null };
    const shards: ShardDescriptor[] = [];
    let held = 0;
    for await (const { shard } of shardsOn(deps, id)) {
      if (mode === 'LEADERS' && shard.leader.nodeId !== id) continue;
      held += 1;
      if (shards.length < PARTS_PER_PASS && !busy.has(shard.shardId)) shards.push(shard);
    }
    const parts = await partsFor(deps, id, mode, shards);
    const what = mode === 'LEADERS' ? 'leaderships' : 'replicas';
    return {
      parts,
      goal: null,
      complete: held === 0,
      left: held - parts.length,
      waitingOn: held === 0 ? null : `${held} ${what} are left on ${id}`,
    };
  },
  finish: async (deps, operation, state): Promise<FinishResult> => {
    const input = inputOf(operation.value);
    if (input.mode === 'LEADERS') return { kind: 'END' };
    const { replicas } = await deps.directory.replicasOn(input.id, { limit: 1 });
    // Placed by somebody who read the node's record before it was cordoned.
    if (replicas.length > 0) return { kind: 'AGAIN' };
    return input.mode === 'DRAIN' ? { kind: 'END' } : bury(deps, operation, input.id, state.phase);
  },
  isPast: async (deps, operation) => {
    const { id, mode } = inputOf(operation);
    if (mode !== 'DECOMMISSION') return false;
    return (await deps.records.get('node', { nodeId: id }))?.value.membership === 'DECOMMISSIONED';
  },
  undo: async (deps, operation) => {
    const { id, mode, before, onDeadline } = inputOf(operation);
    if (mode === 'LEADERS') return 'DONE';
    const stays = operation.error?.code === DEADLINE_PASSED && onDeadline === 'KEEP_CORDON';
    const restored = await changeNode(deps, BY, id, 'NODE_DRAIN_CANCELLED', (node) => {
      if (node.membership === 'DECOMMISSIONED') return ok(null);
      const cordonedAfter = stays || before.cordoned;
      const isBack = node.cordoned === cordonedAfter && node.membership === before.membership;
      // A maintenance keeps the node cordoned until its end.
      const cordoned = node.maintenance !== null || cordonedAfter;
      return ok(isBack ? null : { cordoned, membership: before.membership });
    });
    if (!restored.ok) throw new Error(restored.error.message);
    return 'DONE';
  },
};

/** A leadership that can go goes by a transfer; every other replica by a move, whose target is chosen when its turn comes. */
async function partsFor(
  deps: Deps,
  id: NodeId,
  mode: DrainMode,
  shards: readonly ShardDescriptor[],
): Promise<readonly WavePart[]> {
  if (shards.length === 0) return [];
  const view = await readCluster(deps);
  const shardOf = shardReader(view, []);
  const builder = snapshotOf(view, new Map([[id, 'DRAINING']]));
  for (const shard of shards) if (shard.leader.nodeId === id) builder.addShard(shardOf(shard));
  // A snapshot of these shards alone says nothing about the balance of others.
  const transfers = planLeaderBalance(builder.build()).leaderMoves.filter(({ reason }) => reason === 'NODE_LEAVING');
  const targetOf = new Map(transfers.map((move) => [move.shardId, move.toNodeId]));
  return shards.flatMap((shard): WavePart[] => {
    const { shardId, generation } = shard;
    const to = targetOf.get(shardId);
    if (to !== undefined) return [{ kind: 'LEADER', shardId, generation, from: id, to, reason: 'NODE_LEAVING' }];
    if (mode === 'LEADERS') return [];
    return [{ kind: 'MOVE', shardId, generation, from: id, to: null, reason: 'DRAIN', bytes: shardOf(shard).bytes }];
  });
}

async function isUnderMaintenance(deps: Deps, id: NodeId): Promise<boolean> {
  const stored = await deps.records.get('node', { nodeId: id });
  return stored !== null && isMaintained(stored.value, deps.clock.wallMs());
}

/** Fence and tombstone in one commit. The node holds nothing, so that its lease guards nothing: it need not expire first (L2 is about leaders). */
async function bury(deps: Deps, operation: Stored<'operation'>, id: NodeId, phase: string): Promise<FinishResult> {
  const stored = await deps.records.get('node', { nodeId: id });
  if (stored === null || stored.value.membership === 'DECOMMISSIONED') return { kind: 'END' };
  // Noted before the effect: a cancel is either obeyed before it or refused.
  if (operation.value.cancellable)
    await saveOperation(deps, operation, { cancellable: false }, { name: phase, detail: `${id} is empty` });
  const lease = (await deps.liveness.of([id])).get(id);
  const { value: _value, ...change } = nodeChange(
    BY,
    stored,
    { membership: 'DECOMMISSIONED', cordoned: true, maintenance: null },
    'NODE_DECOMMISSIONED',
  );
  const done =
    lease === undefined ? (await deps.records.commit(change)).ok : (await fenceNode(deps, BY, lease, change)) !== null;
  // It renewed or registered in between: with what it is now, again.
  if (!done) return { kind: 'NOT_YET', waitingOn: `the lease of ${id} to be ended` };
  return { kind: 'AGAIN' };
}

export const machine = waveMachine(goal);
