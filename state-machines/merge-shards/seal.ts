import { commitMerge, knownSeal, mergeObstacle } from '../../shared/domain/merge.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { Receipt } from '../../shared/domain/transfer.ts';
import { StoreError } from '../../shared/ports.ts';
import type { Deps } from '../../shared/ports.ts';
import { ownershipWrites } from '../../shared/usecases/descriptor-change.ts';
import { principalName } from '../../shared/usecases/principal.ts';
import { ACKNOWLEDGED, endWait, saveOperation } from '../step.ts';
import type { StepFunction } from '../step.ts';
import { draft, sendAndWait } from '../table-shards.ts';
import { again, BY, giveUp, goTo, load, notAtHand, ownsSide, partsChanged, sidesOf, stateJson } from './work.ts';
import type { Sides, Work } from './work.ts';

/**
 * Seal and commit, in one step, because neither part takes writes in between (S2): usually a few tens of milliseconds. A step that dies
 * there is repeated after a second and finds the same seals: the commit is the quickest way back to serving. If it does not follow within
 * SEALED_MS_MAX of the seals, or a seal is missing, the operation gives up, and the abort is a transfer back at epoch + 1 (E2). Without any
 * of that the followers report a silent leader after 5 s, and the reconciler transfers the leadership.
 *
 * Where a push reaches no answer, both leaders' seals are waited for: the commands lie in one node's mailbox, are taken together by its next
 * heartbeat, and the seals that it reports stand in the shards until this step commits. A sealed leader looks for itself what became of it.
 */
const SEALED_MS_MAX = 5_000;

/** A leader whose followers lag refuses to be sealed and goes on serving: asked again so often, once a second. */
const REFUSALS_MAX = 30;
/** Waits for seals that no push brought. One is enough unless the descriptor changed, or a node restarted, just then. */
const AWAITS_MAX = 3;
/** Attempts of the commit against other changes of the same pages. */
const COMMIT_ATTEMPTS_MAX = 8;
const CONFLICT_PAUSE_MS = 10;

export const seal: StepFunction = async (deps, input) => {
  const loaded = await load(deps, input);
  const late = notAtHand(loaded, 'seal');
  if (late !== null) return late;
  const sides = await sidesOf(deps, loaded);
  if (sides === null || !ownsSide(loaded, sides.left.shard) || !ownsSide(loaded, sides.right.shard))
    return partsChanged(deps, loaded);
  if (mergeObstacle(sides.left.shard, sides.right.shard) !== null)
    return goTo(deps, loaded, 'lead', 'a leadership moved');
  const work = await noteSealing(deps, loaded);
  const startedMs = deps.clock.monotonicMs();
  const sealed = await sealBoth(deps, sides);
  if (sealed.kind === 'UNANSWERED' && work.state.awaits < AWAITS_MAX) {
    await saveOperation(
      deps,
      work.operation,
      { state: stateJson({ ...work.state, awaits: work.state.awaits + 1 }), waitingOn: sealed.why },
      { name: 'seal', detail: sealed.why },
    );
    return { next: 'await-seals' };
  }
  if (sealed.kind === 'REFUSED' && !loaded.state.sealing) {
    const refusals = work.state.refusals + 1;
    if (refusals > REFUSALS_MAX) return notSealed(deps, work, sealed.why);
    return again(deps, work, { seconds: 1, on: sealed.why, patch: { refusals, sealing: false } });
  }
  // Refused now, but an earlier run of the step may have had its seal.
  if (sealed.kind !== 'SEALED')
    return notSealed(deps, work, sealed.kind === 'UNANSWERED' ? `no ${sealed.why} came` : sealed.why);
  for (let attempt = 0; attempt < COMMIT_ATTEMPTS_MAX; attempt++) {
    if (deps.clock.monotonicMs() - startedMs > SEALED_MS_MAX) return notSealed(deps, work, 'the commit came too late');
    const committed = await commitSides(deps, work, sealed.seals);
    if (typeof committed !== 'string') {
      // The nodes are told at once; the next step waits for them.
      await deps.commands.send(committed.replicas.map((member) => draft('apply_merge', committed, member)));
      return { next: 'apply' };
    }
    if (committed === 'PARTS_CHANGED') return notSealed(deps, work, 'a shard changed meanwhile');
    await deps.timers.sleep(CONFLICT_PAUSE_MS * 2 ** attempt * (0.5 + deps.random.next()));
  }
  return notSealed(deps, work, 'the pages of the directory kept changing');
};

const notSealed = (deps: Deps, work: Work, why: string) =>
  giveUp(
    deps,
    work,
    'NOT_SEALED',
    `Shards ${work.leftId} and ${work.rightId} were not merged: ${why}. Both serve on as they were; try again.`,
  );

/** Durable before any seal is sent: whoever undoes this knows that a leader may have promised not to lead any more. */
async function noteSealing(deps: Deps, work: Work): Promise<Work> {
  if (work.state.sealing) return work;
  const state = { ...work.state, sealing: true };
  const operation = await saveOperation(
    deps,
    work.operation,
    { state: stateJson(state), waitingOn: null },
    { name: 'seal', detail: 'sealing' },
  );
  return { ...work, operation, state };
}

type Sealed =
  | { readonly kind: 'SEALED'; readonly seals: { readonly left: Seal; readonly right: Seal } }
  /** Neither is sealed: both go on serving. */
  | { readonly kind: 'REFUSED'; readonly why: string }
  /** One is sealed, or may be; the other refused. */
  | { readonly kind: 'HALF'; readonly why: string }
  /** A leader may or may not have sealed, or will. */
  | { readonly kind: 'UNANSWERED'; readonly why: string };

