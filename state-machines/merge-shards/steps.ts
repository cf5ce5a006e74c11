import { tableName } from '../../shared/domain/ids.ts';
import { mergeObstacle } from '../../shared/domain/merge.ts';
import { hasEnded } from '../../shared/domain/operation.ts';
import type { OperationRecord } from '../../shared/domain/records.ts';
import { inSyncReplicas, replicaOn } from '../../shared/domain/shard.ts';
import type { MergingState, ShardDescriptor } from '../../shared/domain/shard.ts';
import type { Deps } from '../../shared/ports.ts';
import { claimShard, releaseShard } from '../../shared/usecases/shard-ownership.ts';
import { startTransfer } from '../../shared/usecases/transfer-leader.ts';
import { endCounted } from '../shard-count.ts';
import { ACKNOWLEDGED, DONE, endWait, failWith } from '../step.ts';
import type { OperationMachine, StepFunction } from '../step.ts';
import { draft, liveNodes, sendAndWait } from '../table-shards.ts';
import { coLocate } from './co-locate.ts';
import { awaitSeals, seal } from './seal.ts';
import { rollBack } from './undo.ts';
import { again, BY, giveUp, goTo, load, notAtHand, ownsSide, partsChanged, sidesOf, stateOf } from './work.ts';
import type { Sides } from './work.ts';

/**
 * merge-shards (S2): copies brought to the same nodes by moves -> both shards claimed -> both leaderships on one node -> both logs sealed,
 * and one commit in the same step -> the nodes join their copies. Until the commit everything can be undone; the shards serve all the
 * time but for the moment between seal and commit.
 */

const POLL_SECONDS = 1;
const BUSY_POLL_SECONDS = 5;
/** Polls for a shard that another operation owns: 30 min. */
const BUSY_POLLS_MAX = 360;
/** Polls until one node leads both and all copies are in sync: a failover, then a catch-up, with room. */
const LEAD_POLLS_MAX = 300;

/** Left, then right; if one is owned by another operation, nothing is held while waiting for it. */
const claim: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  const late = notAtHand(work, 'claim');
  if (late !== null) return late;
  const sides = await sidesOf(deps, work);
  if (sides === null) return partsChanged(deps, work);
  for (const [shardId, side, otherShardId] of [
    [work.leftId, 'LEFT', work.rightId],
    [work.rightId, 'RIGHT', work.leftId],
  ] as const) {
    const state: MergingState = { kind: 'MERGING', operationId: input.operationId, side, otherShardId };
    // A run that comes late must not take a shard again after its operation went on.
    const claimed = await claimShard(deps, BY, shardId, state, () => [
      {
        kind: 'check',
        entity: 'operation',
        id: { operationId: input.operationId },
        when: [{ kind: 'revision', is: work.operation.revision }],
      },
    ]);
    if (claimed.ok) continue;
    await releaseShard(deps, BY, work.leftId, input.operationId);
    if (claimed.error.code !== 'SHARD_BUSY' || work.state.polls >= BUSY_POLLS_MAX)
      return giveUp(deps, work, claimed.error.code, claimed.error.message);
    return again(deps, work, { seconds: BUSY_POLL_SECONDS, on: claimed.error.message });
  }
  return goTo(deps, work, 'lead', 'both shards');
};

/** Waits until one node leads both and every node has both in sync or neither; starts the transfer that it takes. */
const lead: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  const late = notAtHand(work, 'lead');
  if (late !== null) return late;
  const sides = await sidesOf(deps, work);
  if (sides === null || !ownsSide(work, sides.left.shard) || !ownsSide(work, sides.right.shard))
    return partsChanged(deps, work);
  const wait = await whatIsMissing(deps, sides);
  if (wait === null) return goTo(deps, work, 'seal', `led by ${sides.left.shard.leader.nodeId}`);
  if (wait === APART) {
    // Somebody moved a copy before the claim.
    await releaseShard(deps, BY, work.leftId, input.operationId);
    await releaseShard(deps, BY, work.rightId, input.operationId);
    return goTo(deps, work, 'co-locate', 'copies are apart again');
  }
  if (work.state.polls >= LEAD_POLLS_MAX)
    return giveUp(
      deps,
      work,
      'LEADERS_APART',
      `No node came to lead both shards with all their copies in sync (${wait}). Look at GET /shards/${work.leftId} and /shards/${work.rightId}, and try again.`,
    );
  return again(deps, work, { seconds: POLL_SECONDS, on: wait });
};

