import { encodedKey, replicaId, shardId, tableName } from '../../shared/domain/ids.ts';
import { decodeKey } from '../../shared/domain/keys.ts';
import { hasEnded } from '../../shared/domain/operation.ts';
import type { OperationRecord } from '../../shared/domain/records.ts';
import { assertNever } from '../../shared/domain/result.ts';
import { inSyncReplicas } from '../../shared/domain/shard.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { commitSplit, splittingState } from '../../shared/domain/split.ts';
import type { CommandDraft, Deps, LocatedShard } from '../../shared/ports.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { claimShard, releaseShard } from '../../shared/usecases/shard-ownership.ts';
import { ACKNOWLEDGED, DONE, endRolledBack, endWait, failWith, fieldsOf, saveOperation, textOf } from '../step.ts';
import type { OperationMachine, StepFunction, StepResult } from '../step.ts';
import { draft, liveNodes, sendAndWait } from '../table-shards.ts';
import { endCounted } from '../shard-count.ts';
import { commitParts } from './commit.ts';
import { load, save, stateOf } from './work.ts';
import type { Work } from './work.ts';

/**
 * split-shard, in two phases (S1): intent with the ids of the child -> key by the leader, unless it was asked for -> every IN_SYNC copy
 * prepared -> one commit -> the nodes fork. Until the commit everything can be undone by giving the shard back; after it nothing is
 * left to decide. The shard serves all the time.
 */

/** Polls for the leader's split key. It samples its rows in the background: seconds for the largest shard. */
const KEY_POLL_SECONDS = 1;
/** Polls after which the leader is told of the intent again: it may be another one by now, or the notice was lost. */
const KEY_POLLS_PER_NOTICE = 5;
const KEY_POLLS_MAX = 120;
/** Attempts of the commit against changes of other shards in the same page, and against a full page. */
const COMMIT_ATTEMPTS_MAX = 8;
const SHARD_ID_BYTES = 8;
const REPLICA_ID_BYTES = 8;

const BY = SYSTEM('operation');

/** The shard if the operation still owns it as SPLITTING. */
async function owned(deps: Deps, work: Work): Promise<LocatedShard | null> {
  const located = await deps.directory.locate(work.shardId);
  const state = located?.shard.state;
  return state?.kind === 'SPLITTING' && state.operationId === work.operation.value.operationId ? located : null;
}

/** Ends in vain: the reason is noted, and what stands is undone. */
async function giveUp(deps: Deps, work: Work, code: string, message: string): Promise<StepResult> {
  await saveOperation(deps, work.operation, { error: { code, message } }, { name: 'give-up', detail: code });
  return { next: 'roll-back' };
}

/**
 * The answer of a step that is not at hand: invoked twice, or so late that the operation is in another phase or being undone. It has no
 * effect any more. Null: it is at hand.
 */
function replayed({ operation, state }: Work, tag: keyof typeof AT_HAND): StepResult | null {
  if (hasEnded(operation.value)) return DONE;
  if (operation.value.undoing && state.childShardId === null) return { next: 'roll-back' };
  if (AT_HAND[tag] === state.phase) return null;
  const tags = ANSWERS[tag];
  return { next: tags.find((next) => next === state.phase) ?? tags.at(-1) ?? DONE.next };
}

/** The phase in which a step has something to do. */
const AT_HAND = {
  claim: 'claim',
  'await-key': 'await-key',
  prepare: 'prepare',
  commit: 'prepare',
  apply: 'apply',
} as const;

/** Tags of each step, the usual way on last. */
const ANSWERS: Readonly<Record<keyof typeof AT_HAND, readonly string[]>> = {
  claim: ['await-key', 'prepare'],
  'await-key': ['await-key', 'prepare'],
  prepare: ['acknowledged'],
  commit: ['commit', 'prepare', 'apply'],
  apply: ['acknowledged'],
};