interface Seal {
  readonly receipt: Receipt;
  /** Generation of the descriptor that it must be of, at least (E2). */
  readonly sinceGeneration: number;
}

/** The left one first: if its leader refuses, nothing happened at all. */
async function sealBoth(deps: Deps, { left, right }: Sides): Promise<Sealed> {
  const first = await sealOne(deps, left.shard);
  if (first.kind !== 'SEALED') return first;
  const second = await sealOne(deps, right.shard);
  if (second.kind !== 'SEALED') return second.kind === 'REFUSED' ? { kind: 'HALF', why: second.why } : second;
  return { kind: 'SEALED', seals: { left: first.seal, right: second.seal } };
}

async function sealOne(
  deps: Deps,
  shard: ShardDescriptor,
): Promise<
  { readonly kind: 'SEALED'; readonly seal: Seal } | { readonly kind: 'REFUSED' | 'UNANSWERED'; readonly why: string }
> {
  const known = knownSeal(shard);
  if (known !== null) return { kind: 'SEALED', seal: { receipt: known, sinceGeneration: known.generation } };
  const { replicaId, nodeId } = shard.leader;
  const unanswered = { kind: 'UNANSWERED', why: `seal of ${shard.shardId} by node ${nodeId}` } as const;
  // Without push the left one would be taken by a heartbeat of its own, and be sealed for so much longer.
  if (!deps.settings.pushToNodes) return unanswered;
  const [answer] = await deps.commands.send([draft('seal_merge', shard, shard.leader)]);
  if (answer === undefined || answer.outcome === 'QUEUED') return unanswered;
  if (answer.outcome === 'REFUSED')
    return { kind: 'REFUSED', why: `node ${nodeId} did not seal ${shard.shardId}: ${answer.message}` };
  if (answer.receipt?.sealed === undefined) return unanswered;
  return {
    kind: 'SEALED',
    seal: { receipt: { replicaId, ...answer.receipt }, sinceGeneration: shard.generation },
  };
}

/**
 * Asks both leaders, one node, in one message, and waits for both: with nothing to wait for, or if the answer does not come, `seal` decides
 * what to do. May be repeated: a seal that was given is given again.
 */
export const awaitSeals: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  const late = notAtHand(work, 'seal');
  if (late !== null) return endWait(deps, input, late);
  const sides = await sidesOf(deps, work);
  const apart =
    sides === null ||
    !ownsSide(work, sides.left.shard) ||
    !ownsSide(work, sides.right.shard) ||
    mergeObstacle(sides.left.shard, sides.right.shard) !== null;
  const unsealed = apart ? [] : [sides.left.shard, sides.right.shard].filter((shard) => knownSeal(shard) === null);
  await sendAndWait(
    deps,
    input,
    unsealed.map((shard) => draft('seal_merge', shard, shard.leader)),
  );
  return ACKNOWLEDGED;
};

/** One transaction: the merged shard, the directory, both ownerships, the operation's own record, event. From here on nothing can be undone. */
async function commitSides(
  deps: Deps,
  work: Work,
  seals: { readonly left: Seal; readonly right: Seal },
): Promise<ShardDescriptor | 'AGAIN' | 'PARTS_CHANGED'> {
  const sides = await sidesOf(deps, work);
  if (sides === null) return 'PARTS_CHANGED';
  const { operationId } = work.operation.value;
  const { left, right } = sides;
  const decided = commitMerge(left.shard, right.shard, {
    operationId,
    receipts: { left: seals.left.receipt, right: seals.right.receipt },
    sinceGeneration: { left: seals.left.sinceGeneration, right: seals.right.sinceGeneration },
    nowMs: deps.clock.wallMs(),
  });
  if (!decided.ok) return 'PARTS_CHANGED';
  const merged = decided.value;
  const audit = { principal: principalName(BY), action: 'SHARDS_MERGED' };
  const change = await deps.directory.mergeWrites(sides, merged, audit);
  if (change === 'RACED') return 'AGAIN';
  const detail = {
    operation_id: operationId,
    shard_id: merged.shardId,
    absorbed: right.shard.shardId,
    border_key: right.shard.startKey,
    table: merged.table,
  };
  const entry = { ...audit, detail: { ...detail, epoch: merged.epoch, leader: merged.leader.nodeId } };
  try {
    await saveOperation(
      deps,
      work.operation,
      {
        state: stateJson({ ...work.state, phase: 'apply', polls: 0, committed: true }),
        waitingOn: `copies on ${merged.replicas.map(({ nodeId }) => nodeId).join(', ')} to be joined`,
        cancellable: false,
      },
      { name: 'commit', detail: `${right.shard.shardId} into ${merged.shardId}` },
      {
        writes: [
          ...change.writes,
          ...ownershipWrites(deps, left.shard, merged),
          ...ownershipWrites(deps, right.shard, null),
        ],
        audit: [
          ...change.audit,
          {
            ...entry,
            entity: `shard:${merged.shardId}`,
            number: merged.generation,
            // Above both parts': the entries of the left one go on from its own last number.
            detail: { ...entry.detail, follows: left.shard.generation },
          },
          { ...entry, entity: `shard:${right.shard.shardId}`, number: right.shard.generation + 1 },
        ],
        events: [{ eventType: 'SHARDS_MERGED', payload: detail }],
      },
    );
  } catch (error) {
    if (error instanceof StoreError && error.code === 'TRANSACTION_CONFLICT') return 'AGAIN';
    throw error;
  }
  return merged;
}