/** The copies are on different nodes. */
const APART = 'copies on the same nodes';

/** What the two wait for, in words; null: they can be sealed. */
async function whatIsMissing(deps: Deps, { left, right }: Sides): Promise<string | null> {
  const obstacle = mergeObstacle(left.shard, right.shard);
  const uneven = left.shard.replicas.find(
    ({ nodeId, syncStatus }) =>
      (replicaOn(right.shard, nodeId)?.syncStatus === 'IN_SYNC') !== (syncStatus === 'IN_SYNC'),
  );
  switch (obstacle?.code) {
    case undefined:
      // I-7: the merged shard has as many copies in sync as either had.
      return uneven === undefined ? null : `copy on ${uneven.nodeId} to be in sync in both shards`;
    case 'REPLICAS_APART':
      return APART;
    case 'LEADERS_APART':
      return bringLeadersTogether(deps, left.shard, right.shard);
    default:
      return 'the transfer of a leadership';
  }
}

/** The right leadership goes to the left leader's node if its copy can lead, else the left one to the right leader's. */
async function bringLeadersTogether(deps: Deps, left: ShardDescriptor, right: ShardDescriptor): Promise<string> {
  for (const [shard, target] of [
    [right, left.leader],
    [left, right.leader],
  ] as const) {
    const copy = inSyncReplicas(shard).find(({ nodeId }) => nodeId === target.nodeId);
    if (copy?.nodeEpoch !== target.nodeEpoch || copy.replicaId === shard.leader.replicaId) continue;
    const started = await startTransfer(deps, BY, shard.shardId, copy.replicaId);
    if (started.ok) return `leadership of ${shard.shardId} to come to ${target.nodeId}`;
  }
  return 'a node that can lead both shards';
}

/** Waits until every copy that can answer is joined or given up. One that can't learns it by its next heartbeat or session. */
const apply: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  const late = notAtHand(work, 'apply');
  if (late !== null) return endWait(deps, input, late);
  const merged = (await deps.directory.locate(work.leftId))?.shard ?? null;
  // Merged or split again meanwhile: whoever did that has told the nodes what is now.
  const members = merged?.mergedFrom?.rightShardId === work.rightId ? merged.replicas : [];
  const live = await liveNodes(
    deps,
    members.map((member) => member.nodeId),
  );
  const drafts =
    merged === null
      ? []
      : members.filter(({ nodeId }) => live.has(nodeId)).map((member) => draft('apply_merge', merged, member));
  await sendAndWait(deps, input, drafts);
  return ACKNOWLEDGED;
};

const finish: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  if (hasEnded(work.operation.value)) return DONE;
  await endCounted(deps, tableName(work.table), work.operation, { shards: -1, detail: 'merged' });
  return DONE;
};

const fail = failWith({
  code: 'ROLL_BACK_FAILED',
  message: 'The merge could be neither committed nor undone. Redrive the operation to go on undoing it.',
});

const resume = (operation: OperationRecord): string => stateOf(operation).phase;

export const machine: OperationMachine = {
  steps: {
    'co-locate': coLocate,
    claim,
    lead,
    seal,
    'await-seals': awaitSeals,
    apply,
    finish,
    'roll-back': rollBack,
    fail,
  },
  answers: {
    'co-locate': ['co-locate', 'claim'],
    claim: ['claim', 'lead'],
    lead: ['lead', 'co-locate', 'seal'],
    seal: ['seal', 'lead', 'await-seals', 'apply'],
    'await-seals': ['acknowledged', 'apply'],
    apply: ['acknowledged'],
    'roll-back': ['roll-back', 'finish'],
  },
  resume,
};