const claim: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  const late = replayed(work, 'claim');
  if (late !== null) return late;
  const asked = fieldsOf(work.operation.value.input)['split_key'];
  const claimed = await claimShard(
    deps,
    BY,
    work.shardId,
    (shard) =>
      splittingState(
        shard,
        {
          operationId: input.operationId,
          splitKey: typeof asked === 'string' ? encodedKey(asked) : null,
          childShardId: shardId(`shard-${deps.random.hex(SHARD_ID_BYTES)}`),
        },
        () => replicaId(`rep-${deps.random.hex(REPLICA_ID_BYTES)}`),
      ),
    // A run that comes late must not take the shard again after its operation went on.
    () => [
      {
        kind: 'check',
        entity: 'operation',
        id: { operationId: input.operationId },
        when: [{ kind: 'revision', is: work.operation.revision }],
      },
    ],
  );
  if (!claimed.ok) return giveUp(deps, work, claimed.error.code, claimed.error.message);
  const { state } = claimed.value;
  const key = state.kind === 'SPLITTING' ? state.splitKey : null;
  const next = key === null ? 'await-key' : 'prepare';
  await save(deps, work, { phase: next, polls: 0 }, null, {
    name: 'claim',
    detail: `generation ${claimed.value.generation}`,
  });
  return { next };
};

/** The leader proposes the key by a report (reports.ts); here it is only waited for. */
const awaitKey: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  const late = replayed(work, 'await-key');
  if (late !== null) return late;
  const located = await owned(deps, work);
  if (located === null)
    return giveUp(
      deps,
      work,
      'NO_SPLIT_KEY',
      `The leader of shard ${work.shardId} found no key that would leave rows on both sides. Name a key, or leave the shard as it is.`,
    );
  const { shard } = located;
  if (shard.state.kind === 'SPLITTING' && shard.state.splitKey !== null) {
    await save(deps, work, { phase: 'prepare' }, null, {
      name: 'await-key',
      detail: decodeKey(shard.keyType, shard.state.splitKey),
    });
    return { next: 'prepare' };
  }
  const { polls } = work.state;
  if (polls >= KEY_POLLS_MAX)
    return giveUp(
      deps,
      work,
      'SPLIT_KEY_TIMEOUT',
      `The leader of shard ${work.shardId} named no split key in ${KEY_POLLS_MAX} s. Try again, or name a key.`,
    );
  if (polls % KEY_POLLS_PER_NOTICE === 0) await deps.commands.send([draft('apply_descriptor', shard, shard.leader)]);
  await save(deps, work, { polls: polls + 1 }, `split key from ${shard.leader.nodeId}`, {
    name: 'await-key',
    detail: `poll ${polls + 1}`,
  });
  return { next: 'await-key', wait_seconds: KEY_POLL_SECONDS };
};

/** Waits until every IN_SYNC copy holds the intent durably and can fork at a moment's notice. */
const prepare: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  const late = replayed(work, 'prepare');
  if (late !== null) return endWait(deps, input, late);
  const located = await owned(deps, work);
  if (located === null) throw new Error(`operation ${input.operationId} lost shard ${work.shardId}`);
  const { shard } = located;
  const members = inSyncReplicas(shard);
  await save(
    deps,
    work,
    { asked: members.map((member) => ({ replicaId: member.replicaId, nodeEpoch: member.nodeEpoch })) },
    `copies on ${members.map((member) => member.nodeId).join(', ')} to prepare the split`,
    { name: 'prepare', detail: `${members.length} copies` },
  );
  await sendAndWait(
    deps,
    input,
    members.map((member) => draft('prepare_split', shard, member)),
  );
  return ACKNOWLEDGED;
};

/** One transaction: parent, child, directory, the operation's own record, event. From here on nothing can be undone. */
const commit: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  const late = replayed(work, 'commit');
  if (late !== null) return late;
  for (let attempt = 0; attempt < COMMIT_ATTEMPTS_MAX; attempt++) {
    const located = await owned(deps, work);
    if (located === null) throw new Error(`operation ${input.operationId} lost shard ${work.shardId}`);
    const decided = commitSplit(located.shard, {
      operationId: input.operationId,
      prepared: work.state.asked,
      nowMs: deps.clock.wallMs(),
    });
    if (!decided.ok) {
      switch (decided.error.code) {
        case 'NOT_PREPARED':
          return { next: 'prepare' };
        case 'TRANSFER_PENDING':
          return { next: 'commit', wait_seconds: 1 };
        case 'NOT_OWNER':
        case 'SPLIT_KEY_MISSING':
          throw new Error(`operation ${input.operationId} can't commit: ${decided.error.code}`);
        default:
          return assertNever(decided.error);
      }
    }
    if ((await commitParts(deps, work, located, decided.value)) === 'COMMITTED') return { next: 'apply' };
  }
  throw new Error(`the page of shard ${work.shardId} changed in each of ${COMMIT_ATTEMPTS_MAX} attempts`);
};

/** Both parts as they are now; null where one is gone (split on, or the table deleted). */
async function parts(deps: Deps, work: Work): Promise<{ parent: ShardDescriptor; child: ShardDescriptor } | null> {
  const { childShardId } = work.state;
  if (childShardId === null) return null;
  const [parent, child] = await Promise.all([deps.directory.locate(work.shardId), deps.directory.locate(childShardId)]);
  return parent === null || child === null ? null : { parent: parent.shard, child: child.shard };
}

/**
 * Waits until every IN_SYNC copy that can answer has forked. One that can't answer learns of it by its next heartbeat, session or
 * registration. A copy that is not in sync may have nothing prepared: it is told, and filled by the child's leader if it can't fork.
 */
const apply: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  const late = replayed(work, 'apply');
  if (late !== null) return endWait(deps, input, late);
  const present = await parts(deps, work);
  const members = present === null ? [] : present.parent.replicas;
  const live = await liveNodes(
    deps,
    members.map((member) => member.nodeId),
  );
  const told = (inSync: boolean): readonly CommandDraft[] =>
    present === null
      ? []
      : members
          .filter((member) => live.has(member.nodeId) && (member.syncStatus === 'IN_SYNC') === inSync)
          .map((member) => ({ ...draft('apply_split', present.parent, member), related: present.child }));
  const awaited = told(true);
  await save(deps, work, {}, `copies on ${awaited.map(({ nodeId }) => nodeId).join(', ')} to take up the split`, {
    name: 'apply',
    detail: `${awaited.length} copies`,
  });
  // First the leader: a follower that forks before it refuses its appends (S1). Its new sessions bring the split to the others, if no command does.
  await deps.commands.send(awaited.filter(({ nodeId }) => nodeId === present?.parent.leader.nodeId));
  await deps.commands.send(told(false));
  await sendAndWait(deps, input, awaited);
  return ACKNOWLEDGED;
};

const finish: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  if (hasEnded(work.operation.value)) return DONE;
  const table = tableName(textOf(fieldsOf(work.operation.value.input), 'table'));
  await endCounted(deps, table, work.operation, { shards: 1, detail: 'split' });
  return DONE;
};

/** Before the commit the shard is given back and its copies forget the intent; after it only forward. */
const rollBack: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  if (hasEnded(work.operation.value)) return DONE;
  if (work.state.childShardId !== null) return { next: 'finish' };
  const released = await releaseShard(deps, BY, work.shardId, input.operationId);
  if (!released.ok) throw new Error(released.error.message);
  const shard = released.value;
  if (shard !== null)
    await deps.commands.send(shard.replicas.map((member) => draft('apply_descriptor', shard, member)));
  await endRolledBack(deps, work.operation, {
    code: 'STEP_FAILED',
    message: `Shard ${work.shardId} was not split, and is as it was.`,
  });
  return DONE;
};

const fail = failWith({
  code: 'ROLL_BACK_FAILED',
  message: 'The split could be neither committed nor undone. Redrive the operation to go on undoing it.',
});

/** Phases are named after the step that they begin with; a preparation is repeated, since nobody knows which of its answers came. */
const resume = (operation: OperationRecord): string => stateOf(operation).phase;

export const machine: OperationMachine = {
  steps: {
    claim,
    'await-key': awaitKey,
    prepare,
    commit,
    apply,
    finish,
    'roll-back': rollBack,
    fail,
  },
  answers: { ...ANSWERS, 'roll-back': ['finish'] },
  resume,
};
